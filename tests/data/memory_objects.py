"""Objects of a store kept in memory: a test changes thousands of them, one after another."""

from __future__ import annotations

from c2s_data.errors import MissingChunkError


class MemoryObjects:
    confirms = False

    def __init__(self, stored=None, url="memory"):
        self.url = url
        self.stored: dict[str, bytes] = dict(stored or {})
        self.unfinished: dict[str, float] = {}
        self.n_read = 0

    def put(self, key, data, *, durable=True):
        self.stored[key] = bytes(data)

    def flush(self, keys):
        pass

    def create(self, key, data):
        return self.stored.setdefault(key, made := bytes(data)) is made

    def get(self, key, *, check=None):
        try:
            self.n_read += len(self.stored[key])
            return self.stored[key]
        except KeyError:
            raise MissingChunkError(f"{self.url}: object {key!r} is missing") from None

    def span(self, key, start, stop):
        return self.get(key)[start:stop]

    def tail(self, key, nbytes):
        return self.get(key)[-nbytes:]

    def holds(self, key, data):
        return self.get(key) == bytes(data)

    def size(self, key):
        return len(self.stored[key]) if key in self.stored else None

    def delete(self, key):
        self.stored.pop(key, None)

    def names(self, prefix):
        start = f"{prefix}/" if prefix else ""
        below = (key.removeprefix(start) for key in self.stored if key.startswith(start))
        yield from sorted({key.split("/")[0] for key in below})

    def walk(self, prefix=""):
        start = f"{prefix}/" if prefix else ""
        yield from sorted((k, len(v)) for k, v in self.stored.items() if k.startswith(start))

    def leftovers(self):
        yield from sorted(self.unfinished.items())
