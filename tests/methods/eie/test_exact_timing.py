"""The fast model against the literal machine, to the cycle; then worked numbers and rules."""

import numpy as np
import pytest

from methods.eie.coded import CodedLayer
from methods.eie.encode import encode
from methods.eie.machine import Machine, broadcast_columns, simulate, simulate_with_outputs
from methods.eie.timing import cycles_of, positions_of
from registry.errors import UserError

CODEBOOK = np.array([0, *range(1, 16)], np.float32)
LAYERS = 510
COUNTERS = (
    "cycles", "entries", "padding_entries", "stored_entries", "stored_padding_entries",
    "broadcasts", "pointer_reads", "spmat_reads", "stall_cycles", "empty_cycles",
    "starvation_cycles", "tail_cycles",
)  # fmt: skip


def simulate_case(case):
    """Counters by name, and outputs, by the fast model."""
    layer = encode(CodedLayer.from_codes(case.codes, case.codebook, case.bias_codes), case.pes)
    machine = Machine(
        pes=case.pes, queue_depth=case.queue_depth, width_bits=case.width_bits, signed=case.signed
    )
    found = simulate(layer, case.activation, machine)
    counters = {name: getattr(found, name) for name in COUNTERS}
    again, outputs = simulate_with_outputs(layer, case.activation, machine)
    assert counters == {name: getattr(again, name) for name in COUNTERS}
    columns = broadcast_columns(layer, case.activation, signed=case.signed)
    positions = positions_of(layer, columns)
    assert found.cycles == cycles_of(layer.counts, columns, positions, case.queue_depth)
    return counters, outputs


@pytest.fixture(scope="module")
def drawn(literal):
    """Random layers with what the literal machine makes of them: run once for both paths."""
    cases = [literal.draw(seed) for seed in range(LAYERS)]
    return [(case, *literal.run(case)) for case in cases]


def test_the_drawn_layers_have_what_can_go_wrong(drawn):
    def share(holds):
        return sum(holds(case, counters) for case, counters, _ in drawn) / LAYERS

    assert share(lambda _, counters: counters["padding_entries"] > 0) > 0.15
    assert share(lambda _, counters: counters["stall_cycles"] > 0) > 0.3
    assert share(lambda _, counters: counters["empty_cycles"] > 0) > 0.5
    assert share(lambda _, counters: counters["cycles"] == 0) > 0.02
    assert share(lambda case, _: case.pes > case.codes.shape[0]) > 0.05
    assert share(lambda case, _: case.pes == 1) > 0.1
    assert share(lambda case, _: case.queue_depth == 1) > 0.05
    assert share(lambda case, _: case.bias_codes is not None) > 0.4
    assert share(lambda case, _: case.signed) > 0.2
    assert share(lambda case, _: not case.codes.any(axis=0).all()) > 0.2
    assert max(case.pes for case, *_ in drawn) > 200
    assert max(case.queue_depth for case, *_ in drawn) > 200
    assert {case.width_bits for case, *_ in drawn} >= {16, 24, 32, 64, 128, 256, 512}


def test_equal_to_the_literal_machine_to_the_cycle(kernels, drawn):
    for seed, (case, counters, outputs) in enumerate(drawn):
        found, ours = simulate_case(case)
        assert found == counters, f"layer {seed}"
        np.testing.assert_array_equal(ours, outputs, err_msg=f"layer {seed}")


@pytest.mark.trust
@pytest.mark.timeout(1800)
def test_equal_to_the_literal_machine_on_1500_layers(literal, monkeypatch):
    pytest.importorskip("numba")
    for seed in range(10_000, 11_500):
        case = literal.draw(seed, most_columns=70, most_rows=8)
        counters, outputs = literal.run(case)
        for path in ("torch", "numba"):
            monkeypatch.setenv("NETCOMPRESS_KERNELS", path)
            found, ours = simulate_case(case)
            assert found == counters, f"layer {seed}, {path}"
            np.testing.assert_array_equal(ours, outputs, err_msg=f"layer {seed}, {path}")


def run(codes, activation, bias_codes=None, **machine):
    chosen = Machine(**machine)
    layer = CodedLayer.from_codes(np.asarray(codes, np.uint8), CODEBOOK, bias_codes)
    return simulate(encode(layer, chosen.pes), np.asarray(activation, np.float32), chosen)


def literal_counters(literal, codes, activation, bias_codes=None, pes=64, queue_depth=8):
    codes, activation = np.asarray(codes, np.uint8), np.asarray(activation, np.float32)
    case = literal.Case(codes, CODEBOOK, bias_codes, activation, pes, queue_depth, 64)
    return literal.run(case)[0]


