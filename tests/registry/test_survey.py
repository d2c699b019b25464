import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.catalog import load_catalog
from registry.survey import SOURCE_FILE, Survey, read_survey, survey_markdown

NOTES = "https://github.com/mjc92/studies/blob/master/notes/"
FLAGS = (
    "matrix_factorization", "parameter_sharing", "pruning", "parameter_quantization", "software",
    "hardware",
)  # fmt: skip

# the source's table, cell by cell, copied by hand: paper, year, flags that are set, type, links
TABLE = [
    ("Predicting parameters in deep learning", 2013, (), "CNN", None, None),
    (
        "On the compression of recurrent neural networks with an application to LVSCR acoustic "
        "modeling for embedded speech recognition",
        2016,
        ("matrix_factorization", "parameter_sharing"),
        "RNN",
        "https://arxiv.org/pdf/1603.08042.pdf",
        NOTES + "On_the_compression_of_recurrent_neural_networks_with_an_application_to_lvcsr_"
        "acoustic_modeling_for_embedded_speech_recognition.md",
    ),
    (
        "Neural networks with few multiplications",
        2016,
        ("parameter_quantization",),
        "CNN",
        "https://arxiv.org/pdf/1510.03009v3.pdf",
        NOTES + "Neural_networks_with_few_multiplications.md",
    ),
    (
        "Recurrent neural networks with limited numerical precision",
        2016,
        ("parameter_quantization",),
        "RNN",
        "https://arxiv.org/pdf/1608.06902v1.pdf",
        NOTES + "Recurrent_neural_networks_with_limited_numerical_precision.md",
    ),
    (
        "Quantized convolutional neural networks for mobile devices",
        2016,
        ("parameter_quantization",),
        "CNN",
        "https://arxiv.org/pdf/1512.06473v3.pdf",
        NOTES + "Quantized_convolutional_neural_networks_for_mobile_devices.md",
    ),
    ("New paper", 2016, (), "CNN", None, None),
]

HEADER = (
    "| Paper         | Year  | Matrix Factorization | Parameter sharing | Pruning "
    "| Parameter quantization | S/W | H/W | DNN type |",
    "| :-----------: |:-----:|:--------------------:|:-----------------:|:-------:"
    "|:----------------------:|:---:|:---:|:--------:|",
)

FLAG_CELLS = [
    " | | | | | | | **CNN** | ",
    " | O | O | | | | | **RNN** |",
    " |  | | | O | | | **CNN** |",
    " |  | | |O| | | **RNN** |",
    " |  | | |O| | | **CNN** |",
    " | | | | | | | **CNN** |",
]

LISTS = """\
##Theory
- Predicting parameters in deep learning. Denil et al. **NIPS 2013**
- Exploiting linear structure within convolutional networks for efficient evaluation. \
Denton et al (Y.LeCun). **NIPS 2014**
- Speeding up convolutional neural networks with low rank expansions. Jaderberg et al. **BMVC 2014**
- Compressing neural networks with the hashing trick. Chen et al. **ICML 2015**
- Deep Compression: compressing deep neural networks with pruning, trained quantization and \
Huffman coding. Han et al. **ICLR 2016**
- Neural networks with few multiplications. Lin et al (Y.Bengio) **ICLR 2016**
- EIE: efficient inference engine on compressed deep neural network. Han et al. **ISCA 2016**
- Recurrent neural networks with limited numerical precision. Ott et al (Y.Bengio). \
**NIPS 2016 EMDNN**

##Applications
- Quantized convolutional neural networks for mobile devices. Wu et al. 2015.
- On the compression of recurrent neural networks with an application to LVCSR acoustic \
modeling for embedded speech recognition.
Prabhavalkar et al. 2016

##To be seen soon
- SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size. \
Iandola et al (S.Han). 2016.
- Trained ternary quantization. Zhu et al (S.Han). 2017
"""


@pytest.fixture
def survey() -> Survey:
    return read_survey()


def test_each_cell_of_the_table_is_the_sources(survey: Survey) -> None:
    read = [
        (row.paper, row.year, tuple(flag for flag in FLAGS if getattr(row, flag)), row.dnn_type,
         row.paper_url, row.notes_url)
        for row in survey.rows
    ]  # fmt: skip
    assert read == TABLE


def test_the_markdown_is_the_sources_byte_for_byte() -> None:
    rows = []
    for (paper, year, _, _, paper_url, notes_url), flags in zip(TABLE, FLAG_CELLS, strict=True):
        links = f" [[paper]]({paper_url}) [[notes]]({notes_url})" if paper_url else ""
        rows.append(f"| {paper}{links} | {year}{flags}")
    table = "\n".join([*HEADER, *rows])
    assert survey_markdown() == f"{table}\n\n{LISTS}"


def test_the_source_file_holds_credits_then_table_then_lists(survey: Survey) -> None:
    assert SOURCE_FILE.read_text(encoding="utf-8") == (
        "\n".join(survey.credits) + "\n\n" + survey_markdown(survey)
    )
    assert survey.credits == (
        "- Categorization based on work of lifeiteng (https://github.com/lifeiteng/FasterDNN)",
        "- Inspired by work of Yunjey Choi "
        "(https://github.com/yunjey/deeplearning-papers#deeplearning-papers-2016119-)",
    )


def test_lists_have_their_entries(survey: Survey) -> None:
    assert [(item.name, len(item.entries)) for item in survey.lists] == [
        ("Theory", 8),
        ("Applications", 2),
        ("To be seen soon", 2),
    ]
    assert survey.lists[1].entries[1].endswith("recognition. Prabhavalkar et al. 2016")
    assert survey.lists[0].entries[0].endswith("Denil et al. NIPS 2013")
    assert survey.lists[1].holds(survey.lists[1].lines[1:])
    assert not survey.lists[1].holds(survey.lists[1].lines[::2])


def test_the_json_fields_stand_in_the_tables_order(survey: Survey) -> None:
    row = json.loads(json.dumps(survey.rows[1].as_dict()))
    assert list(row) == ["paper", "year", *FLAGS, "dnn_type", "paper_url", "notes_url", "record"]
    assert row["year"] == 2016
    assert row["matrix_factorization"] is True
    assert row["pruning"] is False
    assert row["record"] is None


def test_a_row_names_the_record_that_encodes_it(
    write_record: Callable[..., Path], survey: Survey
) -> None:
    raw = survey.rows[4].raw
    path = write_record(
        also=f"source:\n  row: '{raw}'\n  differences:\n"
        "    - {flag: pruning, reason: it prunes}\n"
        "    - {flag: parameter_quantization, reason: it does not quantize}\n"
        "    - {flag: software, reason: it runs anywhere}\n"
    )
    catalog = load_catalog([path.parent])
    records = [row.record for row in read_survey(catalog.papers).rows]
    assert records == [None, None, None, None, "2016-small", None]
    assert [dataclasses.replace(row, record=None) for row in survey.rows] == list(survey.rows)


def test_each_row_but_the_template_has_its_record() -> None:
    papers = load_catalog().papers
    if len(papers) < 12:
        pytest.skip("not all of the source's papers are recorded yet")
    records = [row.record for row in read_survey(papers).rows]
    assert None not in records[:-1]
    assert len(set(records)) == len(records)
    assert records[-1] is None
