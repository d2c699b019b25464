import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.catalog import FIRST_LINE, check_catalog, check_files, load_catalog, record_folders
from registry.errors import FaultyFile, UserError

Write = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def messages(path: Path) -> list[str]:
    """Line, field and message of each fault."""
    return [f"{f.line} {f.field}: {f.message}" for f in check_files([path])]


def only(path: Path) -> str:
    told = messages(path)
    assert len(told) == 1, told
    return told[0]


def test_our_records_hold() -> None:
    assert check_catalog() == []


def test_a_record_that_holds_is_found_by_its_id(write_record: Write) -> None:
    path = write_record()
    assert check_files([path]) == []
    catalog = load_catalog([path.parent])
    assert [paper.id for paper in catalog.papers] == ["2016-small"]
    assert catalog.get("2016-small").title == "A small record"
    assert catalog.files["2016-small"] == path
    with pytest.raises(UserError, match=r"unknown paper '2016-smal' \(did you mean '2016-small'"):
        catalog.get("2016-smal")


def test_select_takes_what_fits_everything(write_record: Write) -> None:
    write_record(name="2016-b")
    write_record(("network_type: cnn", "network_type: rnn"), name="2016-a")
    path = write_record(
        ("year: 2016", "year: 2017"), ("[pruning]", "[pruning, parameter-sharing]"), name="2017-c"
    )
    catalog = load_catalog([path.parent])

    def ids(**wanted: str | int) -> list[str]:
        return [paper.id for paper in catalog.select(**wanted)]  # type: ignore[arg-type]

    assert ids() == ["2016-a", "2016-b", "2017-c"]
    assert ids(network="cnn") == ["2016-b", "2017-c"]
    assert ids(technique="parameter-sharing") == ["2017-c"]
    assert ids(year=2016, network="rnn") == ["2016-a"]
    assert ids(platform="hardware") == []
    with pytest.raises(UserError, match=r"unknown technique 'prunning' \(did you mean 'pruning'"):
        ids(technique="prunning")
    with pytest.raises(UserError, match=r"unknown network 'transformer' \(one of: cnn, mlp, rnn"):
        ids(network="transformer")


METRIC = "    metric: error\n"

SLIPS = [
    ((("unit: percent\n", "unit: cycles\n"),), "32 claims[0].unit: unit 'cycles' does not fit "
     "metric 'error', which is in fraction"),
    (((METRIC, "    metric: errors\n"),), "35 claims[0].metric: unknown metric 'errors' "
     "(did you mean 'error'?)"),
    (((METRIC, "    metric: zzz\n"),), "35 claims[0].metric: unknown metric 'zzz' of benchmark "
     "'mnist-lenet-300-100'"),
    (((METRIC, f"{METRIC}    layer: ip1\n"),), "36 claims[0].layer: metric 'error' has one value, "
     "none for each layer"),
    (((METRIC, f"{METRIC}    counting: file\n"),), None),
    ((("    counting: file\n", ""),), "36 claims[1].counting: metric 'file_ratio' is counted by "
     "'file', the claim says nothing"),
    ((("counting: file", "counting: parameters"),), "43 claims[1].counting: metric 'file_ratio' is "
     "counted by 'file', the claim says 'parameters'"),
    ((("check: measured", "check: simulated"),), "30 claims[0].check: 'simulated' needs a "
     "benchmark of kind 'simulation': 'mnist-lenet-300-100' is of kind 'file'"),
    ((("minuend: error", "minuend: eror"),), "52 claims[2].ordering.minuend: unknown metric 'eror' "
     "(did you mean 'error'?)"),
    ((("minuend: error", "minuend: file_ratio"), ("unit: percentage_points", "unit: ratio"),
      ("subtrahend: reference_error", "subtrahend: paper_ratio")),
     "52 claims[2].ordering: the two metrics are counted by different rules"),
    ((("metric: error}", "metric: erorr}"),), "24 tables[0].columns[0].metric: unknown metric "
     "'erorr' (did you mean 'error'?)"),
    ((("unit: percent, metric", "unit: seconds, metric"),), "24 tables[0].columns[0].unit: unit "
     "'seconds' does not fit metric 'error', which is in fraction"),
    ((("    run: one\n", ""),), "23 tables[0].columns[0].metric: a metric beside a column needs "
     "the table's run (run)"),
    ((("    run: one\n", "    run: two\n"),), "23 tables[0].run: this record has no run 'two'"),
    ((('cells: ["1.5"]', 'cells: ["1.6"]'),), "33 claims[0].reported: the table's cell says '1.6', "
     "the claim '1.5'"),
    ((("runs:\n", "runs:\n  - {name: two, title: Two runs, benchmark: mnist-lenet-300-100}\n"),
      (METRIC, f"{METRIC}    run: one\n"),
      ("metric: file_ratio", "metric: file_ratio\n    run: one")),
     "49 claims[2].run: the record has several runs of 'mnist-lenet-300-100': name one (two, one)"),
    ((("id: second", "id: first"),), "36 claims[1].id: 'first' stands twice"),
    ((("[mnist-lenet-300-100]", "[mnist-lenet-300-100, mnist-lenet-300-100]"),),
     "15 benchmarks: 'mnist-lenet-300-100' stands twice"),
    ((("One run,", 'One run, quick: {a: ["\\u202e"]},'),), "17 runs[0].quick.a[0]: character "
     "U+202E at position 0 is not allowed in text"),
    ((("# yaml-language-server: $schema=paper.schema.json", "# a record"),),
     f"1 : the first line must be: {FIRST_LINE}"),
]  # fmt: skip


