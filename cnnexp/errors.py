"""The one error that a person can mend: wrong input."""

import difflib
from collections.abc import Iterable

DIVERGED = "training diverged"  # in the words of a run that did


class InputError(Exception):
    """What is wrong, where, what is allowed, the nearest match; in one line.

    The command line prints it without a traceback and exits with code 2.
    """


class Inapplicable(InputError):
    """A picture that this network cannot have: left out of a run, with the reason."""


class Pruned(Exception):
    """A search has given up a run that is behind the others. value: its best monitored one."""

    def __init__(self, value: float) -> None:
        super().__init__(f"behind the other trials, best {value:.4f}")
        self.value = value


def one_line(error: BaseException) -> str:
    """All that it says."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """Of libraries' long messages the beginning."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def nearest(word: str, allowed: Iterable[str]) -> str:
    """`word` answered with the most similar of `allowed`, capitals or not: "; did you mean 'x'?",
    else "".
    """
    names = list(allowed)
    by_case = {name.lower(): name for name in names}
    match = [by_case[word.lower()]] if word.lower() in by_case else []
    match = match or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not match:
        close = difflib.get_close_matches(word.lower(), by_case, n=1, cutoff=0.6)
        match = [by_case[name] for name in close]
    return f"; did you mean '{match[0]}'?" if match else ""
