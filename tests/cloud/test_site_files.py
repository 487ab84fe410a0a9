"""What deploy/object-storage gives a site does what it says: policies, CORS, lifecycle."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builds import digests, run
from seaweed import BUCKET, ROOT, boto_client

FILES = ROOT / "deploy" / "object-storage"


def filled(name: str, bucket: str, prefix: str) -> str:
    """Return a file with its two placeholders replaced, as its documentation says."""
    return (FILES / name).read_text().replace("BUCKET", bucket).replace("PREFIX", prefix)


@pytest.fixture(scope="module")
def accounts() -> Iterator[dict[str, dict[str, str]]]:
    """A server that judges every request by the policies: environments of a writer and a reader."""
    pytest.importorskip("moto")
    import boto3
    from moto.server import ThreadedMotoServer

    before = os.environ.get("INITIAL_NO_AUTH_ACTION_COUNT")
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "1000000"
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    given: dict[str, Any] = {
        "endpoint_url": endpoint, "region_name": "us-east-1",
        "aws_access_key_id": "root", "aws_secret_access_key": "root",
    }  # fmt: skip
    try:
        boto3.client("s3", **given).create_bucket(Bucket=BUCKET)
        iam, found = boto3.client("iam", **given), {}
        for who in ("writer", "reader"):
            policy = filled(f"{who}-policy.json", BUCKET, "stores/mine.zarr")
            iam.create_user(UserName=who)
            iam.put_user_policy(UserName=who, PolicyName=who, PolicyDocument=policy)
            key = iam.create_access_key(UserName=who)["AccessKey"]
            found[who] = {
                "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": endpoint,
            }
        _judge_from_now_on(endpoint)
        yield found
    finally:
        server.stop()
        if before is None:
            del os.environ["INITIAL_NO_AUTH_ACTION_COUNT"]
        else:
            os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = before


def _judge_from_now_on(endpoint: str) -> None:
    request = urllib.request.Request(
        f"{endpoint}/moto-api/reset-auth",
        data=b"0",
        method="POST",
        headers={"Content-Type": "text/plain"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def test_the_policies_permit_what_is_needed_and_no_more(
    accounts: dict[str, dict[str, str]], catalog: Path, on_disk: Path, tmp_path: Path
) -> None:
    # obstore deletes by lists, which moto judges by the bucket and not, as S3 does, by the objects.
    store, chosen = f"s3://{BUCKET}/stores/mine.zarr", {"C2S_S3_CLIENT": "s3fs"}
    build = ("build", catalog, store, "--part=1/1")
    for arguments in (("plan", catalog, store, "--preset=recommended"), build, ("commit", store)):
        done = run(tmp_path, *arguments, **accounts["writer"], **chosen)
        assert done.process.returncode == 0, done.output
    reading = [("verify", store), ("copy", store, tmp_path / "back.zarr")]
    for arguments in reading:
        done = run(tmp_path, *arguments, **accounts["reader"], **chosen)
        assert done.process.returncode == 0, done.output
    assert digests(tmp_path / "back.zarr") == digests(on_disk)
    elsewhere = f"s3://{BUCKET}/others/store.zarr"
    refused = [
        ("reader", ("withdraw", store, "TINY-00", "--reason=none")),
        ("writer", ("copy", on_disk, elsewhere)),
    ]
    for who, arguments in refused:
        done = run(tmp_path, *arguments, **accounts[who], **chosen)
        assert done.process.returncode == 2, done.output
        assert "403" in done.output or "AccessDenied" in done.output
        assert "credentials" in done.output


def test_the_policies_name_no_other_action() -> None:
    actions = {
        who: {
            action
            for statement in json.loads((FILES / f"{who}-policy.json").read_text())["Statement"]
            for action in statement["Action"]
        }
        for who in ("writer", "reader")
    }
    assert actions["reader"] == {"s3:GetObject", "s3:ListBucket"}
    assert actions["writer"] == actions["reader"] | {"s3:PutObject", "s3:DeleteObject"}


def test_web_viewers_may_read_by_ranges(endpoint: str) -> None:
    boto = boto_client(endpoint)
    boto.put_object(Bucket=BUCKET, Key="cors/object", Body=b"0123456789")
    boto.put_bucket_cors(
        Bucket=BUCKET, CORSConfiguration=json.loads((FILES / "cors.json").read_text())
    )

    def allowed(origin: str, method: str) -> str | None:
        request = urllib.request.Request(
            f"{endpoint}/{BUCKET}/cors/object",
            method="OPTIONS",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "range",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.headers.get("Access-Control-Allow-Origin")
        except urllib.error.HTTPError:
            return None

    assert allowed("https://viewer.example.org", "GET") == "https://viewer.example.org"
    assert allowed("https://elsewhere.example.org", "GET") is None


def test_unfinished_uploads_are_removed_by_a_rule(endpoint: str) -> None:
    rule = json.loads((FILES / "lifecycle.json").read_text())
    boto = boto_client(endpoint)
    boto.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rule)
    (kept,) = boto.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert kept["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert kept["Status"] == "Enabled"
    boto.delete_bucket_lifecycle(Bucket=BUCKET)
