"""The data card for programs: Croissant 1.0, the vocabulary of MLCommons on top of schema.org.

It names the files, and says how the columns of the two tables become records; the class tables of
the masks stand in it as records too. See https://docs.mlcommons.org/croissant/docs/croissant-spec.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from c2s_data import __version__
from c2s_data.records.data_card import Described, how_made, weaknesses
from c2s_data.records.layout import (
    METADATA,
    NORMALIZED_MAP,
    NPZ_FOLDER,
    SPLITS,
    mask_file,
)
from c2s_data.records.placed_files import FileDigest
from c2s_data.records.tables import METADATA_COLUMNS, SPLIT_COLUMNS
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.layout import Layout

_CR: Final = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject",
    "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator",
    "source", "subField", "transform",
)  # fmt: skip
CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{name: f"cr:{name}" for name in _CR},
}
_PUBLISHED: Final = "https://doi.org/10.7910/DVN/FCDG0W"
_CITATION: Final = (
    "Giri, N., Wang, L. and Cheng, J. Cryo2StructData: a large labeled cryo-EM density map dataset "
    "for AI-based modeling of protein structures. Scientific Data (2024)"
)
_TYPES: Final = {"resolution_A": "sc:Float", "value": "sc:Integer"}


def croissant(described: Described, tables: Mapping[str, FileDigest]) -> dict[str, Any]:
    """Return the card as JSON-LD.

    Parameters
    ----------
    described
        What the folder holds.
    tables
        Size and sha256 of the files above the entries, by name.
    """
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": described.title,
        "description": f"{described.summary}. Preset {described.config.preset}, made with "
        f"cryo2struct-store {__version__}.",
        "version": f"{described.generation}.0.0",
        "url": _PUBLISHED,
        "isBasedOn": _PUBLISHED,
        "citeAs": _CITATION,
        "rai:dataPreprocessingProtocol": how_made(described.config),
        "rai:dataLimitations": weaknesses(described.config),
        "distribution": [
            *(_file(name, digest) for name, digest in tables.items()),
            *_file_sets(described),
        ],
        "recordSet": [
            _table("entries", METADATA, (*METADATA_COLUMNS, "entry_id")),
            _table("splits", SPLITS, SPLIT_COLUMNS),
            _classes(Layout.of(described.config).masks),
        ],
    }
    if described.licence is not None:
        document["license"] = described.licence
    return document


def _file(name: str, digest: FileDigest) -> dict[str, Any]:
    kind = "application/json" if name.endswith(".json") else "text/csv"
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{digest.nbytes} B",
        "encodingFormat": kind,
        "sha256": digest.sha256,
    }


def _file_sets(described: Described) -> Iterable[dict[str, Any]]:
    files = {"density": NORMALIZED_MAP}
    files |= {name: mask_file(name) for name in Layout.of(described.config).masks}
    for name, file in files.items():
        what = "normalized density" if name == "density" else f"{name} mask"
        yield _file_set(name, f"*/*/{file}", "application/x-mrc", f"{what} at 1 A")
    yield _file_set("models", "*/*/*.pdb", "chemical/x-pdb", "models and their parts")
    yield _file_set("mmcif-models", "*/*/*.cif", "chemical/x-mmcif", "models and their parts")
    yield _file_set("sequences", "*/*/*.fasta", "text/x-fasta", "sequences and alignments")
    if described.has_raw_maps:
        yield _file_set("source-maps", "*/*/emd_*.map", "application/x-mrc", "source maps")
    if described.has_npz:
        pattern = f"*/*/{NPZ_FOLDER}/*.npz"
        yield _file_set("subgrids", pattern, "application/x-npz", "one file a subgrid")


def _file_set(name: str, includes: str, kind: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": description,
        "encodingFormat": kind,
        "includes": includes,
    }


def _table(name: str, file: str, columns: Iterable[str]) -> dict[str, Any]:
    fields = [
        _field(name, column)
        | {"source": {"fileObject": {"@id": file}, "extract": {"column": column}}}
        for column in columns
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "key": {"@id": f"{name}/entry_id"},
        "field": fields,
    }


def _field(record_set: str, name: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": f"{record_set}/{name}",
        "dataType": _TYPES.get(name, "sc:Text"),
    }


def _classes(masks: Iterable[str]) -> dict[str, Any]:
    records = [
        {"classes/mask": mask, "classes/value": value, "classes/name": name}
        for mask in masks
        for value, name in [
            *enumerate(CLASS_NAMES[mask]),
            *([(255, "ignore")] * (mask == "amino")),
        ]
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "what the values of the masks mean",
        "field": [_field("classes", name) for name in ("mask", "value", "name")],
        "data": records,
    }