def test_the_first_non_zero_is_pushed_in_cycle_2(literal, kernels):
    """Taken in cycle 3, and 6 more: one entry takes 9 cycles; in lock-step 8."""
    for pes in (1, 4, 64):
        assert run([[1]], [1.0], pes=pes).cycles == 9
        assert literal_counters(literal, [[1]], [1.0], pes=pes)["cycles"] == 9
        assert run([[1]], [1.0], pes=pes, queue_depth=1).cycles == 8
    case = literal.Case(np.ones((1, 1), np.uint8), CODEBOOK, None, np.ones(1, np.float32), 4, 8, 64)
    machine = literal.Machine(case)
    pushed = []
    while not machine.is_done():
        before = machine.broadcasts
        machine.step()
        pushed += [machine.cycle - 1] * (machine.broadcasts - before)
    assert pushed == [2]


@pytest.mark.parametrize(("depth", "cycles"), [(1, 55), (2, 103), (3, 56)])
def test_lock_step_can_be_faster_than_one_place(literal, kernels, depth, cycles):
    """16 PEs, one entry a slice, 48 columns."""
    codes, activation = np.ones((16, 48)), np.ones(48)
    assert run(codes, activation, pes=16, queue_depth=depth).cycles == cycles
    found = literal_counters(literal, codes, activation, pes=16, queue_depth=depth)
    assert found["cycles"] == cycles


@pytest.mark.parametrize(
    ("lanes", "cycles"),
    [
        ([0], 9), ([1], 9), ([3], 9), ([0, 1], 10), ([0, 3], 10),
        ([4], 10),     # an all-zero group costs a cycle
        ([0, 4], 11),  # leaving a group costs one
        ([3, 4], 10),  # unless its last lane was the one just sent
        ([3, 8], 11), ([0, 8], 12), ([11], 11),
    ],
)  # fmt: skip
def test_scanning_groups_of_four(literal, kernels, lanes, cycles):
    activation = np.zeros(12)
    activation[lanes] = 1
    assert run(np.ones((4, 12)), activation, pes=4).cycles == cycles
    assert literal_counters(literal, np.ones((4, 12)), activation, pes=4)["cycles"] == cycles


def test_the_bias_comes_last_in_a_group_of_its_own(literal, kernels):
    """Five inputs on four PEs: the bias is lane 0 of group 2, even if it holds nothing."""
    codes, bias = np.zeros((4, 5)), np.ones(4, np.uint8)
    found = run(codes, np.zeros(5), bias, pes=4)
    assert (found.cycles, found.broadcasts, found.entries) == (11, 1, 4)
    assert literal_counters(literal, codes, np.zeros(5), bias, pes=4)["cycles"] == 11
    found = run(np.ones((4, 5)), np.ones(5), np.zeros(4, np.uint8), pes=4)
    assert (found.broadcasts, found.pointer_reads, found.entries) == (6, 24, 20)


def test_nothing_to_do_takes_no_cycle(kernels):
    for codes, activation in (
        (np.ones((4, 6)), np.zeros(6)),
        (np.ones((4, 6)), -np.ones(6)),
        (np.ones((4, 6)), np.full(6, -0.0)),
        (np.zeros((4, 6)), np.ones(6)),
    ):
        found = run(codes, activation, pes=4)
        assert (found.cycles, found.entries, found.spmat_reads) == (0, 0, 0)
        assert found.load_balance is None
        assert found.efficiency is None
        assert found.empty_cycles + found.starvation_cycles + found.tail_cycles == 0


def test_many_columns_of_which_no_slice_is_long_are_no_reason_to_refuse(kernels):
    """Counts of 16 bits could tell of 65,535 entries in each of 40,000 columns; 300 are there."""
    starts = np.arange(40_001) * 300
    rows, codes = np.tile(np.arange(300, dtype=np.int32), 40_000), np.ones(starts[-1], np.uint8)
    layer = encode(CodedLayer(300, 40_000, CODEBOOK, starts, rows, codes), 1)
    found = simulate(layer, np.ones(40_000, np.float32), Machine(pes=1))
    assert found.cycles == 2 + 300 * 40_000 + 6


def test_more_cycles_than_can_be_counted_are_refused(kernels):
    counts, columns = np.full((3, 1), 1_000_000_000, np.uint32), np.arange(3)
    assert cycles_of(counts, columns[:2], columns[:2], 8) == 2_000_000_008
    with pytest.raises(UserError, match="cycles"):
        cycles_of(counts, columns, columns, 8)


