"""Groups' labels where there is little room: shorter, and still told apart."""

import re
from collections.abc import Sequence
from itertools import takewhile

KEY = re.compile(r"(?<![^ ])(?:\w+\.)+(\w+)(?==)")  # of a config, as labels have them


def brief(labels: Sequence[str]) -> list[str]:
    """`a_scratch dataset.per_class=50`, `a_frozen dataset.per_class=50`: `…scratch…`, `…frozen…`.
    Keys by their last part; where all begin or end with the same words, "…" stands for these.
    """
    keys = {match[0] for label in labels for match in KEY.finditer(label)}
    if len({key.rpartition(".")[2] for key in keys}) == len(keys):
        labels = [KEY.sub(r"\1", label) for label in labels]
    if len(labels) < 2:
        return list(labels)
    begin = common(labels)
    begin = begin[: (begin.rfind(" ") if " " in begin else begin.rfind("_")) + 1]
    end = common([label[len(begin) :][::-1] for label in labels])[::-1]
    end = end[end.index(" ") :] if " " in end else ""
    dots = ["…" if part else "" for part in (begin, end)]
    return [f"{dots[0]}{label[len(begin) : len(label) - len(end)]}{dots[1]}" for label in labels]


def common(labels: Sequence[str]) -> str:
    """What all begin with."""
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*labels, strict=False))
    return "".join(column[0] for column in columns)
