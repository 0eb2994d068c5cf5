"""Images that one of two groups gets right and the other wrong, as pictures."""

from collections.abc import Callable

import numpy as np

from cnnexp.comparison.comparison import Comparison
from cnnexp.comparison.flips import Flips, counted
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import INK, QUIET, house_style

COUNT = 8  # images of each side
SIDE, BETWEEN = 1.0, 0.14  # inches
BELOW = 0.42  # two lines
SMALL = 8.0
Pixels = Callable[[int], np.ndarray | None]


@house_style
def flip_gallery(comparison: Comparison, pair: Flips, pixels: Pixels) -> Picture | None:
    """pixels: (S, S, 3) uint8 of a common image by its place, None where it is not here."""
    first, second = (comparison.groups[i].label for i in (pair.first, pair.second))
    ours, theirs = counted(pair)
    sides = [(first, second, pair.second, ours, pair.more_of_first),
             (second, first, pair.first, theirs, pair.more_of_second)]  # fmt: skip
    rows = []
    for right, wrong, other, count, places in sides:
        found = ((place, pixels(place)) for place in places.tolist())
        there = [(place, image) for place, image in found if image is not None][:COUNT]
        pairs = len(comparison.columns[pair.first]) * len(comparison.columns[pair.second])
        images = how_many(count, pairs, len(there), len(places))
        if there:
            rows.append((f"{right} right, {wrong} wrong: {images}", other, there))
    if not rows:
        return None
    height = 0.28 + SIDE + BELOW + 0.2
    width = 2 * MARGIN + COUNT * SIDE + (COUNT - 1) * BETWEEN
    page = Page(width, height * len(rows) - 0.1, "Images that flip")
    for number, (title, other, there) in enumerate(rows):
        top = number * height
        page.text(MARGIN, top, fitted(title, width - 2 * MARGIN, 10), color=INK)
        for column, (place, image) in enumerate(there):
            x = MARGIN + column * (SIDE + BETWEEN)
            page.image(x, top + 0.28, SIDE, SIDE, image)
            true = comparison.classes[comparison.answers.labels[place]]
            said = comparison.classes[most_said(comparison, other, place)]
            y = top + 0.28 + SIDE + 0.05
            page.text(x, y, fitted(true, SIDE, SMALL), fontsize=SMALL)
            page.text(x, y + 0.16, fitted(f"not {said}", SIDE, SMALL), fontsize=SMALL, color=QUIET)
    return Picture(
        page.figure,
        title=f"Images that flip between {first} and {second}",
        reading="Above the true class; below it, grey, what the group that is wrong said. First "
        "those on which the groups' seeds differ most, a class at a time. Any two networks differ "
        "on such images, also two seeds of one: a pattern is one only if it is seen in one row and "
        "not in the other.",
        alt="; ".join(title for title, _, _ in rows)
        + ". Shown: "
        + ", ".join(comparison.answers.paths[place] for _, _, there in rows for place, _ in there),
    )


def how_many(count: str, pairs: int, shown: int, differ: int) -> str:
    """count: of images, as `counted` says it, of so many pairs of seeds. differ: places in all."""
    return (
        ("1 image" if count == "1" else f"{count} images")
        + ", mean over pairs of seeds" * (pairs > 1)
        + f"; shown: {shown} of {differ}" * (shown < differ)
    )


def most_said(comparison: Comparison, group: int, place: int) -> int:
    """The class that most of a group's seeds that are wrong predict."""
    said = comparison.answers.predictions[place, comparison.columns[group]]
    return int(np.bincount(said[said != comparison.answers.labels[place]]).argmax())
