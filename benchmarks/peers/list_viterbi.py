"""The customized Viterbi search in plain Python: lists of floats, and a list of states a path."""

from __future__ import annotations

from collections.abc import Sequence

Rows = Sequence[Sequence[float]]


def list_viterbi(
    log_t: Rows, log_e: Rows, log_pi: Sequence[float], codes: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return state and fragment of each residue, -1 where no state was left.

    ``log_t[p][s]`` goes from p to s. A path never holds a state twice; where none can be made
    longer, the best one becomes a fragment, its states are taken out, and a new path begins.
    """
    free = list(range(len(log_pi)))
    states: list[int] = []
    numbers: list[int] = []
    count = 0
    while len(states) < len(codes) and free:
        at = len(states)
        value = {s: log_pi[s] + log_e[s][codes[at]] for s in free}
        path = {s: [s] for s in free}
        for code in codes[at + 1 :]:
            longer = _longer(log_t, log_e, free, code, value, path)
            if longer is None:
                break
            value, path = longer
        best = max(free, key=value.__getitem__)
        states += path[best]
        numbers += [count] * len(path[best])
        free = [s for s in free if s not in path[best]]
        count += 1
    missing = [-1] * (len(codes) - len(states))
    return states + missing, numbers + missing


def _longer(
    log_t: Rows,
    log_e: Rows,
    free: list[int],
    code: int,
    value: dict[int, float],
    path: dict[int, list[int]],
) -> tuple[dict[int, float], dict[int, list[int]]] | None:
    """Make every path a state longer; None where a state cannot be reached any more."""
    new_value, new_path = {}, {}
    for s in free:
        best, chosen = -float("inf"), -1
        for p in free:
            total = (value[p] + log_t[p][s]) + log_e[s][code]
            if total > best and s not in path[p]:
                best, chosen = total, p
        if chosen < 0:
            return None
        new_value[s], new_path[s] = best, [*path[chosen], s]
    return new_value, new_path
