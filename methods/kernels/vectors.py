"""Vector code for numba's intrinsics: 16 lanes of float32 or of words; imports numba.

The code is LLVM's own, so it compiles for any processor, in registers of 16 lanes where it has
them and in several narrower ones elsewhere; only ``look_up`` needs AVX-512.
"""

from typing import Any

from numba.core import cgutils
from numba.core.registry import cpu_target

LANES = 16
tools: Any = cgutils
ir: Any = tools.ir
WORD = ir.IntType(32)
INDEX = ir.IntType(64)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
WORDS = ir.VectorType(WORD, LANES)


def has_avx512() -> bool:
    """Whether numba compiles for a processor with AVX-512."""
    features = str(cpu_target.target_context.codegen().magic_tuple()[2])
    return "+avx512f" in features.split(",")


def data(target: Any, builder: Any, kind: Any, value: Any) -> Any:
    """The pointer to the first element of an array that an intrinsic was given."""
    return tools.create_struct_proxy(kind)(target, builder, value=value).data


class Vectors:
    """Loads, stores and arithmetic on 16 lanes, where the builder stands."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def place(self, pointer: Any, index: Any) -> Any:
        return self.builder.gep(pointer, [index])

    def load(self, pointer: Any, kind: Any) -> Any:
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=4)

    def store(self, value: Any, pointer: Any) -> None:
        there = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, there, align=4)

    def zeros(self, count: int) -> list[Any]:
        """So many variables of 16 lanes, set to 0 here."""
        none = ir.Constant(FLOATS, [0.0] * LANES)
        slots = [tools.alloca_once(self.builder, FLOATS) for _ in range(count)]
        for slot in slots:
            self.builder.store(none, slot)
        return slots

    def splat(self, value: Any) -> Any:
        """One float32 in all lanes."""
        empty = ir.Constant(FLOATS, ir.Undefined)
        first = self.builder.insert_element(empty, value, WORD(0))
        return self.builder.shuffle_vector(first, empty, self.constant(0))

    def constant(self, word: int) -> Any:
        """One word in all lanes."""
        return ir.Constant(WORDS, [WORD(word)] * LANES)

    def add_product(self, slot: Any, a: Any, b: Any) -> None:
        """Adds a times b to a variable, in one step where the processor has one."""
        fused = ("contract",)
        product = self.builder.fmul(a, b, flags=fused)
        total = self.builder.fadd(self.builder.load(slot), product, flags=fused)
        self.builder.store(total, slot)

    def look_up(self, table: list[Any], index: Any) -> Any:
        """In each lane the entry that the low bits of ``index`` name.

        ``table`` is 1, 2, 4, 8 or 16 vectors: permutations (of AVX-512) look up in one or two, and
        higher bits select between pairs.
        """
        if len(table) == 1:
            return self._call("llvm.x86.avx512.permvar.sf.512", table[0], index)
        if len(table) == 2:
            return self._call("llvm.x86.avx512.vpermi2var.ps.512", table[0], index, table[1])
        half = len(table) // 2
        low, high = self.look_up(table[:half], index), self.look_up(table[half:], index)
        bit = self.builder.and_(index, self.constant(half * LANES))
        return self.builder.select(
            self.builder.icmp_unsigned("!=", bit, self.constant(0)), high, low
        )

    def total(self, values: list[Any]) -> Any:
        """The sum, by pairs, so that no addition waits for all before it."""
        while len(values) > 1:
            added = [
                self.builder.fadd(a, b) for a, b in zip(values[::2], values[1::2], strict=False)
            ]
            values = added + values[2 * len(added) :]
        return values[0]

    def _call(self, name: str, *arguments: Any) -> Any:
        kind = ir.FunctionType(FLOATS, [argument.type for argument in arguments])
        function = tools.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)
