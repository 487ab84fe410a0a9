"""XML and YAML from outside: plain documents are read, bombs are refused before they grow."""

from __future__ import annotations

import tracemalloc

import pytest

from c2s_data.sources.bounded_documents import MAX_DEPTH, DocumentError, parse_xml, parse_yaml

HEADER = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- a comment --><emd emdb_id="EMD-22898">'
    b"<map><contour primary='true'><level>0.7</level></contour></map>"
    b"<title>caf\xc3\xa9 &amp; &lt;tea&gt; &#916;</title><![CDATA[raw <text>]]></emd>"
)
LAUGHS = b"".join(
    b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10 if n else b"ha") for n in range(10)
)
XML_BOMBS = {
    "billion laughs": b"<!DOCTYPE x [" + LAUGHS + b"]><x>&l9;</x>",
    "quadratic": b"<!DOCTYPE x [<!ENTITY a '"
    + b"a" * 50_000
    + b"'>]><x>"
    + b"&a;" * 9000
    + b"</x>",
    "local file": b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>',
    "remote file": b'<!DOCTYPE x [<!ENTITY f SYSTEM "http://127.0.0.1:9/">]><x>&f;</x>',
    "parameter entity": b'<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><x/>',
    "external subset": b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>',
    "public subset": b'<!DOCTYPE x PUBLIC "-//X//Y" "http://127.0.0.1:9/x.dtd"><x/>',
    "bare doctype": b"<!DOCTYPE x><x/>",
    "default attributes": b"<!DOCTYPE x [<!ATTLIST x a CDATA 'v'>]><x/>",
    "in UTF-16": "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>".encode("utf-16"),
    "undeclared entity": b"<x>&nothing;</x>",
    "deep": b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1),
    "very deep": b"<a>" * 300_000,
    "unknown encoding": b"<?xml version='1.0' encoding='x-none'?><x/>",
    "cut off": HEADER[:-5],
    "two roots": b"<x/><y/>",
    "NUL": b"<x>\0</x>",
    "empty": b"",
    "html": b"<html><br></html>",
    "a map": b"\0" * 1000,
}
ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML_BOMBS = {
    "billion laughs": ALIASES.encode(),
    "one alias": b"a: &x 1\nb: *x\n",
    "merge": b"a: &x {k: 1}\nb:\n  <<: *x\n",
    "endless list": b"&x [*x]",
    "python object": b"!!python/object/apply:os.system ['true']",
    "python name": b"a: !!python/name:os.system\n",
    "python tuple": b"!!python/tuple [1, 2]",
    "unknown tag": b"a: !mine 1\n",
    "deep flow": b"[" * 200_000,
    "deep block": b"- " * 5000 + b"x",
    "two documents": b"a: 1\n---\nb: 2\n",
    "bad date": b"a: 2026-99-99\n",
    "long integer": b"a: " + b"9" * 100_000,
    "base 60": b"a: " + b"1:" * 50_000 + b"1",
    "list as a key": b"? [1, 2]\n: 3\n",
    "not closed": b"a: [1, 2\n",
    "tab": b"a:\n\t- 1\n",
    "NUL": b"a: \0\n",
    "no text": b"\xff\xfe\xfd",
}


def test_a_header_is_read() -> None:
    root = parse_xml(HEADER)
    assert (root.tag, root.attrib) == ("emd", {"emdb_id": "EMD-22898"})
    assert root.findtext("map/contour/level") == "0.7"
    assert root.findtext("title") == "café & <tea> Δ"
    title = root.find("title")
    assert title is not None
    assert title.tail == "raw <text>"
    assert (
        parse_xml("<?xml version='1.0' encoding='latin-1'?><x>é</x>".encode("latin-1")).text == "é"
    )


def test_plain_yaml_is_read() -> None:
    text = "preset: paper\nparts: [1, 2.5, null, true]\nwhen: 2026-01-02\nnested:\n  - {a: é}\n"
    document = parse_yaml(text.encode())
    assert document["parts"] == [1, 2.5, None, True]
    assert document["when"].isoformat() == "2026-01-02"
    assert document["nested"] == [{"a": "é"}]
    assert parse_yaml(b"") is None
    assert parse_yaml(b"sequence: '" + b"A" * 5000 + b"'") == {"sequence": "A" * 5000}


@pytest.mark.parametrize(
    ("parse", "content"),
    [
        *(pytest.param(parse_xml, bomb, id=f"xml {name}") for name, bomb in XML_BOMBS.items()),
        *(pytest.param(parse_yaml, bomb, id=f"yaml {name}") for name, bomb in YAML_BOMBS.items()),
    ],
)
def test_a_bomb_is_refused_and_takes_no_memory(parse, content: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DocumentError) as caught:
            parse(content, name="emd-1.doc")
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith("emd-1.doc: ")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("parse", [parse_xml, parse_yaml])
def test_size_is_checked_before_parsing(parse) -> None:
    with pytest.raises(DocumentError, match="101 bytes are more than the 100 allowed"):
        parse(b"x" * 101, max_bytes=100)


def test_entities_of_the_standard_are_no_declarations() -> None:
    assert parse_xml(b"<x>&quot;&apos;&#x41;</x>").text == "\"'A"
    depth = b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH
    assert sum(1 for _ in parse_xml(depth).iter()) == MAX_DEPTH
