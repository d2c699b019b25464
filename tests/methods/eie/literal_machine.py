"""The machine unit by unit and cycle by cycle, as its description says; slow and literal.

Written from the paper's section IV and from the stated rules of cycles, not from the recurrence
that the fast model uses. Every unit has two phases: ``propagate`` computes from the registers of
all units as the last cycle left them, ``update`` latches. Units of all PEs are one object whose
registers are arrays over the PEs.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stream:
    """What one machine's sparse-matrix memories hold: all PEs' streams one after the other."""

    codes: np.ndarray
    runs: np.ndarray
    begins: np.ndarray  # (pes): where each PE's stream begins
    pointers: np.ndarray  # (columns + 1, pes): from 0 within each PE's own stream


def store(codes, pes):
    """Codes (outputs, columns) as entries: zeros before an entry are counted within its PE."""
    rows, columns = np.nonzero(codes)
    order = np.lexsort((rows, columns, rows % pes))
    rows, columns = rows[order], columns[order]
    lengths = np.zeros((codes.shape[1], pes), np.int64)
    entries, last = [], None
    for row, column, code in zip(*(a.tolist() for a in (rows, columns, codes[rows, columns])),
                                 strict=True):  # fmt: skip
        pe, local = row % pes, row // pes
        if (pe, column) != last:
            last, next_row = (pe, column), 0
        zeros, next_row = local - next_row, local + 1
        while zeros > 15:
            entries.append((0, 15))
            lengths[column, pe] += 1
            zeros -= 16
        entries.append((code, zeros))
        lengths[column, pe] += 1
    stored = np.array(entries, np.int64).reshape(-1, 2)
    pointers = np.concatenate([np.zeros((1, pes), np.int64), np.cumsum(lengths, axis=0)])
    begins = np.cumsum(pointers[-1]) - pointers[-1]
    return Stream(stored[:, 0], stored[:, 1], begins, pointers)


class Scan:
    """Leading non-zero detection: looks at one group of N activations, finds one a cycle."""

    def __init__(self, activation, has_bias, pes, signed):
        self.pes = pes
        self.groups = -(-activation.size // pes)
        held = np.zeros((self.groups + has_bias) * pes, np.float32)
        held[: activation.size] = activation
        if has_bias:
            held[self.groups * pes] = 1.0
        self.held = held.reshape(-1, pes)
        self.groups += has_bias
        self.is_found = self.held != 0 if signed else self.held > 0
        self.inputs, self.has_bias = activation.size, has_bias
        self.group = -1  # cycle 0 fetches group 0
        self.lanes = []
        self.found = None
        self.stalls = 0

    @property
    def ended(self):
        return self.found is None and self.group >= self.groups

    def propagate(self, refused):
        self.stays = self.found is not None and refused
        self.next_found, self.fetches = None, False
        if self.group < 0:
            self.fetches = True
        elif not self.stays and self.group < self.groups:
            if self.lanes:
                self.next_found = (self.group, self.lanes[0])
            self.fetches = not self.lanes or self.lanes[0] == self.pes - 1

    def update(self):
        if self.stays:
            self.stalls += 1
            return
        self.found = self.next_found
        self.lanes = self.lanes[1:]
        if self.fetches:
            self.group += 1
            ended = self.group >= self.groups
            self.lanes = [] if ended else np.flatnonzero(self.is_found[self.group]).tolist()

    def item(self):
        """Column and value of what is found. The bias column's lane holds no input."""
        group, lane = self.found
        bias = self.has_bias and group == self.groups - 1
        return (self.inputs if bias else group * self.pes + lane), self.held[group, lane]


class Queues:
    """One ring of waiting columns a PE; all receive the same, each gives at its own pace."""

    def __init__(self, pes, places):
        self.pe = np.arange(pes)
        self.columns = np.zeros((pes, places), np.int64)
        self.values = np.zeros((pes, places), np.float32)
        self.first = np.zeros(pes, np.int64)
        self.held = np.zeros(pes, np.int64)
        self.places = places

    def is_any_full(self):
        return self.places == self.held.max()

    def heads(self):
        return self.held > 0, self.columns[self.pe, self.first], self.values[self.pe, self.first]

    def update(self, pushed, taken):
        if pushed is not None:
            last = (self.first + self.held) % self.places
            self.columns[self.pe, last], self.values[self.pe, last] = pushed
            self.held += 1
        self.held -= taken
        self.first = (self.first + taken) % self.places


