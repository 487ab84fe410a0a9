"""How often and how long a service is asked, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from c2s_data.errors import ConfigError, StoreError
from c2s_data.store import retry
from c2s_data.store.retry import Attempt, RetryPolicy, ServiceFaultError, persist


class Clock:
    """Time that passes only when someone waits."""

    def __init__(self) -> None:
        self.now, self.pauses = 100.0, []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    return clock


def failing(clock: Clock, times: int, fault: ServiceFaultError, seconds: float = 0.0) -> Callable:
    def request(attempt: Attempt) -> str:
        clock.now += seconds
        if attempt.tries <= times:
            raise fault
        return f"answered at try {attempt.tries}"

    return request


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_nine_faults_that_pass_are_invisible(clock: Clock, status: int) -> None:
    request = failing(clock, 9, ServiceFaultError("SlowDown", status))
    assert persist(RetryPolicy(), "x", "cannot be read", request) == "answered at try 10"


def test_the_tenth_is_reported_in_time(clock: Clock) -> None:
    request = failing(clock, 99, ServiceFaultError("SlowDown", 503), seconds=1.0)
    with pytest.raises(
        StoreError,
        match=r"^s3://b/x cannot be read: HTTP 503 SlowDown after 10 tries in \d\d\.\d s",
    ):
        persist(RetryPolicy(), "s3://b/x", "cannot be read", request)
    assert clock.now - 100 < 60
    assert len(clock.pauses) == 9
    for pause, longest in zip(clock.pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 4, 4, 4], strict=True):
        assert longest / 2 <= pause <= longest


@pytest.mark.parametrize("seconds", [10.0, 24.75])
def test_hangs_end_within_a_minute_and_after_a_second_try(clock: Clock, seconds: float) -> None:
    fault = ServiceFaultError("timeout", transient=True)
    with pytest.raises(StoreError, match=r"timeout after [2-5] tries"):
        persist(RetryPolicy(), "x", "cannot be read", failing(clock, 99, fault, seconds))
    assert clock.now - 100 <= 60


@pytest.mark.parametrize(
    ("what", "status"), [("AccessDenied", 403), ("InvalidArgument", 400), ("NoSuchBucket", 404)]
)
def test_what_cannot_pass_is_reported_at_once(clock: Clock, what: str, status: int) -> None:
    request = failing(clock, 99, ServiceFaultError(what, status))
    with pytest.raises(StoreError, match=rf"HTTP {status} {what} after 1 try in 0\.0 s; check"):
        persist(RetryPolicy(), "x", "cannot be written", request)
    assert clock.pauses == []


@pytest.mark.parametrize("code", ["SlowDown", "RequestTimeout", "BadDigest", "IncompleteBody"])
def test_some_codes_pass_under_any_status(code: str) -> None:
    assert ServiceFaultError(code, 400).transient
    assert not ServiceFaultError("MalformedXML", 400).transient


def test_a_request_learns_what_became_of_the_one_before(clock: Clock) -> None:
    seen = []

    def request(attempt: Attempt) -> None:
        seen.append((attempt.tries, attempt.unsure, attempt.late))
        faults = [ServiceFaultError("timeout", transient=True), ServiceFaultError("SlowDown", 503)]
        if attempt.tries <= len(faults):
            raise faults[attempt.tries - 1]

    persist(RetryPolicy(), "x", "cannot be written", request)
    assert seen == [(1, False, False), (2, True, True), (3, True, False)]


def test_the_error_carries_nothing_of_the_library(clock: Clock) -> None:
    def request(attempt: Attempt) -> None:
        try:
            raise OSError("https://key:CANARY@host refused")
        except OSError:
            fault = ServiceFaultError("connection broken", transient=True)
        raise fault

    with pytest.raises(StoreError) as caught:
        persist(RetryPolicy(tries=2), "x", "cannot be read", request)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_large_body_gets_longer_but_leaves_time_for_a_second_request() -> None:
    policy = RetryPolicy()
    assert policy.allowed_s(0) == 10
    assert policy.allowed_s(16_000_000) == 14
    assert policy.allowed_s(10**12) == 0.45 * 50


def test_the_environment_sets_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RetryPolicy.from_environment() == RetryPolicy()
    monkeypatch.setenv("C2S_S3_TRIES", "3")
    monkeypatch.setenv("C2S_S3_REQUEST_S", "2.5")
    assert RetryPolicy.from_environment() == RetryPolicy(tries=3, request_s=2.5)
    for wrong in ("0", "-1", "many", "nan", "2.5"):
        monkeypatch.setenv("C2S_S3_TRIES", wrong)
        with pytest.raises(ConfigError, match=rf"C2S_S3_TRIES='{wrong}'"):
            RetryPolicy.from_environment()
