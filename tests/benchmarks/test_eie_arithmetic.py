"""EIE by arithmetic: every claim and cell has ours, and the paper's derived figures by hand."""

import math
from collections.abc import Callable
from decimal import Decimal

import pytest

from benchmarks.benchmark import Outcome, find_benchmark
from benchmarks.eie_arithmetic import PARTS, EieArithmetic
from benchmarks.eie_layers import LAYERS
from benchmarks.eie_tables import PrintedTables
from benchmarks.verdict import estimate, judge_value
from methods.eie import energy
from registry.catalog import PAPERS_FOLDER
from registry.errors import UserError
from registry.record import Claim, Paper, Table
from registry.units import rounding_range
from registry.yaml_reader import read_model


@pytest.fixture(scope="module")
def eie_paper() -> Paper:
    return read_model(PAPERS_FOLDER / "2016-eie.yaml", Paper)


@pytest.fixture(scope="module")
def outcome(eie_paper: Paper) -> Outcome:
    return EieArithmetic().compute(eie_paper)


@pytest.fixture(scope="module")
def ours(outcome: Outcome) -> Callable[[str], float]:
    return lambda key: float(outcome.metrics[key].value)


def arithmetic_claims(paper: Paper) -> list[Claim]:
    return [claim for claim in paper.claims if claim.benchmark == EieArithmetic.name]


def changed(paper: Paper, table_id: str, row: str, column: str, text: str | None) -> Paper:
    """The record with another text in one cell."""

    def table_of(table: Table) -> Table:
        at = [one.id for one in table.columns].index(column)
        rows = [
            one.model_copy(update={"cells": (*one.cells[:at], text, *one.cells[at + 1 :])})
            if one.id == row
            else one
            for one in table.rows
        ]
        return table.model_copy(update={"rows": tuple(rows)})

    tables = [table_of(one) if one.id == table_id else one for one in paper.tables]
    return paper.model_copy(update={"tables": tuple(tables)})


def test_every_claim_of_the_record_has_its_measurement(eie_paper: Paper, outcome: Outcome) -> None:
    claims = arithmetic_claims(eie_paper)
    assert len(claims) >= 80
    assert {claim.measured_as for claim in claims} <= set(outcome.metrics)


def test_every_metric_of_the_vocabulary_is_measured_and_is_a_number(outcome: Outcome) -> None:
    assert {key.partition(".")[0] for key in outcome.metrics} == set(EieArithmetic.metrics)
    for key, measured in outcome.metrics.items():
        assert math.isfinite(measured.value), key
        assert measured.value > 0, key
        metric = EieArithmetic.metrics[key.partition(".")[0]]
        assert measured.unit == metric.unit
        assert ("." in key) == (metric.per == "layer"), key


def test_only_the_claims_that_the_tables_contradict_are_missed(
    eie_paper: Paper, outcome: Outcome
) -> None:
    verdicts = {}
    for claim in arithmetic_claims(eie_paper):
        assert claim.metric is not None
        assert claim.measured_as is not None
        metric = EieArithmetic.metrics[claim.metric]
        found = estimate([outcome.metrics[claim.measured_as]], metric)
        verdicts[claim.id] = judge_value(claim, metric, found).verdict
    assert {name for name, said in verdicts.items() if said != "reproduced"} == {
        "cpu-speedup", "mobile-gpu-speedup", "nt-we-cpu-speedup", "nt-lstm-cpu-speedup",
        "dram-over-sram", "alexnet-frames", "time-over-theory", "activation-energy",
    }  # fmt: skip


def test_cells_of_the_arithmetic_run_have_ours(eie_paper: Paper, outcome: Outcome) -> None:
    beneath = 0
    for table in eie_paper.tables:
        if table.run != "arithmetic":
            continue
        for row in table.rows:
            for column in table.columns:
                if column.metric is not None:
                    beneath += f"{column.metric}.{row.layer or row.id}" in outcome.metrics
    assert beneath > 100


