"""A phase's own settings over the run's. Imports nothing: reports read configs, too."""

from collections.abc import Mapping
from typing import Any


def laid_over(node: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The run's optimizer or scheduler as a phase has it: its own keys or its own target count."""
    return dict(own) if "_target_" in own else {**node, **own}


def rate_key(phase: str, own: Mapping[str, Any]) -> str:
    """The key that sets a phase's rate. own: the optimizer that the phase names, or {}."""
    return f"phases.{phase}.optimizer.lr" if "lr" in own else "optimizer.lr"
