"""The monitored value (`training.monitor`): by it epochs, trials and runs are chosen."""


def sign_of(monitor: str) -> int:
    """1 where high values are good (val/accuracy), -1 where low ones are (val/loss)."""
    return -1 if monitor.endswith("loss") else 1
