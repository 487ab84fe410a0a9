"""What requests mean for a store, with a client that does what a script says."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable

import pytest

from c2s_data.errors import ConfigError, MissingChunkError, StoreError
from c2s_data.store import clients, remote_objects
from c2s_data.store.fsspec_client import FsspecClient
from c2s_data.store.objects import open_objects
from c2s_data.store.remote_objects import RemoteObjects
from c2s_data.store.retry import (
    NameTakenError,
    NoSuchObjectError,
    RetryPolicy,
    ServiceFaultError,
)

BROKEN = ServiceFaultError("connection broken", transient=True)


class Client:
    """A bucket in memory; before each request the script's next step happens.

    A step is None (nothing), an exception (instead of the request), ``"lost"`` (carried out, then
    broken off), or a function of the body that goes up or comes back.
    """

    repeats_itself = False

    def __init__(self, *script: object) -> None:
        self.script, self.held, self.asked = list(script), {}, []
        self.tags = True

    def _step(self, name: str, key: str) -> Callable[[bytes], bytes]:
        self.asked.append(name)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        self._lost = step == "lost"
        return step if callable(step) else bytes

    def _written(self, key: str, data: bytes) -> str | None:
        self.held[key] = data
        if self._lost:
            raise BROKEN
        return hashlib.md5(data).hexdigest() if self.tags else "another-kind-of-tag"

    def put(self, key, data):
        return self._written(key, self._step("put", key)(data))

    def create(self, key, data):
        change = self._step("create", key)
        if key in self.held:
            raise NameTakenError(key)
        return self._written(key, change(data))

    def get(self, key, nbytes):
        change = self._step("get", key)
        if key not in self.held:
            raise NoSuchObjectError(key)
        return change(self.held[key])

    def span(self, key, start, stop):
        return self.get(key, 0)[start:stop]

    def tail(self, key, nbytes):
        return self.get(key, 0)[-nbytes:]

    def size(self, key):
        return len(self.get(key, 0))

    def delete(self, key):
        self._step("delete", key)
        self.held.pop(key, None)


def place(monkeypatch: pytest.MonkeyPatch, *script: object) -> tuple[RemoteObjects, Client]:
    client = Client(*script)
    monkeypatch.setattr(remote_objects, "open_client", lambda url, policy: client)
    return RemoteObjects("s3://b/x", RetryPolicy(pause_s=1e-4, longest_pause_s=1e-4)), client


def flipped(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def test_a_write_takes_one_request_where_the_service_tags_by_md5(monkeypatch) -> None:
    objects, client = place(monkeypatch)
    objects.put("a", b"body")
    assert objects.create("b", b"body")
    assert client.asked == ["put", "create"]
    client.tags = False
    objects.put("c", b"body")
    assert client.asked[2:] == ["put", "get"]


@pytest.mark.parametrize("write", ["put", "create"])
@pytest.mark.parametrize("tags", [True, False])
def test_a_body_that_arrives_changed_is_written_once_more(monkeypatch, write, tags) -> None:
    objects, client = place(monkeypatch, flipped)
    client.tags = tags
    getattr(objects, write)("a", b"body")
    assert client.held["a"] == b"body"
    assert client.asked.count("put") + client.asked.count("create") == 2


def test_a_service_that_always_changes_bodies_is_reported(monkeypatch) -> None:
    objects, _ = place(monkeypatch, flipped, None, None, None, flipped)
    with pytest.raises(StoreError, match="'a' reads back changed, twice"):
        objects.put("a", b"body")


def test_a_creation_whose_answer_was_lost_is_known_by_its_bytes(monkeypatch) -> None:
    objects, client = place(monkeypatch, "lost")
    assert objects.create("a", b"mine") is True
    objects, client = place(monkeypatch, BROKEN)
    client.held["a"] = b"theirs"
    assert objects.create("a", b"mine") is False
    assert client.held["a"] == b"theirs"


def test_the_bytes_decide_only_where_a_request_may_have_been_lost(monkeypatch) -> None:
    objects, client = place(monkeypatch)
    client.held["a"] = b"same"
    assert objects.create("a", b"same") is False
    client.repeats_itself = True
    assert objects.create("a", b"same") is True
    assert objects.create("a", b"other") is False


def test_a_body_that_fails_its_check_is_fetched_again(monkeypatch) -> None:
    objects, client = place(monkeypatch, flipped, flipped)
    client.held["a"] = b"body"
    assert objects.get("a", check=lambda data: data == b"body") == b"body"
    client.script = [flipped, flipped]
    assert objects.holds("a", b"body")
    client.asked.clear()
    assert objects.get("a", check=lambda data: False) == b"body"
    assert client.asked == ["get"] * 3
    client.script = [flipped]
    assert objects.get("a") == flipped(b"body")


def test_a_part_that_comes_short_is_fetched_again(monkeypatch) -> None:
    objects, client = place(monkeypatch, lambda body: body[:5])
    client.held["a"] = b"0123456789"
    assert objects.span("a", 2, 8) == b"234567"
    assert objects.span("a", 8, 12) == b"89"


def test_an_object_is_missing_when_two_answers_say_so(monkeypatch) -> None:
    objects, client = place(monkeypatch, NoSuchObjectError("a"))
    client.held["a"] = b"body"
    assert objects.get("a") == b"body"
    client.script = [NoSuchObjectError("a")]
    assert objects.size("a") == 4
    client.asked.clear()
    with pytest.raises(MissingChunkError, match="'none' is missing"):
        objects.get("none")
    assert client.asked == ["get", "get"]
    assert objects.size("none") is None


def test_a_place_is_pickled_by_its_address_alone(monkeypatch) -> None:
    objects = RemoteObjects("memory://pickled", RetryPolicy(tries=2))
    objects._client.secret = "CANARY"
    data = pickle.dumps(objects)
    assert b"CANARY" not in data
    again = pickle.loads(data)
    assert (again.url, again.policy) == (objects.url, objects.policy)
    assert repr(objects) == "RemoteObjects('memory://pickled')"


def test_the_client_is_chosen_by_the_environment(monkeypatch) -> None:
    there = {"obstore", "s3fs"}
    monkeypatch.setattr(clients, "_installed", lambda name: name in there)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.delenv("C2S_S3_CLIENT", raising=False)
    assert clients.s3_client() == "obstore"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "laboratory")  # obstore reads no profiles
    assert clients.s3_client() == "s3fs"
    there.remove("s3fs")
    assert clients.s3_client() == "obstore"
    monkeypatch.setenv("C2S_S3_CLIENT", "s3fs")
    with pytest.raises(ConfigError, match="s3fs is not installed: pip install"):
        clients.s3_client()
    monkeypatch.setenv("C2S_S3_CLIENT", "boto")
    with pytest.raises(ConfigError, match="the clients are obstore and s3fs"):
        open_objects("s3://bucket/x")


def test_other_addresses_stay_with_fsspec(monkeypatch) -> None:
    monkeypatch.setenv("C2S_S3_CLIENT", "obstore")
    assert isinstance(open_objects("memory://x")._client, FsspecClient)
