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
    """Of a pair of groups.

    first_alone, second_alone: on how many common images one side is right and the other wrong, as
    the mean over all pairs of their seeds: they differ by what the accuracies differ by.
    more_of_first, more_of_second: places of the images that a larger share of its seeds gets right,
    the most decided first.
    """

    first: int
    second: int
    first_alone: float
    second_alone: float
    more_of_first: np.ndarray
    more_of_second: np.ndarray


def shares_right(answers: Answers, columns: Sequence[Sequence[int]]) -> np.ndarray:
    """(N, G): of each group's seeds, the share that is right."""
    right = answers.right
    return np.stack([right[:, list(members)].mean(1) for members in columns], axis=1)


def flips(shares: np.ndarray, labels: np.ndarray, first: int, second: int) -> Flips:
    """Of equally decided images those of classes that came less often come first."""
    a, b = shares[:, first], shares[:, second]
    found = []
    for side, other in ((a, b), (b, a)):
        places = np.flatnonzero(side > other)
        decided = (side - other)[places]
        order = np.argsort(-decided, kind="stable")
        places, decided = places[order], decided[order]
        found.append(places[np.lexsort((turns(labels[places]), -decided))])
    alone = [float((side * (1 - other)).sum()) for side, other in ((a, b), (b, a))]
    return Flips(first, second, alone[0], alone[1], found[0], found[1])


def counted(pair: Flips) -> tuple[str, str]:
    """Images that the first alone and the second alone are right on; of small means one decimal."""
    counts = (pair.first_alone, pair.second_alone)
    whole = all(abs(count - round(count)) < 1e-6 for count in counts) or max(counts) >= 100
    digits = 0 if whole else 1
    return f"{counts[0]:,.{digits}f}", f"{counts[1]:,.{digits}f}"


def as_csv(
    answers: Answers, classes: Sequence[str], groups: Sequence[Group], shares: np.ndarray
) -> str:
    """A row per image that not all groups get right equally often."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", "class", *(f"right: {group.label}" for group in groups)])
    for place in np.flatnonzero(np.ptp(shares, axis=1) > 0).tolist():
        values = (f"{share:.4g}" for share in shares[place])
        writer.writerow([answers.paths[place], classes[answers.labels[place]], *values])
    return out.getvalue()
