"""Images that one group gets right and another wrong."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnnexp.comparison.groups import Group
from cnnexp.comparison.test_images import Answers
from cnnexp.data.turns import turns


class Flips(NamedTuple):
    """Of a pair: places among the common images, the most decided first.

    first_alone: most of first's seeds are right and most of second's are not; second_alone: the
    reverse.
    """

    first: int
    second: int
    first_alone: np.ndarray
    second_alone: np.ndarray


def shares_right(answers: Answers, columns: Sequence[Sequence[int]]) -> np.ndarray:
    """(N, G): of each group's seeds, the share that is right."""
    right = answers.right
    return np.stack([right[:, list(members)].mean(1) for members in columns], axis=1)


def flips(shares: np.ndarray, labels: np.ndarray, first: int, second: int) -> Flips:
    """Of equally decided images those of classes that came less often come first."""
    a, b = shares[:, first], shares[:, second]
    found = []
    for side, other in ((a, b), (b, a)):
        places = np.flatnonzero((side > 0.5) & (other < 0.5))
        decided = (side - other)[places]
        order = np.argsort(-decided, kind="stable")
        places, decided = places[order], decided[order]
        found.append(places[np.lexsort((turns(labels[places]), -decided))])
    return Flips(first, second, *found)


def as_csv(
    answers: Answers, classes: Sequence[str], groups: Sequence[Group], shares: np.ndarray
) -> str:
    """A row per image that most seeds of some group get right and most of another wrong."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", "class", *(f"right: {group.label}" for group in groups)])
    some = (shares > 0.5).any(1) & (shares < 0.5).any(1)
    for place in np.flatnonzero(some).tolist():
        values = (f"{share:.4g}" for share in shares[place])
        writer.writerow([answers.paths[place], classes[answers.labels[place]], *values])
    return out.getvalue()
