"""Accuracy against what it costs: parameters, multiply-adds, training time."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator, NullFormatter

from cnnexp.comparison.labels import LINE, PALETTE, Box, colour, names_within, place_names
from cnnexp.comparison.scores import Score
from cnnexp.reporting.page import MARGIN, Page, text_width
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import INK, house_style
from cnnexp.reporting.units import duration, short_count

WIDTH, HEIGHT = 3.5, 3.3  # inches of a panel
LEFT = 0.6  # for its ticks
LONGEST = 1.5  # inches of a name
SMALL = 8.5  # points
WIDE = 4  # times the least: from then on the axis is logarithmic
MOST = len(PALETTE)  # names; without a colour they are hard to follow


class Cost(NamedTuple):
    title: str
    value: Callable[[Score], float | None]
    text: Callable[[float], str]


COSTS = (
    Cost("parameters", lambda s: s.parameters, short_count),
    Cost("multiply-adds per image", lambda s: s.multiply_adds, short_count),
    Cost("training time of a run", lambda s: s.train_s, duration),
)


@house_style
def tradeoffs(scores: Sequence[Score]) -> Picture | None:
    """scores: the best first. A panel per cost that all groups say and that is not the same in
    all; None where there is none.
    """
    costs = []
    for cost in COSTS:
        values = [cost.value(score) for score in scores]
        known = [value for value in values if value]
        if len(known) == len(scores) and max(known) > 1.02 * min(known):
            costs.append((cost, known))
    if not costs:
        return None
    page = Page(
        2 * MARGIN + (LEFT + WIDTH) * len(costs) + 0.25 * (len(costs) - 1),
        HEIGHT + 0.75, "Accuracy and what it costs",
    )  # fmt: skip
    low = min(score.low for score in scores)
    high = max(score.high for score in scores)
    margin = 0.18 * (high - low) or 0.05
    for number, (cost, spent) in enumerate(costs):
        x = MARGIN + LEFT + number * (LEFT + WIDTH + 0.25)
        axes = page.axes(x, 0.05, WIDTH, HEIGHT)
        axes.set_ylim(max(low - margin, -0.03), min(high + margin, 1.03))  # no share is outside
        _names(axes, _panel(axes, cost, spent, scores), scores)
        if number == 0:
            axes.set_ylabel("test accuracy")
    named = ", ".join(cost.title for cost, _ in costs)
    return Picture(
        page.figure,
        title="Accuracy and what it costs",
        reading="Up is better, left is cheaper: a group with another one above and left of it "
        "cost more and reached less, by however little; whether that is more than chance, the "
        "verdicts say. Bars: 95% interval of the accuracy over test images, and seeds where "
        "several ran. Training time is that of the machine that was used, whatever else it was "
        "doing; compare it only between runs of one machine. It counts neither the run whose "
        "weights were the start nor frozen blocks' outputs that an earlier run had stored. Where "
        "the range is wide the axis is logarithmic."
        + (" Grey: groups beyond the sixth." if len(scores) > MOST else ""),
        alt=f"Test accuracy against {named}, a point per group: "
        + "; ".join(
            f"{s.group.label} {100 * s.accuracy:.1f}% at "
            + ", ".join(cost.text(spent[i]) for cost, spent in costs)
            for i, s in enumerate(scores[:MOST])
        )
        + ".",
    )


def _panel(
    axes: Axes, cost: Cost, spent: Sequence[float], scores: Sequence[Score]
) -> Sequence[float]:
    """Gives what was spent in the axis's unit."""
    axes.grid(True)
    unit, name = time_unit(max(spent)) if cost.text is duration else (1.0, "")
    values = [value / unit for value in spent]
    least, most = min(values), max(values)
    axes.set_xlabel(f"{cost.title}, {name}" if name else cost.title)
    if most > WIDE * least:
        axes.set_xscale("log")
        axes.set_xlim(least / (most / least) ** 0.3, most * (most / least) ** 0.5)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 60 * least else (1,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        apart = most - least
        axes.xaxis.set_major_locator(MultipleLocator(neat_step(1.9 * apart / 7)))
        axes.set_xlim(max(least - 0.35 * apart, 0), most + 0.55 * apart)
    tick = (lambda value, _: f"{value:.3g}") if name else (lambda value, _: short_count(value))
    axes.xaxis.set_major_formatter(FuncFormatter(tick))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axes.tick_params(labelsize=SMALL)
    for i, (score, value) in reversed(list(enumerate(zip(scores, values, strict=True)))):
        sides = [[score.accuracy - score.low], [score.high - score.accuracy]]
        axes.errorbar(
            value, score.accuracy, sides, fmt="o", ms=7, color=colour(i), ecolor=colour(i),
            elinewidth=1.2, capsize=2.5, mec="white", mew=0.8, zorder=4,
        )  # fmt: skip
    return values


def time_unit(most: float) -> tuple[float, str]:
    """Seconds in the unit that suits the longest time, and its name."""
    return (1.0, "s") if most < 120 else (60.0, "min") if most < 7200 else (3600.0, "h")


def neat_step(wanted: float) -> float:
    """1, 2 or 5 times a power of ten, not less than wanted."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= wanted)


def _names(axes: Axes, values: Sequence[float], scores: Sequence[Score]) -> None:
    """In inches from the panel's lower left."""
    box = axes.get_window_extent().bounds
    dots = axes.figure.dpi

    def place(x: float, y: float) -> tuple[float, float]:
        left, bottom = axes.transData.transform((x, y))
        return (left - box[0]) / dots, (bottom - box[1]) / dots

    points = [place(v, s.accuracy) for v, s in zip(values, scores, strict=True)]
    bars = [(place(v, s.low), place(v, s.high)) for v, s in zip(values, scores, strict=True)]
    taken = [Box(x - 0.06, y - 0.06, x + 0.06, y + 0.06) for x, y in points]
    avoided = [Box(a - 0.04, b, a + 0.04, c) for (a, b), (_, c) in bars]
    names = names_within([s.group.label for s in scores[:MOST]], LONGEST, SMALL)
    widths = [text_width(name, SMALL) for name in names]
    room = Box(0.03, 0.03, WIDTH - 0.03, HEIGHT - 0.03)
    spots = place_names(points[:MOST], widths, taken, avoided, room, LINE - 0.02)
    for i, (name, spot, point) in enumerate(zip(names, spots, points, strict=False)):
        if spot is None:
            continue
        x, y = spot.box.left, (spot.box.bottom + spot.box.top) / 2
        if spot.far:
            near = (
                min(max(point[0], spot.box.left), spot.box.right),
                min(max(point[1], spot.box.bottom), spot.box.top),
            )
            axes.plot(
                [point[0] / WIDTH, near[0] / WIDTH], [point[1] / HEIGHT, near[1] / HEIGHT],
                color=colour(i), lw=0.8, transform=axes.transAxes, zorder=1,
            )  # fmt: skip
        axes.text(
            x / WIDTH, y / HEIGHT, name, fontsize=SMALL, color=INK, va="center_baseline",
            transform=axes.transAxes, zorder=5,
        )  # fmt: skip