class PointerRead:
    """Takes a column, reads its two pointers, then names one entry a cycle."""

    def __init__(self, pes, pointers):
        self.pe, self.pointers = np.arange(pes), pointers
        self.left = np.zeros(pes, np.int64)  # entries of the column in work
        self.entry = np.zeros(pes, np.int64)
        self.value = np.zeros(pes, np.float32)
        self.trace = []  # what took and what worked in each cycle

    def is_idle(self):
        return self.left == 0

    def propagate(self, offered, columns, values):
        self.takes = offered & (self.left == 0)
        begin = self.pointers[columns, self.pe]
        length = self.pointers[columns + 1, self.pe] - begin
        self.at = np.where(self.takes, begin, self.entry)
        self.remaining = np.where(self.takes, length, self.left)
        self.is_first = self.takes
        self.works = self.remaining > 0
        self.with_value = np.where(self.takes, values, self.value)

    def update(self):
        self.value = self.with_value
        self.entry = self.at + self.works
        self.left = self.remaining - self.works
        self.trace.append((self.takes, self.works))

    def counters(self, cycles):
        """Reads, entries and bubbles, from the trace. A bubble before a PE's last entry is an
        empty column or starvation, cycle 0 left out; one after it belongs to the tail.
        """
        takes, works = (np.array(held) for held in zip(*self.trace, strict=True))
        numbers = np.arange(len(works))[:, None]
        last = (numbers * works).max(axis=0)
        before = (numbers > 0) & (numbers <= last)
        return {
            "entries": int(works.sum()),
            "pointer_reads": int(takes.sum()),
            "empty_cycles": int((before & takes & ~works).sum()),
            "starvation_cycles": int((before & ~takes & ~works).sum()),
            "tail_cycles": int((cycles - last).sum()),
        }


