"""What the doctor says of one thing: whether it is as it should be and, if not, what to do."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """note: a run works, but not as it could. problem: a run with this config would fail.

    fix: a command or a key.
    """

    state: State
    text: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.text}; {self.fix}" if self.fix else self.text
        return " ".join(line.split())


def ok(text: str) -> Finding:
    return Finding("ok", text)


def note(text: str, fix: str = "") -> Finding:
    return Finding("note", text, fix)


def problem(text: str, fix: str = "") -> Finding:
    return Finding("problem", text, fix)
