"""Shares, times and counts as people read them."""

from collections.abc import Iterable


def percent(share: float) -> str:
    """One decimal; 100% and 0% only for all and none."""
    text = f"{100 * share:.1f}%"
    if text == "100.0%":
        return "100%" if share == 1 else ">99.9%"
    return "<0.1%" if text == "0.0%" and share > 0 else text


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    if minutes:
        return f"{minutes} min {rest:02d} s"
    return f"{rest} s" if rest >= 10 else f"{seconds:.2g} s"


def short_count(count: float) -> str:
    """1,338,250 -> 1.34M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.3g}"


def of_groups(names: Iterable[object] | None) -> str:
    """` of 12 groups`, where images belong together."""
    if names is None:
        return ""
    count = len(set(names))
    return f" of {count:,} group{'s' * (count != 1)}"
