"""The paper's customized Viterbi search: no state twice, fragments where that leaves no way on.

"HMM-Guided Alignment of C-alpha Atoms and Protein Sequences". Over the free states s, with the
first of equals winning everywhere:

    V_0(s) = log pi(s) + log E(s, o_0)
    V_t(s) = max over p whose path does not hold s of (V_{t-1}(p) + log T(p, s)) + log E(s, o_t)

Each state keeps the one path of its maximum, which makes the search greedy: the best path that
visits no state twice may be missed. At the first residue for which some free state has no such p,
the path of the largest V_{t-1} is frozen as a fragment, its states are no longer free, and the
search starts anew: V(s) = log pi(s) + log E(s, o_t), pi still that of the chain's first residue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_model.backbone.hmm_matrices import SparseTransitions, log_initial
from c2s_model.backbone.viterbi_kernel import MAX_STATES, longest_fragment
from c2s_model.backbone.viterbi_state import Model, without


class FreeStates:
    """The states that no chain has used yet, and the search over them.

    Parameters
    ----------
    transitions
        Of all states.
    emission
        Matrix E of all states, shape (n, 20).

    Raises
    ------
    ConfigError
        When there are more states than the search can number.
    """

    def __init__(self, transitions: SparseTransitions, emission: NDArray[np.float64]) -> None:
        if len(emission) > MAX_STATES:
            raise ConfigError(
                f"{len(emission):,} candidates are more than the {MAX_STATES:,} of the search; "
                "raise the threshold of the candidates"
            )
        self._emission = emission
        self._ids = np.arange(len(emission))
        self._model = Model(
            transitions.start,
            transitions.source.astype(np.uint32),
            transitions.log_near,
            transitions.log_far,
            np.ascontiguousarray(np.log(emission.T)),
        )

    def __len__(self) -> int:
        """Return how many states are free."""
        return len(self._ids)

    def trace(self, codes: NDArray[np.integer]) -> list[NDArray[np.int64]]:
        """Return the fragments of one chain and take their states.

        Parameters
        ----------
        codes
            Residue codes 0 to 19, shape (r,).

        Returns
        -------
        fragments
            State of each residue, fragment after fragment from the chain's first residue on. They
            cover fewer residues than the chain has when no free state is left.
        """
        fragments: list[NDArray[np.int64]] = []
        if not len(codes):
            return fragments
        log_pi = log_initial(self._emission, int(codes[0]))
        at = 0
        while at < len(codes) and len(self):
            first = log_pi[self._ids] + self._model.log_emission[codes[at]]
            path = longest_fragment(self._model, first, codes[at:].astype(np.int64))
            fragments.append(self._ids[path])
            self._take(path)
            at += len(path)
        return fragments

    def _take(self, states: NDArray[np.int64]) -> None:
        keep = np.ones(len(self), np.bool_)
        keep[states] = False
        self._model = without(self._model, keep)
        self._ids = self._ids[keep]
