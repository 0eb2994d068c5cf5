"""Values of a file that somebody else may have written: of any type, or not there."""

import math
from collections.abc import Mapping
from typing import Any


def mapping(value: Any) -> dict[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return {str(key): inner for key, inner in value.items()} if isinstance(value, Mapping) else {}


def at(tree: Any, *keys: str) -> Any:
    """tree[key][key]..., None where there is none."""
    for key in keys:
        tree = mapping(tree).get(key)
    return tree


def number(value: Any) -> float | None:
    """`value` if it is a finite number, else None."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) else None
