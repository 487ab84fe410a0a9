"""What every page knows: the colors and the names of the classes."""

from __future__ import annotations

from typing import Any

from c2s_data.explore.palette import CLASS_COLORS, SATURATED
from c2s_data.schema import CLASS_NAMES


def constants() -> dict[str, Any]:
    """Return palette and class names, as ``assets/colors.js`` and its fellows use them."""
    return {
        "palette": {**CLASS_COLORS, "clipped": SATURATED},
        "classes": {name: list(classes) for name, classes in CLASS_NAMES.items()},
    }
