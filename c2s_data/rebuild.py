"""Build one damaged entry anew and put back those of its objects that come out as committed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from c2s_data.build import build_entry, failure_of
from c2s_data.config import BuildConfig
from c2s_data.errors import MapError, MapReason, StoreError
from c2s_data.plan import PlannedEntry
from c2s_data.store.layout import Layout, receipt_key
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.overlay import Overlay
from c2s_data.store.receipt import InputFile, WrittenObject, put_checked
from c2s_data.store.writer import write_entry

OTHER_BYTES: Final = (
    "this program makes other bytes of the recorded inputs than the version that built it; restore "
    "the object from a copy, or withdraw the entry and build it with --rebuild"
)


@dataclass(frozen=True)
class DamagedEntry:
    """An entry, the names of its damaged objects, and what was committed of it.

    ``expected`` holds all its objects by name; ``inputs`` is None where nothing recorded them.
    """

    planned: PlannedEntry
    keys: tuple[str, ...]
    expected: Mapping[str, WrittenObject]
    inputs: tuple[InputFile, ...] | None


@dataclass(frozen=True)
class Rebuilt:
    """Bytes of each object that was put back, and why others were not."""

    restored: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def rebuild_entry(url: str, config: BuildConfig, damaged: DamagedEntry) -> Rebuilt:
    """Do so in a store of a URL; what a worker runs.

    It holds no lease and needs none: it writes nothing but what was committed under that name.
    """
    return rebuild_in(open_objects(url), config, lambda: None, damaged)


def rebuild_in(
    objects: Objects, config: BuildConfig, guard: Callable[[], None], damaged: DamagedEntry
) -> Rebuilt:
    """Build an entry anew from its recorded inputs.

    Parameters
    ----------
    objects, config
        The store and its options.
    guard
        Called before each write; raises if this process must not write any more.
    damaged
        What to put back.

    Raises
    ------
    StoreError
        If the store cannot be written. Inputs that cannot be used are told in ``refused``.
    """
    try:
        written, is_same = _computed(objects, config, damaged)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - one entry must never stop the others
        why = failure_of(error)
        text = f"its inputs cannot be used: {why.message} [{why.reason}]"
        return Rebuilt(refused=dict.fromkeys(damaged.keys, text))
    done = Rebuilt()
    for key in damaged.keys:
        data, item = written[key], damaged.expected.get(key)
        if key == receipt_key(damaged.planned.group):
            is_right = is_same
        else:
            is_right = item is not None and hashlib.sha256(data).hexdigest() == item.sha256
        if is_right:
            guard()
            put_checked(objects, key, data)
            objects.flush([key])
            done.restored[key] = len(data)
        else:
            done.refused[key] = OTHER_BYTES
    return done


def _computed(
    objects: Objects, config: BuildConfig, damaged: DamagedEntry
) -> tuple[dict[str, bytes], bool]:
    """Return the damaged objects as they come out, and whether all of the entry is as committed."""
    made = build_entry(damaged.planned, config)
    inputs, expected = damaged.inputs, damaged.expected
    if inputs is not None and made.inputs != inputs:
        changed = sorted({f.name for f in set(made.inputs) ^ set(inputs)})
        what = f"{', '.join(changed)}: not the file that the entry was built from; restore it"
        raise MapError(MapReason.CHANGED, what)
    overlay = Overlay(objects, keep=damaged.keys)
    receipt = write_entry(overlay, Layout.of(config), damaged.planned, made)
    same = all(expected.get(item.key, item).sha256 == item.sha256 for item in receipt.objects)
    return overlay.written, same