@pytest.mark.parametrize(("swaps", "expected"), SLIPS)
def test_slips_between_parts(
    swaps: tuple[tuple[str, str], ...], expected: str | None, write_record: Write
) -> None:
    told = messages(write_record(*swaps))
    assert told == ([expected] if expected is not None else [])


def test_planned_benchmarks_are_known(write_record: Write) -> None:
    path = write_record(
        ("[mnist-lenet-300-100]", "[mnist-lenet-300-100, mnist-lenet-5]"),
        ("tables:", "  - {name: two, title: Two runs, benchmark: mnist-lenet-5}\ntables:"),
    )
    assert messages(path) == []


ROW = (
    "| Neural networks with few multiplications [[paper]](https://arxiv.org/pdf/1510.03009v3.pdf) "
    "[[notes]](https://github.com/mjc92/studies/blob/master/notes/"
    "Neural_networks_with_few_multiplications.md) | 2016 |  | | | O | | | **CNN** |"
)
DIFFERENCES = ("pruning", "parameter_quantization", "software")


def source(row: str, *flags: str) -> str:
    lines = "".join(f"    - {{flag: {flag}, reason: We see it so.}}\n" for flag in flags)
    return f"source:\n  row: '{row}'\n" + (f"  differences:\n{lines}" if flags else "")


def test_exactly_the_flags_that_differ_are_listed(write_record: Write) -> None:
    assert messages(write_record(also=source(ROW, *DIFFERENCES))) == []
    told = only(write_record(also=source(ROW, "pruning", "software")))
    assert told == (
        "56 source.differences: flag 'parameter_quantization' differs from the source's row: "
        "list it with a reason"
    )
    told = only(write_record(also=source(ROW, *DIFFERENCES, "hardware")))
    assert told.startswith("60 source.differences[3].flag: flag 'hardware' agrees with the source")
    told = only(write_record(("network_type: cnn", "network_type: rnn"),
                             also=source(ROW, *DIFFERENCES)))  # fmt: skip
    assert "flag 'dnn_type' differs" in told
    told = only(write_record(also="source:\n  differences: [{flag: pruning, reason: x}]\n"))
    assert "there is no source row to differ from" in told


@pytest.mark.parametrize("row", [ROW + " ", ROW[:-1], ROW.replace("few", "Few")])
def test_a_row_is_the_sources_byte_for_byte(row: str, write_record: Write) -> None:
    assert only(write_record(also=source(row, *DIFFERENCES))).startswith(
        "55 source.row: no row of the source reads so, byte for byte: '| Neural networks"
    )


def test_listings_are_the_sources_lines(write_record: Write) -> None:
    listing = "source:\n  listing:\n    list: {}\n    lines: ['{}']\n"
    line = "- Trained ternary quantization. Zhu et al (S.Han). 2017"
    assert messages(write_record(also=listing.format("To be seen soon", line))) == []
    for name, text in (("Theory", line), ("To be seen soon", line[:-1])):
        told = only(write_record(also=listing.format(name, text)))
        assert told.startswith("57 source.listing.lines: these lines do not stand so in the list")


def test_faults_between_files(write_record: Write, tmp_path: Path) -> None:
    first = write_record(also=source(ROW, *DIFFERENCES))
    second = write_record(also=source(ROW, *DIFFERENCES), name="2016-twin")
    faults = check_catalog([first.parent])
    assert [(f.line, f.field) for f in faults] == [(55, "source.row")]
    other = tmp_path / "other"
    other.mkdir()
    second.unlink()
    (other / "2016-small.yaml").write_text(first.read_text().partition("source:\n")[0])
    told = [fault.message for fault in check_catalog([first.parent, other])]
    assert len(told) == 1
    assert told[0].startswith("the id '2016-small' is taken by ")


