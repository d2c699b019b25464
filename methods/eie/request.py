"""What a user asks of the machine, and its carrying out: one layer from a file or from a shape."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from methods.eie.coded import CodedLayer, relative_change
from methods.eie.draw import random_activation, random_layer
from methods.eie.encode import check_slices, encode
from methods.eie.inputs import parse_shape, read_layer
from methods.eie.machine import Machine, simulate, simulate_with_outputs
from methods.eie.report import LayerRun
from registry.errors import UserError

OPTIONS = {
    "pes": "--pes", "queue_depth": "--fifo", "width_bits": "--width", "clock_mhz": "--clock-mhz",
}  # fmt: skip
"""How the command line calls the machine's parameters."""


@dataclass(frozen=True)
class Request:
    """Exactly one of ``layer``, ``network`` and ``shape`` is given."""

    layer: Path | None = None
    network: Path | None = None
    shape: str | None = None
    weight_density: float | None = None
    activation_density: float | None = None
    seed: int | None = None
    data: Path | None = None
    wants_outputs: bool = False

    def check(self) -> None:
        """Hold the parts against each other.

        Raises:
            UserError: nothing to simulate, too much, or what does not go with it.
        """
        given = [name for name in ("layer", "network", "shape") if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(f"--{name}" for name in given) or "nothing to simulate"
            raise UserError(
                f"{said}: give one of --layer FILE.npz, --network FILE.netc and --shape OUTxIN"
            )
        (source,) = given
        self._refuse(source)
        if source == "shape":
            for name in ("weight_density", "activation_density"):
                if getattr(self, name) is None:
                    option = "--" + name.replace("_", "-")
                    raise UserError(f"--shape needs {option}, a share from 0 to 1")
        if source == "network" and self.data is None and self.activation_density is None:
            raise UserError(
                "--network needs --data FILE.npz with arrays x and y, or --activation-density, a "
                "share from 0 to 1, to draw the inputs of every layer"
            )
        if self.seed is not None and self.seed < 0:
            raise UserError(f"--seed {self.seed}: give a whole number from 0 on")

    def _refuse(self, source: str) -> None:
        """What only goes with another source."""
        goes_with = {
            "weight_density": ("shape",),
            "activation_density": ("shape", "network"),
            "seed": ("shape", "network"),
            "data": ("network",),
        }
        for name, sources in goes_with.items():
            if getattr(self, name) is not None and source not in sources:
                option = "--" + name.replace("_", "-")
                raise UserError(
                    f"{option} goes with --{' and --'.join(sources)}, not with --{source}: "
                    "leave it out"
                )
        if source == "network" and self.wants_outputs:
            raise UserError("--outputs goes with --layer and --shape, one layer: leave it out")
        if self.data is not None and self.activation_density is not None:
            raise UserError("--data holds the inputs: leave out --activation-density")


def machine_of(**parameters: Any) -> Machine:
    """The machine with these parameters.

    Raises:
        UserError: no machine has them; every fault at once.
    """
    try:
        return Machine.model_validate(parameters)
    except ValidationError as error:
        said = []
        for fault in error.errors():
            name = str(fault["loc"][0])
            words = fault["msg"].removeprefix("Value error, ").replace("Input should", "it should")
            said.append(f"{OPTIONS.get(name, name)} {fault['input']}: {words}")
        raise UserError("; ".join(said)) from None


def simulate_layer(request: Request, machine: Machine) -> LayerRun:
    """The layer of a file, or one that is drawn, on the machine.

    Raises:
        UserError: it cannot be read, drawn or dealt out.
    """
    if request.layer is None:
        coded, activation = _drawn(request, machine.pes)
        return run_layer(coded, activation, machine, wants_outputs=request.wants_outputs)
    held = read_layer(request.layer)
    coded = held.coded()
    run = run_layer(coded, held.activation, machine, wants_outputs=request.wants_outputs)
    after = coded.bias()
    return replace(
        run,
        change=relative_change(held.weight, coded.weight()),
        negative=0 if machine.signed else int((held.activation < 0).sum()),
        bias_change=(
            None if held.bias is None or after is None else relative_change(held.bias, after)
        ),
    )


def run_layer(
    coded: CodedLayer,
    activation: NDArray[np.float32],
    machine: Machine,
    *,
    wants_outputs: bool = False,
) -> LayerRun:
    """One layer on one activation (inputs)."""
    outputs = None
    try:
        encoded = encode(coded, machine.pes)
        if wants_outputs:
            with np.errstate(over="ignore", invalid="ignore"):  # shown as null
                simulation, outputs = simulate_with_outputs(encoded, activation, machine)
        else:
            simulation = simulate(encoded, activation, machine)
    except MemoryError as fault:
        raise UserError(
            f"{coded.outputs:,} x {coded.inputs:,} on {machine.pes:,} PEs take more memory than "
            "there is: give fewer PEs or a smaller layer"
        ) from fault
    return replace(LayerRun.of(coded, [simulation]), outputs=outputs)


def _drawn(request: Request, pes: int) -> tuple[CodedLayer, NDArray[np.float32]]:
    outputs, inputs = parse_shape(request.shape or "")
    check_slices(inputs, pes)
    seed = request.seed or 0
    weights, activations = request.weight_density or 0.0, request.activation_density or 0.0
    return (
        random_layer(outputs, inputs, weights, seed),
        random_activation(inputs, activations, seed),
    )
