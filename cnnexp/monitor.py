"""The monitored value (`training.monitor`): by it epochs, trials and runs are chosen."""

from collections.abc import Mapping


def goodness(row: Mapping[str, float], monitor: str) -> tuple[float, float]:
    """By which epochs' rows are compared, the larger the better: of those that are equal, as they
    often are on few validation images, the one with the lower loss.
    """
    return sign_of(monitor) * row[monitor], -row["val/loss"]


def sign_of(monitor: str) -> int:
    """1 where high values are good (val/accuracy), -1 where low ones are (val/loss)."""
    return -1 if monitor.endswith("loss") else 1
