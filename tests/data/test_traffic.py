"""Requests to object storage are counted, and repeated ones are told without a flood."""

from __future__ import annotations

import pytest

from c2s_data.build import EntryOutcome
from c2s_data.console import outcome_line
from c2s_data.errors import StoreError
from c2s_data.store.retry import RetryPolicy, ServiceFaultError, persist
from c2s_data.store.traffic import count_bytes, count_request, traffic

POLICY = RetryPolicy(tries=40, pause_s=1e-6, longest_pause_s=1e-6)


def test_each_try_is_counted_with_the_fault_before_it() -> None:
    faults = [ServiceFaultError("SlowDown", 503), ServiceFaultError("timeout", transient=True)]
    before, left = traffic(), list(faults)

    def request(_: object) -> str:
        if left:
            raise left.pop(0)
        return "answer"

    assert persist(POLICY, "s3://b", "cannot be read", request) == "answer"
    count_bytes(7)
    came = traffic() - before
    assert came.requests == 3
    assert came.repeated == {"HTTP 503 SlowDown": 1, "timeout": 1}
    assert came.bytes_read == 7
    assert str(came) == (
        "2 of 3 requests to object storage were repeated (HTTP 503 SlowDown: 1, timeout: 1)"
    )


def test_what_cannot_pass_is_not_repeated() -> None:
    before = traffic()

    def refuse(_: object) -> None:
        raise ServiceFaultError("AccessDenied", 403)

    with pytest.raises(StoreError, match="1 try"):
        persist(POLICY, "s3://b", "cannot be read", refuse)
    assert (traffic() - before).requests == 1
    assert not (traffic() - before).repeated


def test_warnings_become_rare(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from collections import Counter

    from c2s_data.store import traffic as module

    monkeypatch.setattr(module, "_repeated", Counter())
    for _ in range(100):
        count_request("timeout")
    told = [record.getMessage() for record in caplog.records]
    assert [text.split(" of ")[0] for text in told] == ["1", "4", "16", "64"]


def test_a_map_says_how_often_its_worker_asked_again() -> None:
    built = EntryOutcome("EMD-1", None, n_subgrids=5, nbytes=10**6, seconds=2.0)
    assert outcome_line(built) == "EMD-1: built in 2.0 s, 5 subgrids, 1.0 MB"
    one, several = (EntryOutcome("EMD-1", None, repeated_requests=n) for n in (1, 2))
    assert outcome_line(one).endswith(", 1 request repeated")
    assert outcome_line(several).endswith(", 2 requests repeated")
