"""A phase's own settings over the run's. Imports nothing: reports read configs, too."""

from collections.abc import Mapping
from typing import Any


def laid_over(node: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The run's optimizer or scheduler as a phase has it: its own keys or its own target count."""
    return dict(own) if "_target_" in own else {**node, **own}
