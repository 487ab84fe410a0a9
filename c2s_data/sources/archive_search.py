"""Search EMDB: the query in its service's language, and the pages of the answer.

The service is the archive's own (https://www.ebi.ac.uk/emdb/api); its language is Lucene's. The
live service could not be tried from where this was written: queries and fields follow its
documentation and published uses of it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

from c2s_data.errors import ConfigError
from c2s_data.sources.archive import plain_base
from c2s_data.sources.archive_rows import Found, add_rows, parse_page
from c2s_data.sources.download import DownloadError, open_url
from c2s_data.sources.politeness import Hosts
from c2s_data.sources.web_origin import origin_of_url

METHODS: Final = (
    "singleParticle",
    "helical",
    "subtomogramAveraging",
    "tomography",
    "electronCrystallography",
)
FIELDS: Final = (
    "emdb_id", "title", "resolution", "fitted_pdbs", "structure_determination_method",
    "software", "primary_citation_journal_name", "primary_citation_title",
    "map_contour_level_value", "map_release_date", "release_date", "current_status",
)  # fmt: skip
"""Fields that the service is asked for."""
PAGE_ROWS: Final = 20_000
MAX_PAGE_BYTES: Final = 256 * 2**20
_MAX_PAGES: Final = 1000


@dataclass(frozen=True)
class Query:
    """What to search for.

    Parameters
    ----------
    resolution_A
        Lowest and highest, both included.
    released
        First and last day, both included; None leaves an end open.
    method
        One of `METHODS`.
    fitted_pdb
        Leave out at the server what has no structure; such entries are then not listed.
    raw
        Terms of the service's own language, which must hold as well.
    """

    resolution_A: tuple[float, float] | None = (1.0, 4.0)
    released: tuple[date | None, date | None] = (None, None)
    method: str | None = None
    fitted_pdb: bool = False
    raw: str | None = None

    def text(self) -> str:
        """Return the query as the service reads it.

        Raises
        ------
        ConfigError
            Bounds in the wrong order, an unknown method, or raw terms that are no one line.
        """
        terms = ['current_status:"REL"']
        if self.resolution_A is not None:
            low, high = self.resolution_A
            if not 0 <= low <= high < math.inf:
                raise ConfigError(f"--resolution {low:g} {high:g}: give the lower number first")
            terms.append(f"resolution:[{low:g} TO {high:g}]")
        if self.released != (None, None):
            terms.append(f"release_date:[{self._released()}]")
        if self.method is not None:
            if self.method not in METHODS:
                raise ConfigError(f"--method {self.method!a}: choose one of {', '.join(METHODS)}")
            terms.append(f'structure_determination_method:"{self.method}"')
        if self.fitted_pdb:
            terms.append('xref_links:"pdb"')
        if self.raw is not None:
            if not self.raw.strip() or not self.raw.isprintable():
                raise ConfigError(f"--query {self.raw[:80]!a}: give one line of printable text")
            terms.append(f"({self.raw.strip()})")
        return " AND ".join(terms)

    def _released(self) -> str:
        first, last = self.released
        if first is not None and last is not None and first > last:
            raise ConfigError(f"released after {first} and before {last}: nothing can be both")
        begin = "*" if first is None else f"{first}T00:00:00Z"
        end = "*" if last is None else f"{last}T23:59:59Z"
        return f"{begin} TO {end}"


def search(
    query: Query, hosts: Hosts, *, api: str, origins: Sequence[str] = (), page_rows: int = PAGE_ROWS
) -> Found:
    """Ask the service for all pages of a query.

    Parameters
    ----------
    query
        What to search for.
    hosts
        Pace and retries.
    api
        Base address of the service; its own origin is allowed.
    origins
        Further origins that a redirect may lead to.
    page_rows
        Entries asked for at once.

    Raises
    ------
    DownloadError
        The service cannot be asked, or does not send the table that was asked for.
    """
    found, seen = Found(), set[str]()
    allowed = (origin_of_url(api), *origins)
    text = query.text()
    for page in range(1, _MAX_PAGES + 1):
        address = _address(plain_base(api), text, page, page_rows)
        raw = hosts.ask(
            address,
            partial(_read_page, address, hosts, allowed),
            pace_s=hosts.policy.api_pace_s,
        )
        fresh = {row["emdb_id"]: row for row in raw if row["emdb_id"] not in seen}
        seen.update(fresh)
        add_rows(found, fresh.values(), query.resolution_A)
        # A service that knows no pages sends the first one again and again.
        if len(raw) < page_rows or not fresh:
            return found
    raise DownloadError(f"{api}: more than {_MAX_PAGES} pages; ask for less at once")


def _address(api: str, text: str, page: int, rows: int) -> str:
    options = {"rows": rows, "page": page, "wt": "csv", "fl": ",".join(FIELDS)}
    return f"{api}/search/{quote(text, safe='')}?{urlencode(options)}"


def _read_page(address: str, hosts: Hosts, origins: Sequence[str]) -> list[dict[str, str]]:
    policy = hosts.policy
    with open_url(
        address,
        max_bytes=MAX_PAGE_BYTES,
        allowed_origins=origins,
        timeout_s=10 * policy.timeout_s,  # it makes the whole table before it sends the first line
        deadline_s=policy.deadline_s,
    ) as body:
        return parse_page(io.TextIOWrapper(io.BufferedReader(body), "utf-8-sig", newline=""))
