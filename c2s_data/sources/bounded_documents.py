"""XML and YAML that came from outside, parsed within bounds.

A few lines of either can say gigabytes: entities and aliases that multiply, nesting without end.
Neither is needed in what this project reads, so a document that declares or uses one is refused
while it is parsed, before anything is expanded.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import yaml  # type: ignore[import-untyped]

from c2s_data.errors import C2SError

MAX_XML_BYTES: Final = 16 * 2**20
MAX_YAML_BYTES: Final = 2**17  # the parser is slow: 16 s for a MiB
MAX_DEPTH: Final = 100
_ENDLESS_NUMBER: Final = re.compile(r"[-+]?[0-9][0-9a-fA-F_:.xob+-]{400,}")
"""Also 1:1:1..., a number in base 60; reading such takes time that grows with its square."""


class DocumentError(C2SError):
    """A document from outside is refused or cannot be parsed."""


def parse_xml(data: bytes, *, max_bytes: int = MAX_XML_BYTES, name: str = "XML") -> Element:
    """Parse a document that has no document type declaration.

    Parameters
    ----------
    data
        The whole document; its own encoding declaration is followed.
    max_bytes
        Largest size.
    name
        Names the document in errors.

    Raises
    ------
    DocumentError
        Too large, too deep, not well-formed, or with a DTD, an entity or a foreign encoding.
    """
    _check_size(data, max_bytes, name)
    builder = TreeBuilder()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise DocumentError(f"{name}: elements nested more than {MAX_DEPTH} deep are refused")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> NoReturn:
        raise DocumentError(f"{name}: a document type or entity declaration is refused; remove it")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = parser.SkippedEntityHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DocumentError(f"{name}: no well-formed XML ({error}); fetch it again") from error
    root: Element = builder.close()
    return root


def parse_yaml(data: bytes, *, max_bytes: int = MAX_YAML_BYTES, name: str = "YAML") -> Any:  # noqa: ANN401
    """Parse a document of plain values: mappings, lists, texts, numbers, dates.

    Parameters
    ----------
    data
        The whole document, one, in UTF-8 or UTF-16.
    max_bytes
        Largest size.
    name
        Names the document in errors.

    Raises
    ------
    DocumentError
        Too large, too deep, no YAML, or with an alias or a tag that would make an object.
    """
    _check_size(data, max_bytes, name)
    try:
        _check_events(data, name)
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        detail = " ".join(str(error).split())[:200]
        raise DocumentError(f"{name}: no plain YAML document ({detail}); correct it") from error


def _check_events(data: bytes, name: str) -> None:
    """Look at the document without building anything from it."""
    depth = 0
    for event in yaml.parse(data, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise DocumentError(f"{name}: aliases (*name) are refused; write the value out")
        if getattr(event, "tag", None) is not None:
            raise DocumentError(
                f"{name}: the tag {event.tag[:40]!a} is refused; write plain values"
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise DocumentError(f"{name}: values nested more than {MAX_DEPTH} deep are refused")
        if isinstance(event, yaml.ScalarEvent) and _ENDLESS_NUMBER.fullmatch(event.value):
            raise DocumentError(f"{name}: a number of {len(event.value)} digits is refused")


def _check_size(data: bytes, max_bytes: int, name: str) -> None:
    if len(data) > max_bytes:
        raise DocumentError(f"{name}: {len(data):,} bytes are more than the {max_bytes:,} allowed")
