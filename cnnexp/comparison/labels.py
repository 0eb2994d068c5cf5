"""Which colour a group has, and where its name stands, so that no two names overlap."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from cnnexp.comparison.names import brief
from cnnexp.reporting.page import MARGIN, Page, fitted, text_width
from cnnexp.reporting.style import BLUE, GREEN, INK, ORANGE, QUIET, VERMILION

# Okabe and Ito's others: yellow is too faint on white, black is gone on a dark page.
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, "#CC79A7", "#56B4E9")
LINE = 0.19  # inches from one name to the next, at 9 points
LINES = (0.65, 0.1, 5.6, 3.9)  # a page of lines: its axes, as left, top, width and height in inches
NAMES = 3.2  # inches to the right of them
DOUBT = 0.15  # inches; a point that is nearer than its own by no more could be the name's, too


def colour(place: int) -> str:
    """Of a group by its place, the best first; those after the sixth are grey."""
    return PALETTE[place] if place < len(PALETTE) else QUIET


def names_within(labels: Sequence[str], width: float, size: float) -> list[str]:
    """As they are where each fits into so many inches, else brief, and without their middle."""
    if all(text_width(label, size) <= width for label in labels):
        return list(labels)
    return [fitted(name, width, size) for name in brief(labels)]


def leader(page: Page, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    """A thin line from a point to its name, in inches as all of a page's positions."""
    (x0, y0), (x1, y1) = start, end
    page.figure.add_artist(
        Line2D(
            [x0 / page.width, x1 / page.width],
            [1 - (y + page.top) / page.height for y in (y0, y1)],
            color=colour, linewidth=1.2,
        )
    )  # fmt: skip


class LinesPage(NamedTuple):
    """Axes for accuracies along a line per group, and beside them a column for the names."""

    page: Page
    axes: Axes

    @classmethod
    def of(cls, title: str, words: Sequence[str], along: str) -> "LinesPage":
        """along: what the horizontal axis counts."""
        page = Page(MARGIN + sum(LINES[0::2]) + NAMES, LINES[3] + 0.65, title, words)
        axes = page.axes(MARGIN + LINES[0], *LINES[1:])
        axes.grid(True)
        axes.set_xlabel(along)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
        return cls(page, axes)

    def names_at_the_ends(self, ends: Mapping[int, tuple[str, float]]) -> None:
        """To the right of lines that end at the axes' right edge, with what they reached there.

        ends: a line's colour -> its name and last value, an accuracy.
        """
        left, top, width, height = LINES
        x = MARGIN + left + width
        low, high = self.axes.get_ylim()
        self.axes.set_ylim(low, high)
        wanted = [height * (high - value) / (high - low) for _, value in ends.values()]
        heights = spread(wanted, LINE, LINE / 2, height - LINE / 2)
        reaches = [f"{100 * value:.1f}%" for _, value in ends.values()]
        room = NAMES - 0.45 - text_width(f"  {max(reaches, key=len)}", 9)
        names = names_within([label for label, _ in ends.values()], room, 9)
        for i, label, reached, y, end in zip(ends, names, reaches, heights, wanted, strict=True):
            self.page.text(
                x + 0.32, y + top, f"{label}  {reached}", va="center", fontsize=9, color=INK
            )
            leader(self.page, (x + 0.02, end + top), (x + 0.28, y + top), colour(i))


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in their order, at least `gap` apart, between low and high
    where there is room for all.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[list[float]] = []  # [sum of the wanted first places, how many, first place]
    for i in order:
        blocks.append([wanted[i], 1, wanted[i]])
        while len(blocks) > 1 and blocks[-2][2] + gap * blocks[-2][1] > blocks[-1][2]:
            total, count, _ = blocks.pop()
            before = blocks[-1]
            before[0] += total - gap * before[1] * count
            before[1] += count
            before[2] = before[0] / before[1]
    places = [block[2] + gap * k for block in blocks for k in range(int(block[1]))]
    for k in range(len(places)):  # not beyond the lower end, then not beyond the upper one
        places[k] = max(places[k], low + gap * k)
    for k in range(len(places)):
        places[-1 - k] = min(places[-1 - k], high - gap * k)
    found = [0.0] * len(wanted)
    for i, place in zip(order, places, strict=True):
        found[i] = place
    return found


class Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def touches(self, other: "Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def distance(self, point: tuple[float, float]) -> float:
        """Of a point outside."""
        x, y = point
        aside = max(self.left - x, x - self.right, 0.0)
        return math.hypot(aside, max(self.bottom - y, y - self.top, 0.0))


class Spot(NamedTuple):
    """A name's box, in the points' units; far: it needs a line to its point, for it lies apart, or
    nearly as near to another.
    """

    box: Box
    far: bool


def place_names(
    points: Sequence[tuple[float, float]],
    widths: Sequence[float],
    taken: Sequence[Box],
    avoided: Sequence[Box],
    room: Box,
    height: float = LINE,
) -> list[Spot | None]:
    """A spot for each point's name near it, touching no other name and none of `taken`, nor of
    `avoided` where that can be; None where there is none. All in inches.
    """
    found: list[Spot | None] = []
    names: list[Box] = []
    for point, width in zip(points, widths, strict=True):
        boxes = [*taken, *names]
        spot = _near(point, width, height, [*boxes, *avoided], room)
        spot = spot or _near(point, width, height, boxes, room)
        if spot is not None:
            names.append(spot.box)
            own = spot.box.distance(point)
            doubt = any(spot.box.distance(p) < own + DOUBT for p in points if p != point)
            spot = spot._replace(far=spot.far or doubt)
        found.append(spot)
    return found


def _near(
    point: tuple[float, float], width: float, height: float, boxes: Sequence[Box], room: Box
) -> Spot | None:
    """The nearest free spot: to the right first, then left, above, below and between these."""
    x, y = point
    for away in (0.09, 0.18, 0.3, 0.45, 0.65, 0.9, 1.2):
        for left, bottom in (
            (x + away, y - height / 2), (x - away - width, y - height / 2),
            (x - width / 2, y + away), (x - width / 2, y - away - height),
            (x + away, y + away / 2), (x + away, y - away / 2 - height),
            (x - away - width, y + away / 2), (x - away - width, y - away / 2 - height),
        ):  # fmt: skip
            box = Box(left, bottom, left + width, bottom + height)
            inside = room.left <= box.left and box.right <= room.right
            inside &= room.bottom <= box.bottom and box.top <= room.top
            if inside and not any(box.touches(other) for other in boxes):
                return Spot(box, away > 0.1)
    return None
