"""Calls of C functions by address, and stores of whole vectors, from compiled code.

Compiled code without the interpreter's lock can call nothing of Python. What it calls are C
functions whose addresses `c2s_data.store.native_codec` found; memory is given by address too, and
whoever calls these has checked that it is there.
"""

# ruff: noqa: ANN401 - what llvmlite hands over has no types
from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_BYTE: Final = ir.IntType(8)
_WORD: Final = ir.IntType(32)
_SIZE: Final = ir.IntType(64)
_LANES: Final = 16


def _typed_crc(_typing: Any, function: Any, before: Any, data: Any, n: Any) -> Any:
    """Generate ``crc32c_extend(before, data, n)``."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        call = _function(builder, args[0], _WORD, [_WORD, _BYTE.as_pointer(), _SIZE])
        before = builder.trunc(args[1], _WORD) if args[1].type.width > _WORD.width else args[1]
        return builder.call(call, [before, _pointer(builder, args[2]), args[3]])

    return types.uint32(function, before, data, n), generate


def _typed_pread(_typing: Any, function: Any, file: Any, out: Any, n: Any, at: Any) -> Any:
    """Generate ``pread(file, out, n, at)``."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        call = _function(builder, args[0], _SIZE, [_WORD, _BYTE.as_pointer(), _SIZE, _SIZE])
        file = builder.trunc(args[1], _WORD)
        return builder.call(call, [file, _pointer(builder, args[2]), args[3], args[4]])

    return types.int64(function, file, out, n, at), generate


def _typed_decompress(_typing: Any, function: Any, data: Any, out: Any, n: Any) -> Any:
    """Generate ``blosc_decompress_ctx(data, out, n, 1)``: one thread, no global state."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        byte = _BYTE.as_pointer()
        call = _function(builder, args[0], _WORD, [byte, byte, _SIZE, _WORD])
        pointers = [_pointer(builder, args[i]) for i in (1, 2)]
        return builder.call(call, [*pointers, args[3], _WORD(1)])

    return types.int32(function, data, out, n), generate


def _typed_lz4(_typing: Any, function: Any, data: Any, out: Any, n_in: Any, n_out: Any) -> Any:
    """Generate ``LZ4_decompress_safe(data, out, n_in, n_out)``."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        byte = _BYTE.as_pointer()
        call = _function(builder, args[0], _WORD, [byte, byte, _WORD, _WORD])
        pointers = [_pointer(builder, args[i]) for i in (1, 2)]
        sizes = [builder.trunc(args[i], _WORD) for i in (3, 4)]
        return builder.call(call, [*pointers, *sizes])

    return types.int32(function, data, out, n_in, n_out), generate


def _typed_interleave(_typing: Any, low: Any, high: Any, out: Any) -> Any:
    """Generate the store of 16 two-byte numbers, whose bytes lie apart, past the caches."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        one, other = (_load(builder, address) for address in args[:2])
        for half in range(2):
            taken = range(half * _LANES // 2, (half + 1) * _LANES // 2)
            mask = ir.Constant(
                ir.VectorType(_WORD, _LANES), [i for j in taken for i in (j, j + _LANES)]
            )
            address = builder.add(args[2], _SIZE(half * _LANES))
            _stream(context, builder, builder.shuffle_vector(one, other, mask), address)
        return context.get_dummy_value()

    return types.void(low, high, out), generate


def _typed_copy(_typing: Any, data: Any, out: Any) -> Any:
    """Generate the copy of 16 bytes past the caches."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _stream(context, builder, _load(builder, args[0]), args[1])
        return context.get_dummy_value()

    return types.void(data, out), generate


def _typed_copy_word(_typing: Any, data: Any, out: Any) -> Any:
    """Generate the copy of 8 bytes past the caches."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value = builder.load(builder.inttoptr(args[0], _SIZE.as_pointer()), align=1)
        _stream(context, builder, value, args[1])
        return context.get_dummy_value()

    return types.void(data, out), generate


def _typed_word(_typing: Any, address: Any) -> Any:
    """Generate the read of four bytes, little-endian as every processor this runs on."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _WORD.as_pointer()), align=1)

    return types.uint32(address), generate


def _function(builder: Any, address: Any, result: Any, arguments: list[Any]) -> Any:
    kind: Any = ir.FunctionType(result, arguments)
    return builder.inttoptr(address, kind.as_pointer())


def _pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _BYTE.as_pointer())


def _load(builder: Any, address: Any) -> Any:
    vector: Any = ir.VectorType(_BYTE, _LANES)
    return builder.load(builder.inttoptr(address, vector.as_pointer()), align=1)


def _stream(context: Any, builder: Any, vector: Any, address: Any) -> None:
    n_bytes = vector.type.count if hasattr(vector.type, "count") else vector.type.width // 8
    target = builder.inttoptr(address, vector.type.as_pointer())
    store = builder.store(vector, target, align=n_bytes)
    one = context.get_constant(types.int32, 1)
    store.set_metadata("nontemporal", builder.module.add_metadata([one]))


crc: Any = intrinsic(_typed_crc)
decompress: Any = intrinsic(_typed_decompress)
lz4: Any = intrinsic(_typed_lz4)
interleave: Any = intrinsic(_typed_interleave)
copy: Any = intrinsic(_typed_copy)
copy_word: Any = intrinsic(_typed_copy_word)
pread: Any = intrinsic(_typed_pread)
word: Any = intrinsic(_typed_word)
