"""Sizes by arithmetic: every claim has its measurement, and the totals of the paper's tables."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import arithmetic, imagenet_sizes
from benchmarks.accounting import expected_padding
from benchmarks.benchmark import Context, Outcome, load_benchmarks
from benchmarks.imagenet_sizes import ImagenetSizes, eq_1_ratio
from benchmarks.result import Result
from methods.formats.relative_index import encode_positions
from registry.catalog import PAPERS_FOLDER
from registry.errors import UserError
from registry.record import Paper
from registry.vocabulary import load_vocabulary
from registry.yaml_reader import read_model

PUBLISHED = Path(imagenet_sizes.__file__).with_name("results")


def record(paper: str) -> Paper:
    return read_model(PAPERS_FOLDER / f"{paper}.yaml", Paper)


@pytest.fixture(scope="module")
def paper() -> Paper:
    return record("2016-deep-compression")


@pytest.fixture(scope="module")
def outcome(paper: Paper) -> Outcome:
    return ImagenetSizes().compute(paper)


def value(outcome: Outcome, key: str) -> float:
    return float(outcome.metrics[key].value)


def test_every_claim_of_the_record_has_its_measurement(paper: Paper, outcome: Outcome) -> None:
    claims = [claim for claim in paper.claims if claim.benchmark == ImagenetSizes.name]
    assert len(claims) >= 46
    assert {claim.measured_as for claim in claims} <= set(outcome.metrics)


def test_every_cell_of_tables_4_and_5_that_names_a_metric_has_ours(
    paper: Paper, outcome: Outcome
) -> None:
    for table_id in ("table-4", "table-5"):
        table = paper.table(table_id)
        assert table is not None
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                if column.metric and cell is not None:
                    assert f"{column.metric}.{row.layer or row.id}" in outcome.metrics


@pytest.mark.parametrize(
    ("network", "of_rows", "unpadded", "kilobytes"),
    [
        ("lenet-300-100", (31.0, 41.0), (34.7, 46.3), (25.983, 22.999)),
        ("lenet-5", (33.0, 36.6), (35.2, 39.2), (47.055, 43.882)),
        ("alexnet", (26.9, 34.5), (30.6, 39.6), (7070, 6161)),
        ("vgg16", (33.3, 52.7), (36.9, 58.3), (10503, 9488)),
    ],
)
def test_totals_in_three_ways(
    outcome: Outcome,
    network: str,
    of_rows: tuple[float, float],
    unpadded: tuple[float, float],
    kilobytes: tuple[float, float],
) -> None:
    for suffix, ratios in (("_of_rows", of_rows), ("_unpadded", unpadded)):
        for metric, ratio in zip(("quantized_ratio", "coded_ratio"), ratios, strict=True):
            assert round(value(outcome, f"{metric}{suffix}.{network}"), 1) == ratio
    for suffix, size in zip(("_of_rows", "_unpadded"), kilobytes, strict=True):
        assert value(outcome, f"bytes{suffix}.{network}") == pytest.approx(1000 * size, rel=1e-4)
    padded = value(outcome, f"coded_ratio.{network}")
    assert padded < value(outcome, f"coded_ratio_unpadded.{network}")


def test_a_layer_by_hand(outcome: Outcome) -> None:
    # Table 4, fc8: 25 % of 4,096,000 weights, 5 and 4 bits, then 4 and 3.2, 32 shared values.
    bare = (1_024_000 * (5 + 4) + 32 * 32) / (32 * 4_096_000)
    assert value(outcome, "quantized_rate_unpadded.alexnet.fc8") == pytest.approx(bare)
    padding = 0.75**16 / (1 - 0.75**16)
    assert value(outcome, "padding.alexnet.fc8") == pytest.approx(padding, rel=1e-4)
    coded = (1_024_000 * (1 + padding) * (4 + 3.2) + 32 * 32) / (32 * 4_096_000)
    assert value(outcome, "coded_rate.alexnet.fc8") == pytest.approx(coded, rel=1e-6)


@pytest.mark.parametrize(
    ("layer", "entries"),
    # Entries that the printed rates after Huffman coding leave room for.
    [
        ("lenet-300-100.ip1", 21_304),
        ("lenet-5.ip1", 34_731),
        ("alexnet.fc6", 4_066_086),
        ("vgg16.fc6", 5_094_458),
        ("vgg16.fc7", 808_417),
    ],
)
def test_padding_implied_by_the_printed_rate(
    paper: Paper, outcome: Outcome, layer: str, entries: int
) -> None:
    survivors = {
        "lenet-300-100.ip1": 18_816,
        "lenet-5.ip1": 32_000,
        "alexnet.fc6": 3_397_386,
        "vgg16.fc6": 4_110_418,
        "vgg16.fc7": 671_089,
    }
    implied = value(outcome, f"padding_implied.{layer}")
    assert survivors[layer] * (1 + implied) == pytest.approx(entries, rel=1e-4)


def test_the_example_of_equation_1(outcome: Outcome) -> None:
    assert value(outcome, "quantized_ratio.eq-1-example") == pytest.approx(3.2)
    assert eq_1_ratio(weights=16, clusters=16) == pytest.approx(16 * 32 / (16 * 4 + 16 * 32))


@pytest.mark.parametrize(("density", "bits"), [(0.04, 5), (0.09, 4), (0.26, 3), (1.0, 4)])
def test_expected_padding_is_that_of_random_positions(density: float, bits: int) -> None:
    kept = np.flatnonzero(np.random.default_rng(0).random(2_000_000) < density)
    fields, is_padding = encode_positions(kept, bits)
    measured = is_padding.sum() / (fields.size - is_padding.sum())
    assert measured == pytest.approx(expected_padding(density, bits), rel=0.02, abs=1e-6)


@pytest.mark.parametrize("density", [0.0, -0.1, 1.5, float("nan")])
def test_a_density_is_a_share(density: float) -> None:
    with pytest.raises(ValueError, match="density"):
        expected_padding(density, 4)


def test_remarks_show_totals_that_do_not_follow(outcome: Outcome) -> None:
    (vgg,) = (remark for remark in outcome.remarks if remark.startswith("vgg16"))
    assert "printed total 31 times before and 49 after" in vgg
    assert "add up to 33.3 and 52.7" in vgg


def test_other_records_get_what_follows_from_shapes() -> None:
    found = ImagenetSizes().compute(record("2016-squeezenet"))
    assert value(found, "parameters.squeezenet") == 1_248_424
    assert value(found, "operations.squeezenet") == pytest.approx(1.7227e9, rel=1e-4)
    assert value(found, "parameter_ratio.squeezenet") == pytest.approx(48.83, abs=0.01)
    assert value(found, "parameter_bytes.squeezenet-ratio-0.75") == 4 * 4_841_704
    assert not found.remarks


def test_a_record_that_lost_a_cell_is_told_so(paper: Paper) -> None:
    table = paper.table("table-4")
    assert table is not None
    row = table.rows[0].model_copy(update={"cells": (None,) * len(table.columns)})
    broken = table.model_copy(update={"rows": (row, *table.rows[1:])})
    tables = tuple(broken if one.id == "table-4" else one for one in paper.tables)
    with pytest.raises(UserError, match="'table-4' says nothing in row 'conv1', column 'kept'"):
        ImagenetSizes().compute(paper.model_copy(update={"tables": tables}))
    with pytest.raises(UserError, match="no table 'table-2'"):
        ImagenetSizes().compute(paper.model_copy(update={"tables": ()}))


def test_it_runs_without_a_method(
    paper: Paper, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneRecord:
        def get(self, paper_id: str) -> Paper:
            assert paper_id == paper.id
            return paper

    monkeypatch.setattr(arithmetic, "load_catalog", OneRecord)
    context = Context(paper.id, "sizes", "quick", 0, "", "cpu", tmp_path, {})
    assert ImagenetSizes().run(None, context).metrics == outcome.metrics


def test_published_results_are_what_the_record_gives_today() -> None:
    # The record's tables are input here, and no part of a result's fingerprint.
    for path in sorted(PUBLISHED.glob(f"*/{ImagenetSizes.name}/*.json")):
        result = Result.model_validate_json(path.read_bytes())
        if result.benchmark_revision == ImagenetSizes.revision and result.outcome == "done":
            today = ImagenetSizes().compute(record(result.identity.paper))
            assert {key: m.value for key, m in result.metrics.items()} == pytest.approx(
                {key: m.value for key, m in today.metrics.items()}
            )


def test_both_are_built_with_the_vocabularys_metrics() -> None:
    built = load_benchmarks()
    for name in ("imagenet-sizes", "pruned-layer-speed"):
        assert built[name].metrics == load_vocabulary().benchmarks[name].metrics
        assert load_vocabulary().benchmarks[name].status == "built"
