"""Divide a catalog into train, validation and test so that no protein crosses, or as others did.

`cluster_split` is the recommended way; the others (`c2s_data.splitting.policies`) are there to
repeat what was published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import C2SError, ConfigError
from c2s_data.leakage import (
    Leakage,
    crossing_links,
    measure_leakage,
    no_leakage,
    representatives,
    split_numbers,
)
from c2s_data.sequence_clusters import Engine, SequenceError
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.splitting.assignment import Assignment, Shares, hold_out
from c2s_data.splitting.components import (
    ForcedMove,
    assign_components,
    cluster_labels,
    join_any,
    join_shared,
)
from c2s_data.splitting.policies import by_date, by_id, by_resolution, small_subset
from c2s_data.splitting.proteins import Proteins, proteins_of, sequences_of

Policy = Literal["recommended", "cluster", "resolution", "id", "date", "published", "small"]
_ROUNDS: Final = 20


@dataclass(frozen=True)
class SplitOptions:
    """What the policies need to know; each looks at its own.

    Parameters
    ----------
    shares, seed
        Shares of validation and test, and the key of every choice by chance. ``resolution`` and
        ``small`` know no test share: their test set is the held-out list.
    min_shared : float or None
        ``cluster``: None joins entries that share any cluster; a number joins them only when that
        share of the smaller one's residues is shared, and then leakage is left.
    fold, date_column, validation_from, test_from
        See `c2s_data.splitting.policies.by_id` and `by_date`.
    """

    shares: Shares = Shares()  # noqa: RUF009 - frozen
    seed: int = 0
    min_shared: float | None = None
    fold: int = 9
    date_column: str = "release_date"
    validation_from: str | None = None
    test_from: str | None = None


@dataclass(frozen=True)
class SplitResult:
    """A split and what is worth knowing about it.

    ``leakage`` is None where proteins were not compared; ``moved`` lists entries that an earlier
    split had elsewhere; ``n_proteins`` and ``n_clusters`` are 0 except for ``cluster``.
    """

    assignments: tuple[Assignment, ...]
    leakage: Leakage | None = None
    moved: tuple[ForcedMove, ...] = ()
    n_proteins: int = 0
    n_clusters: int = 0


def read_proteins(
    entries: Sequence[CatalogEntry],
) -> tuple[Proteins, dict[str, str]]:
    """Read the proteins of all entries; return also, by entry_id, why one could not be read."""
    chains: list[tuple[str, ...]] = []
    unread = {}
    for entry in entries:
        try:
            chains.append(sequences_of(entry))
        except (C2SError, OSError) as error:
            chains.append(())
            unread[entry.entry_id] = str(error)
    return proteins_of(chains), unread


def cluster_split(
    entries: Sequence[CatalogEntry],
    proteins: Proteins,
    engine: Engine,
    options: SplitOptions,
    *,
    held_out: frozenset[str] = frozenset(),
    previous: Mapping[str, str] | None = None,
) -> SplitResult:
    """Split by components of entries that share related proteins.

    Clusters alone leave related proteins in different clusters. So the splits that come out are
    searched against each other and what is found joins components, until nothing is found: no
    pair is left by construction, as far as the search finds pairs.

    Parameters
    ----------
    entries, proteins
        The catalog and its proteins, in the same order.
    engine, options
        What compares proteins, and how components are made and shared out.
    held_out, previous
        See `c2s_data.splitting.components.assign_components`.
    """
    stand_in = representatives(proteins, engine)
    links = _all_links(proteins, engine, stand_in)
    for _ in range(_ROUNDS):
        cluster = cluster_labels(len(proteins.sequences), links)
        if options.min_shared is None:
            component = join_any(proteins, cluster)
        else:
            component = join_shared(proteins, cluster, options.min_shared)
        made, moved = assign_components(
            entries, component, options.shares, options.seed, held_out=held_out, previous=previous
        )
        split = split_numbers([item.split for item in made])
        if options.min_shared is not None:
            leakage = measure_leakage(proteins, split, engine, stand_in)
            break
        crossing = crossing_links(proteins, split, engine, stand_in)
        if not len(crossing):
            leakage = no_leakage(proteins, split, engine, stand_in)
            break
        links = np.concatenate((links, crossing))
    else:
        raise SequenceError(f"{engine.name} still finds leakage after {_ROUNDS} rounds of joining")
    n_clusters = int(cluster.max(initial=-1)) + 1
    return SplitResult(tuple(made), leakage, tuple(moved), len(proteins.sequences), n_clusters)


def _all_links(
    proteins: Proteins, engine: Engine, stand_in: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    if stand_in is None:
        return engine.links(proteins.sequences)
    chosen = np.unique(stand_in)
    links = chosen[engine.links([proteins.sequences[i] for i in chosen])]
    return np.concatenate((links, np.column_stack((stand_in, np.arange(len(stand_in))))))


def plain_split(
    policy: Policy,
    entries: Sequence[CatalogEntry],
    options: SplitOptions,
    held_out: frozenset[str] = frozenset(),
) -> list[Assignment]:
    """Split by what the catalog says of each entry alone; held-out entries are set apart first."""
    rest = [entry for entry in entries if entry.entry_id not in held_out]
    shares, seed = options.shares, options.seed
    if policy == "resolution":
        made = by_resolution(rest, shares.validation, seed)
    elif policy == "small":
        made = small_subset(rest, shares.validation, seed)
    elif policy == "id":
        made = by_id(rest, options.fold)
    elif policy == "date":
        made = by_date(
            rest,
            options.date_column,
            shares,
            validation_from=options.validation_from,
            test_from=options.test_from,
        )
    else:
        raise ConfigError(f"policy {policy!r} needs more than the catalog")
    by_name = {item.entry_id: item for item in made}
    nothing = [Assignment(entry.entry_id, None, "") for entry in entries]
    return hold_out([by_name.get(item.entry_id, item) for item in nothing], held_out)


def with_leakage(made: Sequence[Assignment], proteins: Proteins, engine: Engine) -> SplitResult:
    """Measure the leakage of a split that was made without looking at proteins."""
    split = split_numbers([item.split for item in made])
    measured = measure_leakage(proteins, split, engine, representatives(proteins, engine))
    return SplitResult(tuple(made), measured)


def leave_out(result: SplitResult, unread: Mapping[str, str]) -> SplitResult:
    """Return the split without the entries whose proteins could not be read.

    They could be related to anything, so no split may have them.
    """
    made = tuple(
        replace(item, split=None, reason="proteins unreadable") if item.entry_id in unread else item
        for item in result.assignments
    )
    return replace(result, assignments=made)
