"""Vector code for numba's intrinsics: 16 lanes of float32 or of words; imports numba.

The code is LLVM's own, so it compiles for any processor, in registers of 16 lanes where it has
them and in several narrower ones elsewhere; only ``look_up``, ``look_up_bytes``, ``permute`` and
``dot`` need AVX-512.
"""

from typing import Any

from llvmlite.binding import llvm_version_info
from numba.core import cgutils
from numba.core.registry import cpu_target

LANES = 16
tools: Any = cgutils
ir: Any = tools.ir
WORD = ir.IntType(32)
INDEX = ir.IntType(64)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
WORDS = ir.VectorType(WORD, LANES)
SHORTS = ir.VectorType(ir.IntType(16), 2 * LANES)
BYTES = ir.VectorType(ir.IntType(8), 4 * LANES)
_DOT_OPERAND = BYTES if llvm_version_info[0] >= 22 else WORDS
"""Of the dot product's intrinsic, whose arguments LLVM 22 declares as what they are."""


def has_avx512(*parts: str) -> bool:
    """Whether numba compiles for a processor with AVX-512, and with its parts, such as ``bw``."""
    features = str(cpu_target.target_context.codegen().magic_tuple()[2]).split(",")
    return all(f"+avx512{part}" in features for part in ("f", *parts))


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

    def zeros(self, count: int, kind: Any = FLOATS) -> list[Any]:
        """So many variables of one vector each, set to 0 here."""
        slots = [tools.alloca_once(self.builder, kind) for _ in range(count)]
        for slot in slots:
            self.builder.store(ir.Constant(kind, None), slot)
        return slots

    def splat(self, value: Any, kind: Any = FLOATS) -> Any:
        """One value in all lanes."""
        empty = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(empty, value, WORD(0))
        places = ir.Constant(ir.VectorType(WORD, kind.count), None)
        return self.builder.shuffle_vector(first, empty, places)

    def constant(self, word: int, kind: Any = WORDS) -> Any:
        """One whole number in all lanes."""
        return ir.Constant(kind, [kind.element(word)] * kind.count)

    def add(self, slot: Any, value: Any) -> None:
        """Adds whole numbers to a variable."""
        self.builder.store(self.builder.add(self.builder.load(slot), value), slot)

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

    def permute(self, table: Any, index: Any) -> Any:
        """In each of 32 lanes of 16 bits the entry that the low five bits of ``index`` name."""
        return self._call("llvm.x86.avx512.permvar.hi.512", table, index, result=SHORTS)

    def look_up_bytes(self, table: Any, index: Any) -> Any:
        """In each byte one of the 16 beside it in ``table``, which ``index`` (0 to 15) names."""
        codes = self.builder.bitcast(index, BYTES)
        return self._call("llvm.x86.avx512.pshuf.b.512", table, codes, result=BYTES)

    def dot(self, sums: Any, unsigned: Any, signed: Any) -> Any:
        """``sums`` and, in each word's lane, the four products of its bytes."""
        a, b = (self.builder.bitcast(value, _DOT_OPERAND) for value in (unsigned, signed))
        return self._call("llvm.x86.avx512.vpdpbusd.512", sums, a, b, result=WORDS)

    def total(self, values: list[Any]) -> Any:
        """The sum, by pairs, so that no addition waits for all before it."""
        while len(values) > 1:
            added = [
                self.builder.fadd(a, b) for a, b in zip(values[::2], values[1::2], strict=False)
            ]
            values = added + values[2 * len(added) :]
        return values[0]

    def _call(self, name: str, *arguments: Any, result: Any = FLOATS) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = tools.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)