def test_a_folder_is_read_once_and_only_its_records(write_record: Write) -> None:
    path = write_record()
    folder = path.parent
    (folder / "_draft.yaml").write_text("x")
    (folder / ".hidden.yaml").write_text("x")
    (folder / "readme.md").write_text("x")
    assert len(load_catalog([folder, folder, folder / ".." / folder.name]).papers) == 1
    (folder / "2016-other.yml").write_text("x")
    (folder / "2016-SMALL.yaml").write_text(path.read_text())
    told = {(Path(f.file).name, f.message) for f in check_catalog([folder])}
    assert ("2016-other.yml", "a record's file name ends in .yaml") in told
    message = "the id '2016-small' is not the file's name '2016-SMALL' less .yaml"
    assert ("2016-SMALL.yaml", message) in told


def test_links_that_leave_the_folder_are_not_followed(write_record: Write, tmp_path: Path) -> None:
    folder = write_record().parent
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: hunter2\n")
    (folder / "2016-link.yaml").symlink_to(secret)
    (fault,) = check_catalog([folder])
    assert fault.message == "is a link that leads out of the folder"
    assert "hunter2" not in str(fault)


def test_the_users_own_folder_stands_beside_ours(
    write_record: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_record()
    monkeypatch.setenv("NETCOMPRESS_PAPERS", str(path.parent))
    assert record_folders()[1] == path.parent
    assert "2016-small" in {paper.id for paper in load_catalog().papers}
    monkeypatch.setenv("NETCOMPRESS_PAPERS", str(path))
    with pytest.raises(FaultyFile, match="is not a folder \\(NETCOMPRESS_PAPERS names it\\)"):
        load_catalog()


def test_a_changed_file_is_read_again(write_record: Write) -> None:
    path = write_record()
    assert check_files([path]) == []
    text = path.read_text()
    path.write_text(text.replace("year: 2016", "year: 1016"))
    assert len(check_files([path])) == 1
    path.write_text(text)
    assert check_files([path]) == []


FIVE_SLIPS = (
    ("year: 2016", "year: no"),
    ("venue:", "vanue:"),
    ("unit: ratio", "unit: ratoi"),
    ("metric: error\n", "metric: eror\n"),
    ("https://example", "ftp://example"),
)


def test_all_faults_of_all_records_come_in_one_pass(write_record: Write) -> None:
    for number in range(12):
        folder = write_record(*FIVE_SLIPS, name=f"2016-number-{number}").parent
    faults = check_catalog([folder])
    assert len(faults) == 60
    for number in range(12):
        own = [fault for fault in faults if fault.file.endswith(f"number-{number}.yaml")]
        assert [(fault.line, fault.field) for fault in own] == [
            (4, "year"),
            (6, "vanue"),
            (9, "links[0].url"),
            (35, "claims[0].metric"),
            (41, "claims[1].unit"),
        ]


def test_faulty_parts_cause_no_further_faults(write_record: Write) -> None:
    """A claim is not blamed for a run, table or benchmark that could not be read."""
    for slip in (
        ("name: one, title: One run", "name: one, titel: One run"),
        ("  - id: table-1", "  - id: Table-1"),
        ("[mnist-lenet-300-100]", "[Mnist]"),
        ("[mnist-lenet-300-100]", "mnist-lenet-300-100"),
        ("evidence: read\n    run", "evidence: red\n    run"),
        ("[pruning]", "[prunning]"),
    ):
        only(write_record(slip, also=source(ROW, *DIFFERENCES)))


def test_faults_behind_a_faulty_claim_keep_their_places(write_record: Write) -> None:
    told = messages(write_record(("check: measured", "check: mesured"),
                                 ("metric: file_ratio", "metric: file_ration"),
                                 ("minuend: error", "minuend: eror")))  # fmt: skip
    assert [line.partition(": ")[0] for line in told] == [
        "30 claims[0].check",
        "45 claims[1].metric",
        "52 claims[2].ordering.minuend",
    ]


def test_twelve_long_records_are_checked_in_under_a_second(write_record: Write) -> None:
    claims = "".join(
        f"  - {{id: c{n}, statement: The error is small., where: {{text: Table {n}}},"
        f' check: measured, evidence: read, unit: percent, reported: "1.{n}",'
        " benchmark: mnist-lenet-300-100, metric: error}\n"
        for n in range(60)
    )
    for number in range(12):
        folder = write_record(also=claims, name=f"2016-number-{number}").parent
    program = (
        "import sys, time; from pathlib import Path; from registry import load_catalog;"
        "n = sum(len(p.claims) for p in load_catalog([Path(sys.argv[1])]).papers);"
        "print(n, 'torch' in sys.modules, time.process_time())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    seconds = []  # of the processor, start of Python included: others may be at work here
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        count, has_torch, spent = done.stdout.split()
        assert (count, has_torch) == (str(12 * 63), "False")
        seconds.append(float(spent))
    assert min(seconds) < 1.0
