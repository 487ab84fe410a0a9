"""Reading what a pickle says without doing what it asks.

A pickle is a program: it names functions and has them called. Here every name it can say is
answered with an object of this module. Names that rebuild tensors give a description of the
tensor, `collections.OrderedDict` gives a plain mapping, and each other name gives a placeholder
class whose instances only keep what is put into them. Nothing of the file's choosing is ever
imported, called, or changed, and nothing is allocated beyond what the file itself holds.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any, ClassVar, Final, NamedTuple

from c2s_model.nets.checkpoint_error import CheckpointError

_OPCODES: Final = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "LONG4"),
        *("BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_SET", "ADDITEMS", "FROZENSET"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "BINPERSID"),
        *("BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    }
)
"""What protocols 2 to 5 write; not the registry of extensions, nor buffers of a promised size."""

_STORAGES: Final = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


class _StorageType(NamedTuple):
    dtype: str


class Storage(NamedTuple):
    """The bytes of one or more tensors, kept elsewhere in the file under a key."""

    key: str
    dtype: str
    n_values: int


class StoredTensor(NamedTuple):
    """What a file says of a tensor; nothing of it is checked yet."""

    storage: Any
    offset: Any
    shape: Any
    stride: Any


class Inert:
    """Stands for an object whose class is not known here; keeps what the file puts into it."""

    __slots__ = ("entries", "state")
    stands_for: ClassVar[str] = ""
    entries: dict[Any, Any]
    state: Any

    def __new__(cls, *_: object, **__: object) -> Inert:
        """Ignore the arguments."""
        made = object.__new__(cls)
        made.entries = {}
        made.state = None
        return made

    def __init__(self, *_: object, **__: object) -> None: ...

    def __call__(self, *_: object, **__: object) -> Inert:
        """Return itself: a method or an instance that the file wants called."""
        return self

    def __setstate__(*arguments: Any) -> None:  # noqa: ANN401
        """Keep the state of an instance; on the class itself do nothing."""
        if len(arguments) == 2:
            arguments[0].state = arguments[1]

    def __setitem__(self, key: object, value: object) -> None:
        """Keep an entry of what may be a mapping."""
        self.entries[key] = value

    def append(self, *_: object) -> None:
        """Forget an element of what may be a list."""

    extend = append
    add = append


class _Mapping(dict[Any, Any]):
    """In place of an ordered mapping: attributes that the file attaches to it are left out."""

    __slots__ = ()

    def __setstate__(*_: object) -> None: ...


class _Rebuild:
    """In place of the functions of torch that rebuild tensors and parameters."""

    __slots__ = ("_is_parameter",)

    def __init__(self, *, is_parameter: bool) -> None:
        self._is_parameter = is_parameter

    def __call__(self, *arguments: Any) -> object:  # noqa: ANN401
        if self._is_parameter and arguments:
            return arguments[0]
        if len(arguments) < 4:
            raise ValueError(f"a tensor described by {len(arguments)} values")
        return StoredTensor(*arguments[:4])

    def __setstate__(*_: object) -> None: ...


class _InertUnpickler(pickle.Unpickler):
    """Answers every name and every reference to a storage from this module."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.foreign: dict[str, type[Inert]] = {}

    def find_class(self, module: str, name: str, /) -> Any:  # noqa: ANN401
        if (module, name) == ("collections", "OrderedDict"):
            return _Mapping
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild(is_parameter=False)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _Rebuild(is_parameter=True)
        if module == "torch" and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        full = f"{module}.{name}"
        if full not in self.foreign:
            self.foreign[full] = type("Inert", (Inert,), {"__slots__": (), "stands_for": full})
        return self.foreign[full]

    def persistent_load(self, pid: Any, /) -> Storage:  # noqa: ANN401
        match pid:
            case ("storage", _StorageType(dtype), str(key), _, int(n_values)):
                return Storage(key, dtype, n_values)
        raise ValueError("a reference to something else than the storage of a tensor")


def read_inert(data: bytes, place: str) -> tuple[Any, tuple[str, ...]]:
    """Return what a pickle holds, with placeholders, and the names that they stand for.

    Parameters
    ----------
    data
        The pickle, protocol 2 to 5.
    place
        What to call it in messages.

    Returns
    -------
    tuple
        The object: built-in containers and scalars, `StoredTensor` and `Inert`; and the names
        outside of those that rebuild tensors, sorted.

    Raises
    ------
    CheckpointError
        The pickle is damaged, or not of the kind that torch writes.
    """
    _check_opcodes(data, place)
    unpickler = _InertUnpickler(data)
    try:
        found = unpickler.load()
    except (
        *(pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError, LookupError),
        *(RecursionError, OverflowError, MemoryError, ImportError),
    ) as error:
        raise _damaged(place, error) from error
    return found, tuple(sorted(unpickler.foreign))


def _check_opcodes(data: bytes, place: str) -> None:
    """Walk over the program: only known instructions, and no number that reserves memory."""
    end = 0
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            end = (position or 0) + 1
            number = argument if isinstance(argument, int) else 0
            if opcode.name not in _OPCODES:
                raise ValueError(f"instruction {opcode.name} at byte {position}")
            # The memo is an array as long as its highest number; writers count from 0.
            if opcode.name in ("BINPUT", "LONG_BINPUT") and number > count:
                raise ValueError(f"memo entry {argument} at byte {position}")
            if opcode.name == "FRAME" and number > len(data) - end:
                raise ValueError(f"a frame of {argument} bytes at byte {position}")
    except (ValueError, IndexError, OverflowError) as error:
        raise _damaged(place, error) from error
    if end != len(data):
        raise _damaged(place, ValueError(f"{len(data) - end} bytes after its end"))


def _damaged(place: str, error: BaseException) -> CheckpointError:
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    return CheckpointError(
        f"{place}: not a pickle as torch.save writes it ({detail}); fetch the file again, and do "
        "not open it with a program that executes pickles"
    )
