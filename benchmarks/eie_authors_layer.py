"""The authors' own layer on the simulated machine: every number of it is exact.

The authors of EIE published, beside their cycle-accurate simulator, one layer encoded for 64
processing elements with one input vector. Little-endian words of 32 bits throughout:

* ``act.dat``: the activations, float;
* ``arithm.dat``: the table of 16 shared values, float;
* ``ptr<k>.dat``, k a PE: where each column begins in the PE's stream. The bias is the column after
  the inputs, at their number rounded up to whole groups of one a PE; its end is the last pointer;
* ``spm<k>.dat``: two words an entry, the code and the run of zeros before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.benchmark import Context, Outcome, without_interval
from benchmarks.datasets import contents
from benchmarks.eie_authors_files import ACTIVATION, CODEBOOK, PES, entry_file, pointer_file
from methods.eie.coded import SLOTS, check_activation, check_codebook
from methods.eie.encode import SPAN, EncodedLayer, decode
from methods.eie.energy import energy
from methods.eie.machine import Machine, Simulation, simulate, simulate_with_outputs
from methods.method import Method
from registry.errors import UserError
from registry.vocabulary import Metric, load_vocabulary

OUTPUTS, INPUTS = 1000, 4096
DEPTHS = (1, 2, 3, 4, 5, 8, 9, 16, 32, 64, 128, 256)
"""Those of Fig. 8, and a few between."""
WIDTHS = (16, 32, 64, 128, 256, 512)
"""Those of Fig. 9, and 16."""
LARGEST = 5
MICROSECOND = 1e-6


@dataclass(frozen=True)
class AuthorsLayer:
    """A layer as it lies in the files, and its input."""

    encoded: EncodedLayer
    activation: NDArray[np.float32]

    @classmethod
    def read(
        cls,
        files: Mapping[str, bytes],
        outputs: int = OUTPUTS,
        inputs: int = INPUTS,
        pes: int = PES,
    ) -> "AuthorsLayer":
        """From the bytes of the files by name.

        Raises:
            UserError: a file is not there or of another size than the layer's, or pointers or
                entries are none of any encoding; names the file where one alone is at fault.
        """
        activation = _words(files, ACTIVATION, "<f4", inputs)
        table = _words(files, CODEBOOK, "<f4", SLOTS)
        pointers = np.empty((pes, inputs + 2), np.int32)
        streams = []
        for pe in range(pes):
            streams.append(_stream(files, entry_file(pe)))
            pointers[pe] = _pointers(files, pointer_file(pe), inputs, pes, streams[-1].size)
        try:
            encoded = EncodedLayer(
                outputs, inputs, pes, check_codebook(table), np.concatenate(streams), pointers,
                has_bias=True,
            )  # fmt: skip
            decode(encoded)
            return cls(encoded, check_activation(activation, inputs))
        except UserError as error:
            raise UserError(f"the authors' layer: {error}") from None

    def run(self, **changes: Any) -> Simulation:
        """On the paper's machine, but for ``changes`` of its parameters."""
        return simulate(self.encoded, self.activation, Machine(pes=self.encoded.pes, **changes))

    def outputs(self) -> NDArray[np.float32]:
        """In float32, without the ReLU."""
        machine = Machine(pes=self.encoded.pes)
        return simulate_with_outputs(self.encoded, self.activation, machine)[1]

    def largest(self, count: int = LARGEST) -> list[tuple[int, float]]:
        """The largest outputs, falling: their rows, from 0, and values."""
        outputs = self.outputs()
        order = np.argsort(-outputs, kind="stable")[:count]
        return [(int(row), float(outputs[row])) for row in order]


def _words(files: Mapping[str, bytes], name: str, kind: str, count: int) -> NDArray[Any]:
    if name not in files:
        raise UserError(f"the authors' layer: {name} is not there")
    if len(files[name]) != 4 * count:
        raise UserError(f"{name} has {len(files[name]):,} bytes instead of {4 * count:,}")
    return np.frombuffer(files[name], kind)


def _stream(files: Mapping[str, bytes], name: str) -> NDArray[np.uint8]:
    """Entries of a PE, each in a byte: code + 16 * run."""
    size = len(files.get(name, b""))
    pairs = _words(files, name, "<u4", size // 8 * 2).reshape(-1, 2)
    if pairs.size and int(pairs.max()) >= SPAN:
        place = int(np.flatnonzero((pairs >= SPAN).any(axis=1))[0])
        code, run = pairs[place].tolist()
        raise UserError(f"{name}: entry {place} has code {code} and run {run}, beyond 4 bits")
    entries: NDArray[np.uint8] = (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8)
    return entries


def _pointers(
    files: Mapping[str, bytes], name: str, inputs: int, pes: int, entries: int
) -> NDArray[np.int64]:
    """Pointers of the inputs and of the bias, (inputs + 2)."""
    bias = -(-inputs // pes) * pes
    pointers = _words(files, name, "<u4", bias + 2).astype(np.int64)
    falls = np.flatnonzero(np.diff(pointers) < 0)
    if falls.size:
        raise UserError(f"{name}: pointer {int(falls[0]) + 1} is below the one before it")
    if pointers[0] != 0 or pointers[-1] != entries:
        raise UserError(
            f"{name}: pointers from {pointers[0]} to {pointers[-1]} for {entries} entries"
        )
    if pointers[inputs] != pointers[bias]:
        raise UserError(f"{name}: there are entries between the inputs and the bias")
    return np.append(pointers[: inputs + 1], pointers[-1])


class EieAuthorsLayer:
    """The layer by depth of the queues and by width of the memory's port."""

    name: ClassVar[str] = "eie-authors-layer"
    metrics: ClassVar[Mapping[str, Metric]] = load_vocabulary().benchmarks[name].metrics
    revision: ClassVar[int] = 1

    def __init__(self, depths: Sequence[int] = DEPTHS, widths: Sequence[int] = WIDTHS) -> None:
        self.depths = tuple(depths)
        self.widths = tuple(widths)

    def run(self, method: Method | None, context: Context) -> Outcome:
        """Simulate it; ``method`` takes no part, and nothing is random."""
        layer = AuthorsLayer.read(contents(context.data, context.progress))
        return self.measure(layer)

    def measure(self, layer: AuthorsLayer) -> Outcome:
        """Every metric of a layer."""
        run, coded, largest = layer.run(), layer.encoded.decoded, layer.largest()
        values: dict[str, float] = {
            "theoretical_seconds": run.theoretical_us * MICROSECOND,
            "actual_seconds": run.time_us * MICROSECOND,
            "entries": run.entries,
            "stored_entries": run.stored_entries,
            "padding_entries": run.padding_entries,
            "broadcasts": run.broadcasts,
            "pointer_reads": run.pointer_reads,
            "weight_density": coded.density,
            "activation_density": float((layer.activation > 0).mean()),
            "largest_output": largest[0][0],
            "energy": energy(run).uj * MICROSECOND,
        }
        for depth in self.depths:
            deep = layer.run(queue_depth=depth)
            values[f"cycles_by_depth.{depth}-depth"] = deep.cycles
            values[f"load_balance_by_depth.{depth}-depth"] = deep.load_balance or 0.0
        for width in self.widths:
            reads = layer.run(width_bits=width).spmat_reads
            values[f"spmat_reads_by_width.{width}-bits"] = reads
        told = ", ".join(f"{row} ({value:.3f})" for row, value in largest)
        remarks = [f"largest outputs, rows counted from 0: {told}", *energy(run).remarks]
        return Outcome(without_interval(values, self.metrics), remarks=remarks)
