"""A local server that stands in for the archives, with scripted faults.

    entry = TreeEntry("EMD-1001", map_bytes, "7kjr", model_text, ">7KJR_1\\nAG\\n")
    with archive_tree(tmp_path, [entry]) as tree:
        tree.fault("emd_1001.map.gz", Fault(status=503))        # the next such request fails
        monkeypatch.setenv(...) for each of tree.environment.items(), then run the commands

Maps, models, FASTA files and half maps lie under ``tree.root`` in the layout of the public
mirrors, so a test may change a file; the search service answers at ``/emdb/api``, a Dataverse at
``/api``. ``tree.environment`` tells the commands where the server is (C2S_EMDB_API, C2S_MIRROR,
C2S_DATAVERSE) and makes their pauses short; the options --api, --mirror and --server do the same.
``tree.asked`` lists what was asked for and how many bytes were sent.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

Content = bytes | str | Path


@dataclass(frozen=True)
class TreeEntry:
    """What the archives hold of an entry; maps and models are gzipped unless they are already.

    ``pdb_id`` may name several, separated by commas; ``model`` (mmCIF) and ``pdb_model`` belong to
    the first. ``fields`` replaces fields of the search result, ``document`` the entry's document.
    """

    emdb_id: str
    map: Content | None = None
    pdb_id: str = ""
    model: Content | None = None
    fasta: Content | None = None
    pdb_model: Content | None = None
    half_maps: tuple[Content, ...] = ()
    resolution_A: float | str = 3.0
    title: str = "a protein, its density"
    fields: dict[str, str] = field(default_factory=dict)
    document: object = None

    def search_fields(self) -> dict[str, str]:
        found = {
            "emdb_id": self.emdb_id,
            "title": self.title,
            "resolution": str(self.resolution_A),
            "fitted_pdbs": self.pdb_id,
            "structure_determination_method": "singleParticle",
            "software": "cryoSPARC",
            "primary_citation_journal_name": "Acta Cryst D",
            "primary_citation_title": "An article",
            "map_contour_level_value": "0.25",
            "map_release_date": "2023-03-27T00:00:00Z",
            "current_status": "REL",
        }
        return found | self.fields


@dataclass
class Fault:
    """How one request goes wrong: status, cut body, other content, redirect, slowness, headers."""

    status: int | None = None
    retry_after: str | None = None
    cut: int | None = None
    body: bytes | None = None
    redirect: str | None = None
    drip_s: float | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    path: str
    start: int
    status: int
    sent: int
    at: float


class ArchiveTree:
    """The running server; see the module."""

    def __init__(self, root: Path, entries: Iterable[TreeEntry]) -> None:
        self.root = root
        self.entries = list(entries)
        self._asked: list[Asked] = []
        self.has_ranges = True
        self.has_etags = True
        self.busiest = 0
        self._busy = 0
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self._lists: dict[str, list[dict[str, object]]] = {}
        self._stored: dict[str, Path] = {}
        self.url = ""
        for entry in self.entries:
            self._write_entry(entry)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "C2S_EMDB_API": f"{self.url}/emdb/api",
            "C2S_MIRROR": self.url,
            "C2S_DATAVERSE": self.url,
            "C2S_FETCH_PAUSE_S": "0.01",
            "C2S_FETCH_API_PACE_S": "0.001",
            "C2S_FETCH_FILE_PACE_S": "0.001",
        }

    def fault(self, part_of_path: str, *faults: Fault) -> None:
        """Let the next requests whose path holds this go wrong, one fault each, in order."""
        with self._lock:
            self._faults += [(part_of_path, fault) for fault in faults]

    @property
    def asked(self) -> list[Asked]:
        """What was asked for, in the order in which it was answered."""
        for _ in range(200):  # a client may have its answer before this is noted
            if self._busy == 0:
                break
            time.sleep(0.01)
        return list(self._asked)

    def note(self, asked: Asked) -> None:
        self._asked.append(asked)

    def requests(self, part_of_path: str) -> list[Asked]:
        return [asked for asked in self.asked if part_of_path in asked.path]

    def path(self, name: str) -> Path:
        """Return the one file of the tree that has this name."""
        (found,) = self.root.rglob(name)
        return found

    def add_dataset(self, doi: str, files: dict[str, bytes], **changes: object) -> None:
        """Publish files, by path; ``changes`` replaces what the list says of each."""
        items = self._lists.setdefault(doi, [])
        for path, content in files.items():
            number = 1000 + len(self._stored)
            folder, _, name = path.rpartition("/")
            stored = self.root / "dataverse" / str(number)
            stored.parent.mkdir(parents=True, exist_ok=True)
            stored.write_bytes(content)
            self._stored[str(number)] = stored
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            data = {"id": number, "filename": name, "filesize": len(content), "md5": md5}
            data["checksum"] = {"type": "MD5", "value": md5}
            item = {"label": name, "directoryLabel": folder, "restricted": False, "dataFile": data}
            items.append({k: v for k, v in (item | changes).items() if v is not None})

    def take_fault(self, path: str) -> Fault | None:
        with self._lock:
            for number, (part, fault) in enumerate(self._faults):
                if part in path:
                    del self._faults[number]
                    return fault
        return None

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def answer(self, path: str, query: dict[str, list[str]]) -> bytes | Path | None:
        """Return the content that lies at a path, a file or one made on demand."""
        if path.startswith("/emdb/api/search/"):
            return self._search(unquote(path.removeprefix("/emdb/api/search/")), query)
        if path.startswith("/emdb/api/entry/"):
            return self._document(path.rpartition("/")[2])
        if path.startswith("/api/datasets/:persistentId/versions/:latest-published/files"):
            items = self._lists.get(query["persistentId"][0].removeprefix("doi:"))
            first, most = int(query["offset"][0]), int(query["limit"][0])
            page = None if items is None else items[first : first + most]
            return None if page is None else json.dumps({"status": "OK", "data": page}).encode()
        if path.startswith("/api/access/datafile/"):
            return self._stored.get(path.rpartition("/")[2])
        stored = self.root / path.lstrip("/")
        return stored if stored.is_file() else None

    def _search(self, text: str, query: dict[str, list[str]]) -> bytes:
        names = query["fl"][0].split(",")
        rows, page = int(query["rows"][0]), int(query["page"][0])
        chosen = [entry for entry in self.entries if self._matches(entry, text)]
        table = io.StringIO()
        writer = csv.DictWriter(table, names, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(e.search_fields() for e in chosen[(page - 1) * rows : page * rows])
        return table.getvalue().encode()

    @staticmethod
    def _matches(entry: TreeEntry, text: str) -> bool:
        bounds = re.search(r"resolution:\[(\S+) TO (\S+)\]", text)
        try:
            resolution = float(entry.resolution_A)
        except ValueError:
            resolution = None
        if bounds and resolution is not None:
            low, high = map(float, bounds.groups())
            if not low <= resolution <= high:
                return False
        return bool(entry.search_fields()["fitted_pdbs"]) or 'xref_links:"pdb"' not in text

    def _document(self, emdb_id: str) -> bytes | None:
        for entry in self.entries:
            if entry.emdb_id == emdb_id:
                document = entry.document or {"emdb_id": emdb_id, "admin": {"title": entry.title}}
                return json.dumps(document).encode()
        return None

    def _write_entry(self, entry: TreeEntry) -> None:
        number, name = entry.emdb_id[4:], entry.pdb_id.split(",")[0].lower()
        emdb = f"pub/emdb/structures/EMD-{number}"
        models = "pub/pdb/data/structures/divided"
        self._put(f"{emdb}/map/emd_{number}.map.gz", entry.map)
        for half, content in enumerate(entry.half_maps, 1):
            self._put(f"{emdb}/other/emd_{number}_half_map_{half}.map.gz", content)
        self._put(f"{models}/mmCIF/{name[-3:-1]}/{name}.cif.gz", entry.model)
        self._put(f"{models}/pdb/{name[-3:-1]}/pdb{name}.ent.gz", entry.pdb_model)
        self._put(f"fasta/entry/{name.upper()}", entry.fasta)

    def _put(self, path: str, content: Content | None) -> None:
        if content is None:
            return
        data = content.read_bytes() if isinstance(content, Path) else content
        data = data.encode() if isinstance(data, str) else data
        if path.endswith(".gz") and not data.startswith(b"\x1f\x8b"):
            data = gzip.compress(data, mtime=0)
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tree: ArchiveTree

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        parts = urlsplit(self.path)
        with self.tree.counted():
            fault = self.tree.take_fault(parts.path) or Fault()
            status, start, sent = self._serve(parts.path, parse_qs(parts.query), fault)
            self.tree.note(Asked(self.path, start, status, sent, time.monotonic()))

    def _serve(self, path: str, query: dict[str, list[str]], fault: Fault) -> tuple[int, int, int]:
        if fault.redirect is not None:
            return self._head(302, 0, {"Location": fault.redirect})
        if fault.status is not None:
            extra = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            return self._head(fault.status, 0, extra)
        content = self.tree.answer(path, query) if fault.body is None else fault.body
        if content is None:
            return self._head(404, 0, {})
        data = content.read_bytes() if isinstance(content, Path) else content
        etag = f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"'
        extra = {"ETag": etag} if self.tree.has_etags else {}
        status, start = 200, self._start(etag)
        if start >= len(data) > 0 and start:
            return self._head(416, 0, extra)
        if start:
            status = 206
            extra["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(status, len(data) - start, extra | fault.headers)
        body = data[start:][: fault.cut]
        with suppress(OSError):  # a client that hangs up is what some tests are about
            self._send(body, fault.drip_s)
        return status, start, len(body)

    def _start(self, etag: str) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not asked or not self.tree.has_ranges:
            return 0
        return int(asked[1]) if self.headers.get("If-Range", etag) == etag else 0

    def _send(self, body: bytes, drip_s: float | None) -> None:
        if drip_s is None:
            self.wfile.write(body)
            return
        for at in range(0, len(body), 1000):
            self.wfile.write(body[at : at + 1000])
            time.sleep(drip_s)

    def _head(self, status: int, length: int, extra: dict[str, str]) -> tuple[int, int, int]:
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        return status, 0, 0


@contextmanager
def archive_tree(folder: Path, entries: Iterable[TreeEntry] = ()) -> Iterator[ArchiveTree]:
    """Serve entries from ``folder / "archive"`` until the block ends."""
    tree = ArchiveTree(folder / "archive", entries)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is what some tests are about."""

    server = Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"tree": tree}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    tree.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield tree
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