def test_shares_and_costs_are_the_printed_ones(eie_paper: Paper, outcome: Outcome) -> None:
    """To the printed digit, give or take the rounding of what they are computed from."""
    columns = {
        "table-1": ["relative_cost"],
        "table-2": ["power_share", "area_share"],
        "figure-6": ["gpu_dense", "gpu_sparse"],
        "table-5": ["area_efficiency"],
    }
    checked = 0
    for table_id, names in columns.items():
        table = eie_paper.table(table_id)
        assert table is not None
        for row in table.rows:
            for column in (one for one in table.columns if one.id in names):
                printed = table.cell(row.id, column.id)
                found = outcome.metrics.get(f"{column.metric}.{row.id}")
                if printed is not None and found is not None:
                    assert column.unit is not None
                    near = rounding_range(printed, column.unit)
                    slack = 6e-5 + 1e-4 * near.high
                    assert near.low - slack <= found.value <= near.high + slack, row.id
                    checked += 1
    assert checked == 6 + 9 + 11 + 20 + 6


@pytest.mark.parametrize(
    ("suffix", "wanted"), [("", (193.9, 13.2, 314.3)), ("_of_labels", (189.2, 12.9, 306.6))]
)
def test_speed_ups_of_table_4_and_of_the_labels(
    ours: Callable[[str], float], suffix: str, wanted: tuple[float, float, float]
) -> None:
    means = [ours(f"{name}_speedup_mean{suffix}") for name in ("cpu", "gpu", "mobile_gpu")]
    assert [round(mean, 1) for mean in means] == list(wanted)


def test_speed_ups_by_hand(ours: Callable[[str], float]) -> None:
    assert ours("cpu_speedup.nt-we") == pytest.approx(605.0 / 8.0)
    assert ours("cpu_speedup.nt-lstm") == pytest.approx(470.5 / 7.5)
    assert ours("seconds_of_label.nt-we") == pytest.approx(9.60e-6, rel=1e-3)
    assert ours("seconds_of_label.nt-lstm") == pytest.approx(7.84e-6, rel=1e-3)
    assert ours("cpu_speedup.mean") == ours("cpu_speedup_mean")


def test_time_over_theory(ours: Callable[[str], float]) -> None:
    assert round(ours("actual_over_theory"), 3) == 0.163
    assert round(ours("actual_over_theory_median"), 3) == 0.112
    assert round(ours("layer_over_theory.alex-7"), 3) == 0.043
    assert round(ours("layer_over_theory.nt-we"), 3) == 0.538
    assert ours("load_balance.nt-we") == pytest.approx(0.65)


def test_energy(ours: Callable[[str], float]) -> None:
    assert round(ours("cpu_energy_ratio_mean")) == 24207
    watts = 64 * 9.157e-3 + 21 * 0.023e-3
    assert ours("power.eie-64") == pytest.approx(watts)
    assert ours("energy.alex-7") == pytest.approx(watts * 12.2e-6)
    assert ours("cpu_energy_ratio.alex-7") == pytest.approx(6187.1 * 73 / (12.2 * watts))
    assert ours("dram_energy.alex-7") == pytest.approx(4096 * 4096 * 640e-12)
    assert ours("dram_energy_ratio.alex-7") == pytest.approx(4096**2 * 640e-12 / 12.2e-6 / watts)
    implied = [ours(f"cpu_watts_of_labels.{layer.id}") for layer in LAYERS]
    assert (round(min(implied)), round(max(implied))) == (66, 89)


def test_sums_capacities_and_rates(ours: Callable[[str], float]) -> None:
    assert ours("pe_power.components") == pytest.approx(9.157e-3)
    assert ours("pe_power.modules") == pytest.approx(9.158e-3)
    assert ours("pe_area.components") == pytest.approx(0.638024)
    assert ours("pe_area.modules") == pytest.approx(0.638024)
    assert ours("operations_per_second") == pytest.approx(102.4)
    assert ours("dense_operations_per_second") == pytest.approx(3072)
    assert round(ours("network_frames_per_second")) == 19084
    assert round(ours("frames_per_second.eie-64")) == 81967
    assert ours("frames_per_second.eie-256") == pytest.approx(5.2 / 12.2e-6)
    assert round(ours("throughput_ratio.eie-256"), 2) == 2.88
    assert round(ours("energy_efficiency_ratio.eie-256"), 1) == 19.5
    assert round(ours("area_efficiency_ratio.eie-256"), 2) == 3.06
    assert ours("dram_over_sram") == 128
    assert ours("dram_power") == pytest.approx(12.8)
    assert ours("pointer_reach") == 0.5
    assert ours("pointer_bytes.vgg-6") == 2 * 25_089


