"""Groups with different numbers of training images: which are one experiment's, which compare."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cnnexp.comparison.groups import group_labels
from cnnexp.comparison.records import digest_of
from cnnexp.comparison.scores import Score
from cnnexp.comparison.verdicts import Family

OF_SIZE = ("per_class", "data")  # the last parts of the keys that say how many images there are


class Line(NamedTuple):
    """scores: the one with the fewest training images first."""

    label: str
    scores: list[Score]


def size_lines(scores: Sequence[Score]) -> list[Line]:
    """Groups that differ in their training images alone; the best with the most images first."""
    members: dict[str, list[Score]] = {}
    for score in scores:
        members.setdefault(digest_of(_others(score.group.keys)), []).append(score)
    several = [
        sorted(own, key=lambda score: score.train_images)
        for own in members.values()
        if len({score.train_images for score in own}) > 1
    ]
    several.sort(key=lambda own: -own[-1].accuracy)
    firsts = [own[0].group for own in several]
    labels = group_labels([(group.runs[0].name, _others(group.keys)) for group in firsts])
    return [Line(label, own) for label, own in zip(labels, several, strict=True)]


def families_of(scores: Sequence[Score]) -> list[Family]:
    """Where several experiments had several numbers of training images, those with the same number
    are judged, the largest first; else all pairs.
    """
    every = [Family("", list(range(len(scores))))]
    if len(size_lines(scores)) < 2:
        return every
    members: dict[float, list[int]] = {}
    for place, score in enumerate(scores):
        members.setdefault(score.train_images, []).append(place)
    several = sorted(((n, own) for n, own in members.items() if len(own) > 1), reverse=True)
    return [Family(f"with {n:,.0f} training images", own) for n, own in several] or every


def _others(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: keys[key] for key in keys if key.rpartition(".")[2] not in OF_SIZE}
