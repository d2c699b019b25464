"""What a run of the machine costs in energy, by the paper's Tables I and II, each part with source.

Two estimates that do not mix. By power: Table II's power of a module, over the clock at which it
was found, is what the module takes in a cycle at the paper's activity; times cycles and PEs. By
events: Table I's energy of an operation, times how often the run did it. The first holds clock and
leakage and is the energy that a report prints; the second says what the operations alone need, and
what the same entries would cost from DRAM.
"""

from dataclasses import dataclass

from methods.eie.machine import ENTRY_BITS, Machine, Simulation

PAPER_CLOCK_MHZ = 800.0
PAPER_WIDTH_BITS = 64

PE_TOTAL_MW = 9.157
"""One PE (Table II, total)."""
PE_POWER_MW = {
    "activation queue": 0.112,
    "pointer read": 1.807,
    "sparse matrix read": 4.955,
    "arithmetic": 1.162,
    "activation read and write": 1.122,
}
"""One PE by module (Table II); together 0.001 mW above the printed total, by rounding."""
ROUNDING = "rounding of Table II"
LNZD_NODE_MW = 0.023
"""One node of the tree that finds the non-zero activations (the paper's text)."""
LNZD_CHILDREN = 4

SRAM_READ_32_PJ = 5.0
DRAM_READ_32_PJ = 640.0
"""A read of 32 bits (Table I, 45 nm)."""
FLOAT_MULTIPLY_32_PJ = 3.7
"""Table I; a 16-bit fixed-point multiplication takes 6.2 times less (Fig. 10)."""
MULTIPLY_16_PJ = FLOAT_MULTIPLY_32_PJ / 6.2

POINTER_PAIR_BITS = 32


@dataclass(frozen=True)
class Part:
    """A share of the energy, in microjoules, and where its constant stands."""

    name: str
    uj: float
    source: str


@dataclass(frozen=True)
class Energy:
    """Both estimates of one run, or of several together."""

    by_power: tuple[Part, ...]
    by_events: tuple[Part, ...]
    dram: Part
    """The same entries fetched from DRAM, in place of the sparse matrix reads."""
    remarks: tuple[str, ...]

    @property
    def uj(self) -> float:
        """By power: microjoules of the whole machine."""
        return sum(part.uj for part in self.by_power)

    @property
    def events_uj(self) -> float:
        """By events: microjoules of the counted operations alone."""
        return sum(part.uj for part in self.by_events)

    def __add__(self, other: "Energy") -> "Energy":
        """Two runs one after the other on the same machine."""
        return Energy(
            _added(self.by_power, other.by_power),
            _added(self.by_events, other.by_events),
            _added((self.dram,), (other.dram,))[0],
            tuple(dict.fromkeys((*self.remarks, *other.remarks))),
        )


def lnzd_nodes(pes: int) -> int:
    """Nodes of the quadtree over so many PEs: 16 + 4 + 1 for 64."""
    nodes = level = -(-pes // LNZD_CHILDREN)
    while level > 1:
        level = -(-level // LNZD_CHILDREN)
        nodes += level
    return nodes


def power_mw(pes: int) -> float:
    """The machine at the paper's clock and activity: 586.5 mW for 64 PEs (Table II)."""
    return pes * PE_TOTAL_MW + lnzd_nodes(pes) * LNZD_NODE_MW


def energy(run: Simulation) -> Energy:
    """Both estimates of a simulation, in microjoules."""
    return Energy(_by_power(run), _by_events(run), _from_dram(run), _remarks(run.machine))


def _by_power(run: Simulation) -> tuple[Part, ...]:
    pes = run.machine.pes
    nodes = lnzd_nodes(pes)
    # mW / MHz = nJ, so a thousandth of it is microjoules a cycle.
    microseconds = run.cycles / PAPER_CLOCK_MHZ
    rows = [
        (name, pes * mw, f"Table II: {mw} mW a PE at 800 MHz") for name, mw in PE_POWER_MW.items()
    ]
    rest = PE_TOTAL_MW - sum(PE_POWER_MW.values())
    rounding = f"the modules add up to {PE_TOTAL_MW - rest:.3f} mW, the total is {PE_TOTAL_MW} mW"
    tree = f"the paper's text: {LNZD_NODE_MW} mW a node, {nodes} nodes over {pes} PEs"
    rows += [(ROUNDING, pes * rest, rounding), ("non-zero detection", nodes * LNZD_NODE_MW, tree)]
    return tuple(Part(name, mw * microseconds / 1_000, source) for name, mw, source in rows)


def _by_events(run: Simulation) -> tuple[Part, ...]:
    sram = f"Table I: {SRAM_READ_32_PJ:g} pJ for 32 bits of SRAM"
    line = run.spmat_reads * run.machine.width_bits / 32 * SRAM_READ_32_PJ
    pair = run.pointer_reads * POINTER_PAIR_BITS / 32 * SRAM_READ_32_PJ
    products = (run.entries - run.padding_entries) * MULTIPLY_16_PJ
    return (
        Part("sparse matrix reads", line / 1e6, f"{sram}, {run.machine.width_bits} bits a read"),
        Part("pointer reads", pair / 1e6, f"{sram}, two pointers of 16 bits a read"),
        Part("multiplications", products / 1e6,
             f"Table I: {FLOAT_MULTIPLY_32_PJ} pJ for a 32-bit float multiplication; Fig. 10: one "
             "of 16-bit fixed point takes 6.2 times less"),
    )  # fmt: skip


def _from_dram(run: Simulation) -> Part:
    picojoules = run.entries * ENTRY_BITS / 32 * DRAM_READ_32_PJ
    source = f"Table I: {DRAM_READ_32_PJ:g} pJ for 32 bits of DRAM, {ENTRY_BITS} bits an entry"
    return Part("the same entries from DRAM", picojoules / 1e6, source)


def _remarks(machine: Machine) -> tuple[str, ...]:
    said = [
        "an estimate: Table II's power is for 45 nm and the paper's own activity, not for what "
        "this run did in each cycle"
    ]
    if machine.width_bits != PAPER_WIDTH_BITS:
        said.append(
            f"Table II is for a port of {PAPER_WIDTH_BITS} bits; the {machine.width_bits} bits "
            "set here change the reads, not this power"
        )
    if machine.clock_mhz != PAPER_CLOCK_MHZ:
        said.append(
            f"Table II is for {PAPER_CLOCK_MHZ:g} MHz; the energy of a cycle is taken as the same "
            f"at {machine.clock_mhz:g} MHz"
        )
    return tuple(said)


def _added(ones: tuple[Part, ...], others: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(
        Part(one.name, one.uj + other.uj, one.source)
        for one, other in zip(ones, others, strict=True)
    )