@pytest.mark.parametrize(
    ("layer", "bare", "factor", "padded", "least", "most", "inferred"),
    [
        ("alex-6", 23.29, 1.193, 27.79, 26.7, 28.9, 35.5),
        ("alex-7", 10.41, 1.193, 12.42, 11.9, 12.9, 33.3),
        ("alex-8", 7.50, 1.000, 7.50, 7.3, 7.7, 44.5),
        ("vgg-6", 14.69, 1.561, 22.93, 20.9, 24.9, 22.4),
        ("vgg-7", 4.92, 1.561, 7.67, 7.0, 8.3, 38.6),
        ("vgg-8", 7.56, 1.000, 7.56, 7.4, 7.7, 39.7),
        ("nt-we", 4.80, 1.000, 4.80, 4.6, 5.0, 10.83),
        ("nt-wd", 11.33, 1.158, 13.12, 12.7, 13.5, 10.85),
        ("nt-lstm", 5.63, 1.111, 6.26, 6.0, 6.5, 10.48),
    ],
)
def test_theoretical_time_by_formula(
    ours: Callable[[str], float], layer: str, bare: float, factor: float, padded: float,
    least: float, most: float, inferred: float,
) -> None:  # fmt: skip
    assert ours(f"unpadded_seconds.{layer}") == pytest.approx(bare * 1e-6, abs=0.006e-6)
    assert ours(f"padding_factor.{layer}") == pytest.approx(factor, abs=6e-4)
    assert ours(f"padded_seconds.{layer}") == pytest.approx(padded * 1e-6, abs=0.006e-6)
    assert ours(f"padded_seconds_least.{layer}") == pytest.approx(least * 1e-6, abs=0.051e-6)
    assert ours(f"padded_seconds_most.{layer}") == pytest.approx(most * 1e-6, abs=0.051e-6)
    part = "weight" if layer.startswith("nt") else "activation"
    found = ours(f"inferred_{part}_density.{layer}")
    assert found == pytest.approx(inferred / 100, abs=6e-4)


def test_what_the_record_says_of_contradictions_follows_from_the_tables(
    eie_paper: Paper, ours: Callable[[str], float]
) -> None:
    told = " ".join(eie_paper.contradictions)
    for number in (
        f"{ours('cpu_speedup.nt-we'):.1f} and {ours('cpu_speedup.nt-lstm'):.1f}",
        f"{ours('cpu_speedup_mean'):.1f}, {ours('gpu_speedup_mean'):.1f} and "
        f"{ours('mobile_gpu_speedup_mean'):.1f}",
        f"{1000 * ours('power.eie-64'):.1f} mW",
        f"{100 * ours('activation_energy_saving'):.1f} per cent",
        f"implies {100 * ours('inferred_weight_density.nt-we'):.1f}",
        f"mean is {100 * ours('actual_over_theory'):.1f} per cent, the median "
        f"{100 * ours('actual_over_theory_median'):.1f}",
        f"{ours('dram_over_sram'):.0f} times in the text",
        f"a factor of {ours('clock_ratio'):.1f}",
        f"{ours('pointer_bytes.vgg-6') / 1024:.0f} KB",
        f"{1e6 * ours('padded_seconds_least.alex-8'):.1f} to "
        f"{1e6 * ours('padded_seconds_most.alex-8'):.1f}",
        f"{1e6 * ours('padded_seconds_least.vgg-6'):.1f} to "
        f"{1e6 * ours('padded_seconds_most.vgg-6'):.1f}",
    ):
        assert number in told, number


