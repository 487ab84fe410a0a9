"""What a split says for itself, in lines and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from c2s_data.leakage import THRESHOLDS, Leakage
from c2s_data.sequence_clusters import MIN_BITS, MIN_COVERAGE
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.split import SplitResult
from c2s_data.splitting.assignment import SPLITS, TEST, TRAIN, VALIDATION, Shares, counts
from c2s_data.splitting.policies import (
    BINS,
    OVERFLOW,
    PAPER_FULL,
    PAPER_SMALL,
    beside_paper,
    resolution_bin,
)

_SHOWN: Final = 20


def count_lines(result: SplitResult) -> Iterator[str]:
    """Yield how many entries went where, and why others were left out."""
    found = counts(result.assignments)
    n = len(result.assignments)
    for split in SPLITS:
        yield f"{split:<11} {found[split]:>8,} entries  {100 * found[split] / n:5.1f} %"
    if found[None]:
        yield f"{'no split':<11} {found[None]:>8,} entries  {100 * found[None] / n:5.1f} %"
        reasons = Counter(item.reason for item in result.assignments if item.split is None)
        for reason, number in reasons.most_common(5):
            yield f"  {number:,}: {reason}"


def paper_lines(
    entries: Sequence[CatalogEntry], result: SplitResult, *, small: bool
) -> Iterator[str]:
    """Yield the counts of each resolution bin beside those of the paper's Table 2."""
    paper = PAPER_SMALL if small else PAPER_FULL
    titles = f"{'train':>8} {'(paper)':>8} {'validation':>11} {'(paper)':>8} {'test':>6}"
    yield f"{'resolution A':<13} {titles}"
    for name, ours, theirs in beside_paper(entries, result.assignments, paper):
        train, validation, test = (ours[split] for split in SPLITS)
        beside = [f"{'-' if n is None else n:>8}" for n in theirs.values()]
        if name in BINS or train + validation + test:
            yield f"{name:<13} {train:>8} {beside[0]} {validation:>11} {beside[1]} {test:>6}"
    outside = [e.entry_id for e in entries if resolution_bin(e.resolution_A) in OVERFLOW]
    if outside:
        yield f"outside 1 to 4 A: {few(outside)}"


def component_lines(result: SplitResult, shares: Shares) -> Iterator[str]:
    """Yield what is known of components, and which are too large for the split they fell to."""
    sizes = Counter(item.component for item in result.assignments)
    split_of = {item.component: item.split for item in result.assignments}
    largest = sizes.most_common(1)[0] if sizes else ("", 0)
    yield (
        f"{result.n_proteins:,} different proteins in {result.n_clusters:,} clusters join the "
        f"entries into {len(sizes):,} components, the largest of {largest[1]:,} ({largest[0]})"
    )
    n = len(result.assignments)
    wanted = {VALIDATION: shares.validation, TEST: shares.test}
    for split, share in wanted.items():
        if share and split not in split_of.values():
            yield f"note: no component fell to {split}; try another --seed or a larger share"
    for name, size in sizes.most_common(5):
        if size > max(1, 1.5 * wanted.get(split_of[name] or TRAIN, 1) * n):
            yield (
                f"note: the component of {name} has {size:,} of {n:,} entries and fell to "
                f"{split_of[name]}; another --seed puts it elsewhere, --min-shared 0.3 joins less"
            )


def leakage_lines(leakage: Leakage) -> Iterator[str]:
    """Yield the leakage matrix: a table for each identity that has anything to show."""
    yield (
        f"leakage by {leakage.engine}: {leakage.n_pairs:,} pairs of related proteins in different "
        f"splits (identity of aligned columns >= {THRESHOLDS[0]:.0%}, >= {MIN_COVERAGE:.0%} of the "
        f"shorter aligned, >= {MIN_BITS:.0f} bits)"
    )
    if leakage.condensed:
        yield "  proteins at least 90 % alike were searched as one"
    for t, threshold in enumerate(THRESHOLDS):
        if t and not leakage.entries[t].any():
            break
        yield f"  identity >= {threshold:.0%}: entries (residues) of a row with a relative in"
        yield "    " + " " * 11 + "".join(f"{name:>28}" for name in SPLITS)
        for a, name in enumerate(SPLITS):
            yield f"    {name:<11}" + "".join(_cell(leakage, t, a, b) for b in range(len(SPLITS)))


def _cell(leakage: Leakage, t: int, a: int, b: int) -> str:
    if a == b:
        return f"{'-':>28}"
    share = leakage.entries[t, a, b] / max(1, leakage.total_entries[a])
    return f"{leakage.entries[t, a, b]:>9,} {share:>6.1%} ({leakage.residues[t, a, b]:,})".rjust(28)


def few(names: Sequence[str]) -> str:
    """Return the number of names and the first of them."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{len(names):,}: {', '.join(names[:_SHOWN])}{more}"


def leakage_document(leakage: Leakage) -> dict[str, Any]:
    """Return the leakage for programs."""
    return {
        "engine": leakage.engine,
        "condensed": leakage.condensed,
        "splits": list(SPLITS),
        "identities": list(THRESHOLDS),
        "pairs": leakage.n_pairs,
        "entries": leakage.entries.tolist(),
        "residues": leakage.residues.tolist(),
        "total_entries": leakage.total_entries.tolist(),
        "total_residues": leakage.total_residues.tolist(),
    }
