"""A file of weights is refused."""

from __future__ import annotations

from c2s_data.errors import C2SError


class CheckpointError(C2SError):
    """A file of weights is not what it should be; the message tells fact, place and remedy."""
