"""Where the archives keep maps, models and sequences, and what their identifiers look like.

Addresses are templates filled with identifiers that were checked, so that none can leave its
place. Of the public mirrors only the layout is known from their documentation: no test reaches
them (tests use a server on this machine).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from c2s_data.errors import CatalogError, ConfigError
from c2s_data.sources.web_origin import DownloadError, origin_of_url

EMDB_API: Final = "https://www.ebi.ac.uk/emdb/api"
DATAVERSE: Final = "https://dataverse.harvard.edu"
ModelFormat = Literal["mmcif", "pdb"]
_EMDB_ID: Final = re.compile(r"EMD-[0-9]{4,6}", re.ASCII)
_PDB_ID: Final = re.compile(r"[0-9][a-z0-9]{3}|pdb_[0-9a-z]{8}", re.ASCII)
_LEGACY: Final = "pdb_0000"


@dataclass(frozen=True)
class Mirror:
    """A place that holds a copy; an empty template is what it does not have.

    ``{emdb}`` is the number of an EMDB entry, ``{pdb}`` a PDB id, ``{mid}`` the two characters
    that name its folder.
    """

    name: str
    map: str = ""
    half_map: str = ""
    mmcif: str = ""
    pdb: str = ""
    fasta: str = ""


def _mirror(name: str, emdb: str, pdb: str, fasta: str = "") -> Mirror:
    return Mirror(
        name,
        map=f"{emdb}/EMD-{{emdb}}/map/emd_{{emdb}}.map.gz",
        half_map=f"{emdb}/EMD-{{emdb}}/other/emd_{{emdb}}_half_map_{{half}}.map.gz",
        mmcif=f"{pdb}/mmCIF/{{mid}}/{{pdb}}.cif.gz",
        pdb=f"{pdb}/pdb/{{mid}}/pdb{{pdb}}.ent.gz",
        fasta=fasta,
    )


MIRRORS: Final = {
    "ebi": _mirror(
        "ebi",
        "https://ftp.ebi.ac.uk/pub/databases/emdb/structures",
        "https://ftp.ebi.ac.uk/pub/databases/pdb/data/structures/divided",
    ),
    "wwpdb": _mirror(
        "wwpdb",
        "https://files.wwpdb.org/pub/emdb/structures",
        "https://files.wwpdb.org/pub/pdb/data/structures/divided",
    ),
    "pdbj": _mirror(
        "pdbj",
        "https://files.pdbj.org/pub/emdb/structures",
        "https://files.pdbj.org/pub/pdb/data/structures/divided",
    ),
    "rcsb": Mirror(
        "rcsb",
        mmcif="https://files.rcsb.org/download/{pdb}.cif.gz",
        pdb="https://files.rcsb.org/download/{pdb}.pdb.gz",
        fasta="https://www.rcsb.org/fasta/entry/{pdb}",
    ),
}
"""The public copies, in the order in which they are asked."""


def choose_mirrors(names_or_urls: Sequence[str]) -> tuple[Mirror, ...]:
    """Return the mirrors to ask, in this order: all public ones if none is named.

    A URL stands for a copy with the layout of the public ones below it: maps in
    ``URL/pub/emdb/structures``, models in ``URL/pub/pdb/data/structures/divided``, sequences at
    ``URL/fasta/entry/ID``.

    Raises
    ------
    ConfigError
        Neither a name of `MIRRORS` nor an address that may be opened.
    """
    if not names_or_urls:
        return tuple(MIRRORS.values())
    return tuple(MIRRORS.get(text) or _own_mirror(text) for text in names_or_urls)


def _own_mirror(url: str) -> Mirror:
    try:
        origin_of_url(url)
    except DownloadError as error:
        raise ConfigError(
            f"--mirror {url[:200]!a}: choose {', '.join(MIRRORS)} or give an https address; {error}"
        ) from error
    base = plain_base(url)
    return _mirror(
        url,
        f"{base}/pub/emdb/structures",
        f"{base}/pub/pdb/data/structures/divided",
        f"{base}/fasta/entry/{{pdb}}",
    )


def plain_base(url: str) -> str:
    """Return a base address without trailing slash; `ConfigError` if it is not just a base."""
    if "?" in url or "#" in url or "{" in url or "}" in url:
        raise ConfigError(
            f"{url[:200]!a}: a base address has no '?', '#' or braces; leave them out"
        )
    return url.rstrip("/")


def check_emdb_id(text: str) -> str:
    """Return an EMDB id unchanged.

    Raises
    ------
    CatalogError
        If it is not of the form EMD-22898.
    """
    if not _EMDB_ID.fullmatch(text):
        raise CatalogError(f"emdb_id {text[:80]!a} is not of the form EMD-22898")
    return text


def check_pdb_id(text: str) -> str:
    """Return a PDB id in lower case, an extended one of the old kind in its short form.

    Raises
    ------
    CatalogError
        If it is not of the form 7kjr or pdb_00007kjr.
    """
    pdb_id = text.lower()
    if not _PDB_ID.fullmatch(pdb_id):
        raise CatalogError(f"pdb_id {text[:80]!a} is not of the form 7kjr or pdb_00007kjr")
    if pdb_id.startswith(_LEGACY) and _PDB_ID.fullmatch(pdb_id.removeprefix(_LEGACY)):
        return pdb_id.removeprefix(_LEGACY)
    return pdb_id


def map_urls(mirrors: Iterable[Mirror], emdb_id: str) -> tuple[str, ...]:
    """Return the addresses of an entry's primary map, gzipped."""
    return _filled((mirror.map for mirror in mirrors), emdb=check_emdb_id(emdb_id)[4:])


def half_map_urls(mirrors: Iterable[Mirror], emdb_id: str, half: Literal[1, 2]) -> tuple[str, ...]:
    """Return the addresses of one of an entry's two half maps, gzipped."""
    number = check_emdb_id(emdb_id)[4:]
    return _filled((mirror.half_map for mirror in mirrors), emdb=number, half=str(half))


def model_urls(
    mirrors: Iterable[Mirror], pdb_id: str, model_format: ModelFormat
) -> tuple[str, ...]:
    """Return the addresses of a model, gzipped. Large entries exist as mmCIF alone."""
    name = check_pdb_id(pdb_id)
    # The characters before the last one, for short and for extended ids alike.
    templates = (mirror.mmcif if model_format == "mmcif" else mirror.pdb for mirror in mirrors)
    return _filled(templates, pdb=name, mid=name[-3:-1])


def fasta_urls(mirrors: Iterable[Mirror], pdb_id: str) -> tuple[str, ...]:
    """Return the addresses of the sequences of an entry's polymers."""
    return _filled((mirror.fasta for mirror in mirrors), pdb=check_pdb_id(pdb_id).upper())


def _filled(templates: Iterable[str], **parts: str) -> tuple[str, ...]:
    return tuple(template.format(**parts) for template in templates if template)
