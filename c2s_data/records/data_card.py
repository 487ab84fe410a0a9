"""The data card of an exported folder: Markdown for people, Croissant for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from c2s_data import __version__
from c2s_data.config import BuildConfig
from c2s_data.records.layout import EXPORT_DOCUMENT, METADATA, NORMALIZED_MAP, SPLITS, mask_file
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.layout import Layout


@dataclass(frozen=True)
class Described:
    """What the cards tell of.

    Parameters
    ----------
    title, generation, fingerprint
        Name of the store and the generation that was exported.
    config
        The options of the store.
    rows
        Catalog rows of the entries that the folder holds.
    failures
        Entries that could not be built, with the reason.
    licence
        As its publisher states it, None where that is open.
    has_raw_maps, has_npz
        What the last export was asked to write.
    """

    title: str
    generation: int
    fingerprint: str
    config: BuildConfig
    rows: Sequence[Mapping[str, Any]]
    failures: Mapping[str, str]
    licence: str | None
    has_raw_maps: bool
    has_npz: bool

    @property
    def splits(self) -> dict[str, int]:
        """Entries of each split."""
        return dict(sorted(Counter(row["split"] or "none" for row in self.rows).items()))

    def total(self, column: str, split: str | None = None) -> int:
        """Return the sum of a column over all entries or those of one split."""
        rows = [row for row in self.rows if split in (None, row["split"] or "none")]
        return sum(row[column] or 0 for row in rows)

    @property
    def summary(self) -> str:
        """One sentence."""
        return (
            f"{len(self.rows)} cryo-EM density maps, resampled to 1 A and normalized to [0, 1], "
            f"with voxel labels of {self.total('n_residues'):,} protein residues: backbone atoms, "
            "C-alphas, amino acids and secondary structure"
        )


def weaknesses(config: BuildConfig) -> list[str]:
    """Return what a user of such data should know before trusting it, for these options."""
    found = []
    if config.label_rule != "nearest":
        found.append(
            "Labels are floored to their voxel: read as positions, they lie half a voxel low on "
            f"each axis. Add the decode offset of {config.decode_offset_voxel:g} voxel when "
            "decoding, and do not augment with rotations of the subgrids."
        )
    if config.density == "raw" and config.scale != "signal":
        found.append(
            "The scale of a map depends on how much solvent its box holds; in unmasked maps nearly "
            "all C-alphas are clipped to 1.0 and have lost their contrast (column "
            "saturated_ca_share of the store's catalog)."
        )
    if config.density == "raw" and config.resampling == "trilinear":
        found.append(
            "Trilinear resampling blurs: from 1.06 A voxels it keeps 66 % of the amplitudes at 3 A."
        )
    if config.secondary != "dssp":
        found.append(
            "Secondary structure is the depositors' records where a file has them and computed "
            "elsewhere: two definitions that agree on 92 % of the residues."
        )
    if config.assembly == "deposited":
        found.append(
            "Only the deposited chains are labeled; further copies of them that a map shows are "
            "background."
        )
    if "ignore" not in config.extra_masks:
        found.append(
            "Nucleic acids, ligands and sugars have density and no label: they are background."
        )
    if config.density_dtype == "float16":
        found.append("Densities were rounded to float16: at most 2.5e-4 off.")
    found.append(
        "Masked and cut-out maps are zero beyond the model: a network can learn the outline "
        "instead of the density."
    )
    found.append(
        "Models are taken as deposited: errors of the modelers, unmodeled regions and poor fits of "
        "map and model are in the labels."
    )
    return found


def how_made(config: BuildConfig) -> list[str]:
    """Return the steps from a deposited map to its records, for these options."""
    if config.density == "normalized":
        density = "Maps were taken as they were published, at 1 A and in [0, 1]."
    else:
        filtered = " after a low-pass filter" * config.antialias
        density = (
            f"Maps were resampled to 1 A ({config.resampling}{filtered}), divided by the "
            f"{config.percentile:g}th percentile of the {_POPULATIONS[config.scale]} values and "
            "clipped to [0, 1]."
        )
    atoms = "amino acids of the polymers" if config.atoms == "polymer" else "all atoms so named"
    kept = " Masks that were published beside a map were kept." * (config.masks == "files")
    return [
        density,
        f"The atoms CA, N and C ({atoms}) label the voxel that they fall in (rule "
        f"{config.label_rule}; decode offset {config.decode_offset_voxel:g} voxel; an atom and its "
        f"label lie {config.label_error_A:g} A apart on average); in a voxel that several share, "
        f"{_COLLISIONS[config.collision]}.{kept}",
        f"Secondary structure comes from {_SECONDARY[config.secondary]}.",
        f"Subgrids of {config.box}^3 voxels overlap so that their cores of {config.core}^3 tile "
        "the map.",
    ]


_POPULATIONS = {
    "positive": "positive",
    "nonzero": "non-zero",
    "signal": "above-noise",
}
_COLLISIONS = {
    "ca-first": "C-alpha goes before N before C",
    "last-wins": "the last atom in file order stays",
}
_SECONDARY = {
    "auto": "HELIX and SHEET records, or computed (Kabsch and Sander) where a file has none",
    "records": "HELIX and SHEET records",
    "dssp": "the coordinates (Kabsch and Sander)",
}


def markdown(described: Described) -> str:
    """Return the card for people."""
    config = described.config
    licence = described.licence or (
        "not stated. Maps of EMDB and models of PDB are CC0; whoever publishes this folder decides "
        "and says so here."
    )
    masks = [
        f"| `{mask_file(name)}` | {', '.join(_classes(name))} |" for name in Layout.of(config).masks
    ]
    splits = [
        f"| {split} | {count:,} | {described.total('n_residues', split):,} | "
        f"{described.total('n_subgrids', split):,} |"
        for split, count in described.splits.items()
    ]
    failures = [f"- {name}: {_one_line(why)}" for name, why in described.failures.items()]
    blocks = [
        f"# {described.title}",
        f"{described.summary}.",
        f"Generation {described.generation} of the store {described.title} (fingerprint "
        f"`{described.fingerprint}`), preset `{config.preset}`, written by cryo2struct-store "
        f"{__version__} in the directory layout of Cryo2StructData (Giri, Wang and Cheng, Sci. "
        "Data 2024).",
        "## Counts\n\n| split | entries | residues | subgrids |\n|---|---|---|---|\n"
        + "\n".join(splits),
        "## Files\n\nOne folder an entry, `EMD_<first digit>/<number>`, each with "
        f"`{NORMALIZED_MAP}` (float32) and its masks (8-bit, the amino mask 16-bit where it holds "
        "255), all at voxels of 1 A; the model, its helix, coil and strand residues; five sequence "
        f"files{'; the source map' * described.has_raw_maps}"
        f"{'; one .npz a subgrid' * described.has_npz}. `{METADATA}` and `{SPLITS}` have a row an "
        f"entry; `{EXPORT_DOCUMENT}` holds every option and the sha256 of every array.\n\n"
        "| mask | values from 0 |\n|---|---|\n" + "\n".join(masks),
        "## How it was made\n\n" + "\n".join(f"- {step}" for step in how_made(config)),
        "## Known weaknesses\n\n" + "\n".join(f"- {text}" for text in weaknesses(config)),
        f"## Licence\n\n{_one_line(licence)}",
    ]
    if failures:
        blocks.append("## Entries that could not be built\n\n" + "\n".join(failures))
    return "\n\n".join(blocks) + "\n"


def _classes(mask: str) -> list[str]:
    return [*CLASS_NAMES[mask], *(["255 ignore"] * (mask == "amino"))]


def _one_line(text: str) -> str:
    return " ".join(text.split())