def test_pes_without_rows_take_every_item(kernels):
    found = run(np.ones((3, 10)), np.ones(10), pes=8)
    assert found.pointer_reads == 80
    assert found.load_balance == 30 / (8 * found.cycles)


def test_zeros_after_the_last_entry_add_nothing(kernels):
    for extra in (0, 1, 7, 100):
        codes = np.concatenate([np.ones((4, 6)), np.ones((4, extra))], axis=1)
        assert run(codes, [1] * 6 + [0] * extra, pes=4).cycles == 14
        codes[:, 6:] = 0  # broadcast, and empty in every PE
        assert run(codes, np.ones(6 + extra), pes=4).cycles == 14


def test_stalls_are_those_of_all_broadcasts(kernels):
    """One place is refilled in every second cycle, with or without entries in what is sent."""
    empty = run(np.zeros((4, 40)), np.ones(40), pes=4, queue_depth=2)
    assert (empty.cycles, empty.stall_cycles, empty.pointer_reads) == (0, 39, 160)
    assert run(np.zeros((4, 40)), np.ones(40), pes=4, queue_depth=3).stall_cycles == 0


def test_signed_machines_broadcast_negative_values(kernels):
    layer = CodedLayer.from_codes(np.ones((4, 6), np.uint8), CODEBOOK)
    activation = np.array([0, -1, 2, -0.0, 0, -3], np.float32)
    for signed, columns in ((False, [2]), (True, [1, 2, 5])):
        encoded = encode(layer, 4)
        assert broadcast_columns(encoded, activation, signed=signed).tolist() == columns
        found = simulate(encoded, activation, Machine(pes=4, signed=signed))
        assert found.broadcasts == len(columns)


def test_laws(kernels):
    """Bubbles and entries make up all cycles of all PEs; deeper queues are never slower."""
    random = np.random.default_rng(7)
    for pes in (1, 3, 16, 64):
        codes = random.integers(1, 16, (pes * 5, 40)) * (random.random((pes * 5, 40)) < 0.3)
        activation = random.random(40) * (random.random(40) < 0.7)
        layer = encode(CodedLayer.from_codes(codes, CODEBOOK), pes)
        before = None
        for depth in (2, 3, 4, 5, 8, 16, 64, 256):
            found = simulate(layer, activation, Machine(pes=pes, queue_depth=depth))
            bubbles = found.empty_cycles + found.starvation_cycles + found.tail_cycles
            assert found.entries + bubbles == pes * found.cycles
            assert found.load_balance == found.entries / (pes * found.cycles)
            assert before is None or found.cycles <= before
            before = found.cycles


def test_lines_are_read_once_while_entries_stay_in_them(kernels):
    """One PE, 3 columns of 5 entries, 4 to a line: they lie in lines 0-1, 1-2 and 2-3."""
    codes = np.ones((5, 3))
    assert run(codes, [1, 1, 1], pes=1, width_bits=32).spmat_reads == 4
    assert run(codes, [1, 0, 1], pes=1, width_bits=32).spmat_reads == 4
    assert run(codes, [0, 1, 0], pes=1, width_bits=32).spmat_reads == 2
    assert run(codes, [1, 1, 1], pes=1, width_bits=512).spmat_reads == 1


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (np.array([1, np.nan, 1]), "NaN"),
        (np.array([1, np.inf, 1]), "infinity"),
        (np.ones(4), "4 values for a layer of 3 inputs"),
        (np.ones((3, 1)), "shape"),
        ([1.0, 1.0, 1.0], "list"),
        (np.ones(3, int), "int64"),
        (np.array(["a", "b", "c"]), "floating-point"),
    ],
)
def test_bad_activations_are_one_clear_error(activation, message):
    layer = encode(CodedLayer.from_codes(np.ones((4, 3), np.uint8), CODEBOOK), 2)
    with pytest.raises(UserError, match=message):
        simulate(layer, activation, Machine(pes=2))


@pytest.mark.parametrize(
    "wrong",
    [{"pes": 0}, {"pes": -4}, {"queue_depth": 0}, {"width_bits": 0}, {"width_bits": 12},
     {"clock_mhz": 0.0}, {"clock_mhz": float("nan")}, {"pes": 2.5}],
)  # fmt: skip
def test_impossible_machines_are_refused(wrong):
    with pytest.raises((UserError, ValueError)):
        Machine(**wrong)