def test_the_remarks_say_why_the_means_differ_and_which_densities_are_ours(
    outcome: Outcome,
) -> None:
    speed, densities = outcome.remarks
    assert "193.9 / 13.2 / 314.3" in speed
    assert "189.2 / 12.9 / 306.6" in speed
    assert "NT-We and NT-LSTM" in speed
    assert "inferred by us" in densities
    assert densities.count(" activations ") == 6
    assert densities.count(" weights ") == 3


def test_the_times_that_stand_in_the_record_twice_are_the_same(eie_paper: Paper) -> None:
    whole, again = (eie_paper.table(name) for name in ("table-4", "table-4-inferred"))
    assert whole is not None
    assert again is not None
    assert len(again.rows) == 9
    for row in again.rows:
        for column in again.columns:
            assert again.cell(row.id, column.id) == whole.cell(row.id, column.id)


def test_numbers_come_from_the_tables_and_nowhere_else(eie_paper: Paper, outcome: Outcome) -> None:
    for cell, key in (
        (("table-1", "dram-read", "energy", "1280"), "dram_over_sram"),
        (("table-2", "memory", "power", "6.416"), "pe_power.components"),
        (("table-4", "alex-7", "cpu_1_dense", "12374.2"), "cpu_speedup_mean"),
        (("figure-6", "nt-we", "eie", "126"), "cpu_speedup_mean_of_labels"),
        (("figure-7", "nt-we", "eie", "18970"), "cpu_energy_ratio_mean"),
        (("table-5", "core-i7", "power", "146"), "energy_efficiency.core-i7"),
        (("table-3", "vgg-6", "weight_density", "8"), "operations_share.vgg-6"),
    ):
        before = outcome.metrics[key].value
        after = EieArithmetic().compute(changed(eie_paper, *cell)).metrics[key].value
        assert before != after, key


def test_a_table_that_lacks_something_is_one_clear_error(eie_paper: Paper) -> None:
    less = tuple(table for table in eie_paper.tables if table.id != "table-2")
    with pytest.raises(UserError, match="no table 'table-2'"):
        EieArithmetic().compute(eie_paper.model_copy(update={"tables": less}))
    for text in (None, "dash", ""):
        broken = changed(eie_paper, "table-4", "vgg-7", "actual", text)
        with pytest.raises(UserError, match="no number in row 'vgg-7', column 'actual'"):
            EieArithmetic().compute(broken)
    tables = PrintedTables(eie_paper)
    with pytest.raises(UserError, match="no row 'vgg-9'"):
        tables.number("table-4", "vgg-9", "actual")
    with pytest.raises(UserError, match="no column 'acutal'"):
        tables.seconds("vgg-7", "acutal")


def test_cells_are_read_in_base_units(eie_paper: Paper) -> None:
    tables = PrintedTables(eie_paper)
    assert tables.exact("table-3", "alex-6", "activation_density") == Decimal("0.351")
    assert tables.seconds("alex-7", "actual") == pytest.approx(12.2e-6)
    assert tables.number("table-5", "core-i7", "weights") == 32  # printed as "32 float"
    assert tables.half_digit("table-3", "alex-6", "activation_density") == 0.0005
    assert tables.half_digit("table-3", "alex-6", "weight_density") == 0.005


def test_the_energy_of_a_run_takes_the_printed_constants(eie_paper: Paper) -> None:
    tables = PrintedTables(eie_paper)
    power = {row: 1e3 * watts for row, watts in tables.numbers("table-2", "power")}
    modules = [power[row] for row in PARTS["modules"] if row in power]
    assert list(energy.PE_POWER_MW.values()) == pytest.approx(modules)
    assert power["total"] == pytest.approx(energy.PE_TOTAL_MW)
    picojoules = {row: 1e12 * joules for row, joules in tables.numbers("table-1", "energy")}
    assert picojoules["sram-read"] == pytest.approx(energy.SRAM_READ_32_PJ)
    assert picojoules["dram-read"] == pytest.approx(energy.DRAM_READ_32_PJ)
    assert picojoules["float-multiply"] == pytest.approx(energy.FLOAT_MULTIPLY_32_PJ)


def test_it_is_found_by_its_name() -> None:
    assert find_benchmark("eie-arithmetic").load() is EieArithmetic
