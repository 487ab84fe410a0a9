"""What the store needs of an S3 service, asked of a real one through both clients."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from bucket import listed
from seaweed import BUCKET, boto_client, sign_in

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.store.objects import Objects, open_objects

WRITERS = 16


@pytest.fixture
def objects(
    as_writer: None, client: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Objects:
    monkeypatch.setenv("C2S_S3_CLIENT", client)
    return open_objects(f"s3://{BUCKET}/service/{request.node.name}")


def test_one_of_many_creates_an_object(objects: Objects) -> None:
    bodies = [os.urandom(64) for _ in range(WRITERS)]
    for race in range(2):
        create = partial(objects.create, f"race-{race}")
        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(create, bodies))
        assert won.count(True) == 1
        assert objects.get(f"race-{race}") == bodies[won.index(True)]
    assert not objects.create("race-0", b"later")


def test_parts_of_an_object(objects: Objects) -> None:
    body = os.urandom(5_000_001)
    objects.put("folder/large", body)
    assert objects.get("folder/large") == body
    assert objects.span("folder/large", 4_194_300, 4_194_310) == body[4_194_300:4_194_310]
    assert objects.span("folder/large", 4_999_990, 6_000_000) == body[4_999_990:]
    assert objects.span("folder/large", 6_000_000, 6_000_001) == b""
    assert objects.tail("folder/large", 17) == body[-17:]
    assert objects.size("folder/large") == len(body)
    assert objects.size("folder") is None
    objects.put("folder/empty", b"")
    assert objects.get("folder/empty") == objects.tail("folder/empty", 8) == b""


def test_listing_beyond_one_page(
    objects: Objects, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"many/{number:04d}" for number in range(1003)]  # a page holds a thousand
    monkeypatch.setenv("C2S_S3_CLIENT", "obstore")  # It is faster, and only fills the bucket.
    filling = open_objects(objects.url)
    monkeypatch.setenv("C2S_S3_CLIENT", client)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: filling.put(name, name.encode()), names))
    assert list(objects.walk()) == [(name, 9) for name in names]
    assert list(objects.names("")) == ["many"]
    objects.delete(names[500])
    objects.delete(names[500])
    assert list(objects.names("many")) == [n[5:] for n in names if n != names[500]]


def test_an_object_that_was_put_in_parts_is_read_like_any(objects: Objects, endpoint: str) -> None:
    body, key = os.urandom(11 * 2**20), objects.url.partition(f"{BUCKET}/")[2] + "/multipart"
    boto, target = boto_client(endpoint), {"Bucket": BUCKET, "Key": key}
    upload = boto.create_multipart_upload(**target)["UploadId"]
    parts = []
    for number in (1, 2, 3):
        piece = body[(number - 1) * 5 * 2**20 : number * 5 * 2**20]
        tag = boto.upload_part(**target, UploadId=upload, PartNumber=number, Body=piece)["ETag"]
        parts.append({"ETag": tag, "PartNumber": number})
    assert objects.size("multipart") is None, "an upload under way is no object"
    assert list(objects.walk()) == []
    boto.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    assert objects.get("multipart") == body
    assert (
        objects.span("multipart", 5 * 2**20 - 3, 5 * 2**20 + 3)
        == (body[5 * 2**20 - 3 : 5 * 2**20 + 3])
    )
    assert not objects.create("multipart", b"over it")
    objects.put("multipart", b"now in one")
    assert objects.get("multipart") == b"now in one"


@pytest.mark.parametrize(
    ("who", "secret"),
    [("owner", "wrong-0451"), ("nobody", None), ("reader", None)],
    ids=["wrong secret", "unknown key", "only a reader"],
)
def test_who_may_not_is_told(
    endpoint: str,
    objects: Objects,
    client: str,
    who: str,
    secret: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objects.put("there", b"kept")
    sign_in(monkeypatch, endpoint, who)
    monkeypatch.setenv("C2S_S3_CLIENT", client)
    if secret:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    stranger = open_objects(objects.url)
    actions = {
        "put": lambda: stranger.put("there", b"x"),
        "create": lambda: stranger.create("other", b"x"),
        "delete": lambda: stranger.delete("there"),
    }
    if who != "reader":
        actions |= {
            "get": lambda: stranger.get("there"),
            "size": lambda: stranger.size("there"),
            "walk": lambda: list(stranger.walk()),
        }
    for name, action in actions.items():
        with pytest.raises(StoreError, match=r"HTTP 403|AccessDenied") as told:
            action()
        assert "credentials" in str(told.value), name
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(told.value)
    if who == "reader":
        assert stranger.get("there") == b"kept"
        with pytest.raises(MissingChunkError, match="absent"):
            stranger.get("absent")
    assert listed(endpoint, objects.url.partition(f"{BUCKET}/")[2]) == {"there": 4}
