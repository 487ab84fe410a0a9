"""Where an epoch stands, as plain data for a checkpoint, and what such data is checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from c2s_data.errors import StoreError
from c2s_data.store.reader import Store
from c2s_model.data.sampler import EpochOrder

STATE_VERSION: Final = 1


class Place(NamedTuple):
    """How far an epoch has come: ``done`` batches of the sequence that ``readers`` began.

    0 readers: from the beginning, with as many as there will be.
    """

    epoch: int
    done: int = 0
    readers: int = 0


def make_state(place: Place, store: Store, split: str | None, order: EpochOrder) -> dict[str, Any]:
    """Return a place, and everything that fixes what comes after it, as JSON has it."""
    return {
        "version": STATE_VERSION,
        **place._asdict(),
        "order": order.digest,
        "store": {"fingerprint": store.fingerprint, "generation": store.generation},
        "options": {"split": split, "seed": order.seed, **asdict(order.options)},
    }


def place_in(state: Mapping[str, Any]) -> Place:
    """Return the place that a state names.

    Raises
    ------
    ValueError
        It is none that `make_state` returned.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"a state is a dict of state_dict(), not {type(state).__name__}")
    if state.get("version") != STATE_VERSION:
        raise ValueError(
            f"the state has version {state.get('version')!r}, this program reads {STATE_VERSION}; "
            "give what state_dict() returned, or use the version it was written with"
        )
    place = Place(state.get("epoch", -1), state.get("done", -1), state.get("readers", -1))
    for number, limit in zip(place, (2**62, 2**62, 2**20), strict=True):
        if type(number) is not int or not 0 <= number < limit:
            raise ValueError(f"the state has epoch, done and readers {tuple(place)}; it is damaged")
    if bool(place.done) != bool(place.readers) or not (
        isinstance(state.get("options"), Mapping) and isinstance(state.get("store"), Mapping)
    ):
        raise ValueError("the state is incomplete; give what state_dict() returned, unchanged")
    return place


def check_store(state: Mapping[str, Any], store: Store) -> None:
    """Refuse a state of another store or generation.

    Raises
    ------
    StoreError
        With the remedy: which generation to open.
    """
    theirs, generation = state["store"].get("fingerprint"), state["store"].get("generation")
    if theirs == store.fingerprint:
        return
    fact = (
        f"{store.url}: the state belongs to generation {generation} with fingerprint "
        f"{str(theirs)[:12]}, the store is open at generation {store.generation} with "
        f"{store.fingerprint[:12]}"
    )
    if generation == store.generation:
        raise StoreError(f"{fact}: another store; give the path of the store it was trained on")
    raise StoreError(
        f"{fact}; open the one of the state with generation={generation}, or begin a new epoch "
        "with set_epoch()"
    )


def check_order(state: Mapping[str, Any], split: str | None, order: EpochOrder) -> None:
    """Refuse a state whose epoch had another order.

    Raises
    ------
    ValueError
        The options differ, by name, or the program lays out an epoch in another way.
    """
    theirs = state["options"]
    ours = {"split": split, "seed": order.seed, **asdict(order.options)}
    differing = [
        f"{name}={ours.get(name)!r} instead of {theirs.get(name)!r}"
        for name in {**ours, **theirs}
        if name not in theirs or name not in ours or ours[name] != theirs[name]
    ]
    if differing:
        raise ValueError(
            "the state was taken with other options, so what is left of its epoch cannot be told: "
            f"{'; '.join(differing)}; give the options of the state, or begin with set_epoch()"
        )
    if state.get("order") != order.digest or state["done"] > order.n_batches:
        raise ValueError(
            f"the state's epoch {order.epoch} was laid out by another version of this program or "
            "of numpy, or is damaged; use that version, or begin a new epoch with set_epoch()"
        )