class SparseMatrixRead:
    """Holds one line of the memory; reads only where the entry lies in another one."""

    def __init__(self, pes, stream, width_bits):
        self.stream, self.line_entries = stream, width_bits // 8
        self.line = np.full(pes, -1)
        self.reads = 0
        self.valid = np.zeros(pes, bool)
        self.entry, self.value, self.is_first = None, None, None

    def propagate(self):
        self.out = None
        if self.valid.any():
            line = np.where(self.valid, self.entry // self.line_entries, self.line)
            self.is_read, self.next_line = line != self.line, line
            place = np.where(self.valid, self.stream.begins + self.entry, 0)
            self.out = (self.valid, self.stream.codes[place], self.stream.runs[place],
                        self.value, self.is_first)  # fmt: skip

    def update(self, works, entry, value, is_first):
        if self.out is not None:
            self.reads += int(self.is_read.sum())
            self.line = self.next_line
        self.valid, self.entry, self.value, self.is_first = works, entry, value, is_first


class Arithmetic:
    """Four stages: lookup and address, read and multiply, add, write. None is an empty stage."""

    def __init__(self, pes, outputs, codebook):
        self.pe, self.codebook = np.arange(pes), codebook
        self.sums = np.zeros((pes, -(-outputs // pes) + 16), np.float32)
        self.address = np.full(pes, -1)
        self.lookup = self.multiply = self.add = self.write = self.written = None
        self.padding = 0
        self.last_write = -1

    def propagate(self):
        self.to_multiply = self.to_add = self.to_write = None
        if self.lookup is not None:
            valid, codes, runs, value, is_first = self.lookup
            start = np.where(is_first, -1, self.address)
            self.next_address = np.where(valid, start + runs + 1, self.address)
            self.is_padding = valid & (codes == 0)
            self.to_multiply = (valid & (codes != 0), self.next_address,
                                self.codebook[codes], value)  # fmt: skip
        if self.multiply is not None:
            real, address, weight, value = self.multiply
            read = self.sums[self.pe, np.where(real, address, 0)]
            self.to_add = (real, address, weight * value, read)
        if self.add is not None:
            real, address, product, read = self.add
            # The register was read before its two predecessors had written: newest first.
            for ahead in (self.written, self.write):
                if ahead is not None:
                    read = np.where(ahead[0] & (ahead[1] == address), ahead[2], read)
            self.to_write = (real, address, read + product)

    def update(self, lookup, cycle):
        if self.write is not None:
            real, address, total = self.write
            self.sums[self.pe[real], address[real]] = total[real]
            self.last_write = cycle
        if self.lookup is not None:
            self.address = self.next_address
            self.padding += int(self.is_padding.sum())
        self.written, self.write = self.write, self.to_write
        self.add, self.multiply, self.lookup = self.to_add, self.to_multiply, lookup

    def is_empty(self):
        stages = (self.lookup, self.multiply, self.add, self.write)
        return all(stage is None for stage in stages)


class Machine:
    """All units, driven together."""

    def __init__(self, case):
        codes = case.codes if case.bias_codes is None else np.column_stack(
            [case.codes, case.bias_codes]
        )  # fmt: skip
        self.outputs, self.pes = codes.shape[0], case.pes
        self.stream = store(codes, case.pes)
        has_bias = case.bias_codes is not None
        self.scan = Scan(case.activation, has_bias, case.pes, case.signed)
        self.queues = Queues(case.pes, case.queue_depth - 1) if case.queue_depth > 1 else None
        self.pointers = PointerRead(case.pes, self.stream.pointers)
        self.matrix = SparseMatrixRead(case.pes, self.stream, case.width_bits)
        self.arithmetic = Arithmetic(case.pes, self.outputs, case.codebook)
        self.cycle = self.broadcasts = 0

    def step(self):
        """One cycle: every unit propagates, then every unit updates."""
        scan, queues, pointers = self.scan, self.queues, self.pointers
        if queues is None:  # lock-step: what is found goes to all PEs at once, or to none
            refused = not pointers.is_idle().all()
            column, value = scan.item() if scan.found is not None else (0, np.float32(0))
            offered = np.full(self.pes, scan.found is not None and not refused)
            pointers.propagate(offered, np.full(self.pes, column), np.full(self.pes, value))
        else:
            refused = queues.is_any_full()
            pointers.propagate(*queues.heads())
        pushed = scan.item() if scan.found is not None and not refused else None
        scan.propagate(refused)
        self.matrix.propagate()
        self.arithmetic.propagate()

        self.broadcasts += pushed is not None
        if queues is not None:
            queues.update(pushed, pointers.takes)
        scan.update()
        self.arithmetic.update(self.matrix.out, self.cycle)
        self.matrix.update(pointers.works, pointers.at, pointers.with_value, pointers.is_first)
        pointers.update()
        self.cycle += 1

    def is_done(self):
        """Nothing left to scan, to take, or to write."""
        waiting = self.queues is not None and self.queues.held.any()
        working = self.pointers.left.any() or self.matrix.valid.any()
        return self.scan.ended and not waiting and not working and self.arithmetic.is_empty()


@dataclass(frozen=True)
class Case:
    """A layer as codes, its activation and the machine's parameters."""

    codes: np.ndarray
    codebook: np.ndarray
    bias_codes: np.ndarray | None
    activation: np.ndarray
    pes: int
    queue_depth: int
    width_bits: int
    signed: bool = False


def run(case):
    """Counters by name, and the outputs, float32, without ReLU."""
    machine = Machine(case)
    while not machine.is_done():
        machine.step()
    stream = machine.stream
    # The cycle of the last write is the layer's last; counted from 0.
    cycles = machine.arithmetic.last_write + 1
    counters = {
        "cycles": cycles,
        "padding_entries": machine.arithmetic.padding,
        "stored_entries": stream.codes.size,
        "stored_padding_entries": int((stream.codes == 0).sum()),
        "broadcasts": machine.broadcasts,
        "spmat_reads": machine.matrix.reads,
        # To the last broadcast, also where that lies behind the end; none if no cycle counts.
        "stall_cycles": machine.scan.stalls,
        **machine.pointers.counters(cycles),
    }
    rows = np.arange(machine.outputs)
    return counters, machine.arithmetic.sums[rows % case.pes, rows // case.pes]


def draw(seed, most_columns=18, most_rows=5):
    """A random case: most are small, some have long gaps, idle PEs, or nothing at all."""
    random = np.random.default_rng(seed)
    pes = int(2 ** random.uniform(0, 8.01)) if random.random() < 0.8 else 1
    local_rows = random.uniform(0.2, most_rows)
    density = random.choice([0, 0.03, 0.1, 0.1, 0.3, 0.7, 1], p=[0.06, *[0.16] * 5, 0.14])
    if pes < 12 or random.random() < 0.1:
        local_rows *= 10  # room for gaps of 16 and more
        density *= 0.3
    outputs = max(1, int(pes * local_rows))
    inputs = int(random.integers(1, 1 + most_columns)) * (4 if pes < 3 else 1)
    codes = random.integers(1, 16, (outputs, inputs), np.uint8)
    codes[random.random((outputs, inputs)) >= density] = 0
    codes[:, random.random(inputs) < random.choice([0, 0, 0.4])] = 0
    activation = random.normal(size=inputs).astype(np.float32)
    if random.random() < 0.6:
        activation = np.abs(activation)
    activation[random.random(inputs) >= random.choice([0.1, 0.5, 0.9, 1, 1])] = 0
    bias_codes = None
    if random.random() < 0.5:
        bias_codes = random.integers(1, 16, outputs, np.uint8)
        bias_codes[random.random(outputs) < random.random()] = 0
    width = random.choice([24, 48, 136]) if random.random() < 0.1 else 2 ** random.integers(4, 10)
    depths = [1, 2, 2, 3, 4, 5, 8, random.integers(1, 17), random.integers(1, 257)]
    return Case(
        codes, np.concatenate([[0], random.normal(size=15)]).astype(np.float32), bias_codes,
        activation, pes, int(random.choice(depths)), int(width),
        signed=bool(random.random() < 0.3),
    )  # fmt: skip
