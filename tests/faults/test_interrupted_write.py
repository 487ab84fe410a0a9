"""Row K3: a writer that is killed leaves the old object or the new one, and nothing unnamed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("interrupted_writer.py")


def test_a_killed_writer_leaves_old_or_new_objects(tmp_path: Path, budget, row) -> None:
    kills = budget(20, 100)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "place"), str(kills), "7"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120 + kills,
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == kills
    assert all(result["objects"] >= 3 for result in results)
    for what in ("truncated", "not_listed", "not_removed"):
        assert sum(result[what] for result in results) == 0, what
    # Kills that hit nothing would prove nothing.
    cut, left = (sum(result[name] for result in results) for name in ("left_cut", "left"))
    assert left >= kills // 10
    assert cut >= kills // 100
    row("K3", "kill -9 during a write", kills, 0, f"{left} leftovers listed and removed")


def test_a_cut_or_mixed_object_would_be_seen() -> None:
    from interrupted_writer import body, is_whole

    whole, next_one = body(12), body(13)
    assert is_whole(whole)
    assert not is_whole(whole[:-16])
    assert not is_whole(whole[:65536] + next_one[65536:])
    with pytest.raises(ValueError, match="invalid literal"):
        is_whole(b"")
