"""The handbook's drawings, boxes and arrows, for scripts/handbook_pictures.py."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from cnnexp.reporting.style import BLUE, FAINT, GREEN, INK, ORANGE, QUIET, house_style

# Boxes and arrows. Positions: inches from the top left, of boxes their middle.
Spot = tuple[float, float]
ARROW: dict[str, Any] = {
    "arrowstyle": "-|>",
    "mutation_scale": 11,
    "color": QUIET,
    "linewidth": 1.3,
}


def drawing(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure, axes


def box(axes: Axes, at: Spot, text: str, *, width: float = 1.25, height: float = 0.5,
        colour: str = BLUE, filled: bool = False, font: float = 9.5) -> None:  # fmt: skip
    axes.add_patch(
        FancyBboxPatch(
            (at[0] - width / 2, at[1] - height / 2), width, height,
            boxstyle="round,pad=0,rounding_size=0.07", linewidth=1.4, edgecolor=colour,
            facecolor=colour if filled else "white",
        )
    )  # fmt: skip
    axes.text(
        *at, text, ha="center", va="center", fontsize=font, color="white" if filled else INK,
        linespacing=1.25,
    )  # fmt: skip


def arrow(axes: Axes, start: Spot, end: Spot, **style: Any) -> None:
    axes.add_patch(FancyArrowPatch(start, end, **(ARROW | style)))


def chain(axes: Axes, y: float, boxes: Sequence[tuple[float, str, dict[str, Any]]]) -> None:
    """Boxes in a row, an arrow from each to the next."""
    for (x, _, style), (after, _, style_after) in itertools.pairwise(boxes):
        arrow(
            axes, (x + style.get("width", 1.25) / 2 + 0.03, y),
            (after - style_after.get("width", 1.25) / 2 - 0.03, y),
        )  # fmt: skip
    for x, text, style in boxes:
        box(axes, (x, y), text, **style)


@house_style
def inception() -> Figure:
    """An inception block with reductions: four branches over the same maps, laid side by side."""
    figure, axes = drawing(7.4, 3.1)
    box(axes, (3.7, 2.62), "maps, 192 channels", width=7.0, height=0.36, colour=QUIET)
    branches = [
        (0.9, ["1x1, 64"]),
        (2.77, ["1x1, 96", "3x3, 128"]),
        (4.63, ["1x1, 16", "5x5, 32"]),
        (6.5, ["max pool 3x3", "1x1, 32"]),
    ]
    for x, layers in branches:
        heights = [1.9, 1.15] if len(layers) == 2 else [1.52]
        arrow(axes, (x, 2.44), (x, heights[0] + 0.22))
        for layer, y in zip(layers, heights, strict=True):
            reduces = layer.startswith("1x1") and len(layers) == 2 and y == 1.9
            box(axes, (x, y), layer, height=0.4, colour=ORANGE if reduces else BLUE, width=1.35)
        if len(layers) == 2:
            arrow(axes, (x, heights[0] - 0.22), (x, heights[1] + 0.22))
        arrow(axes, (x, heights[-1] - 0.22), (x, 0.52))
    box(axes, (3.7, 0.32), "concatenated, 256 channels", width=7.0, height=0.36, colour=QUIET)
    axes.text(0.2, 2.95, "orange: reductions", fontsize=8.5, color=ORANGE, va="center")
    return figure


@house_style
def residual() -> Figure:
    """A residual block, with the identity and with a 1x1 convolution as its shortcut."""
    figure, axes = drawing(7.4, 3.0)
    for x, wide, shortcut in ((1.6, "64", ""), (5.3, "128", "1x1, 128")):
        box(axes, (x, 2.75), "maps, 64 channels", width=1.8, height=0.34, colour=QUIET)
        box(axes, (x, 2.05), f"3x3, {wide}", height=0.38)
        box(axes, (x, 1.35), f"3x3, {wide}", height=0.38)
        axes.text(x, 0.78, "+", ha="center", va="center", fontsize=15, color=INK)
        axes.add_patch(Rectangle((x - 0.16, 0.62), 0.32, 0.32, fill=False, edgecolor=QUIET))
        box(axes, (x, 0.25), "ReLU", width=0.9, height=0.32, colour=QUIET)
        for start, end in ((2.57, 2.26), (1.85, 1.56), (1.15, 0.96), (0.61, 0.43)):
            arrow(axes, (x, start), (x, end))
        right = x + 1.25
        style: dict[str, Any] = {"color": GREEN, "linewidth": 1.8}
        axes.plot([x + 0.9, right, right], [2.75, 2.75, 0.78], color=GREEN, linewidth=1.8, zorder=0)
        arrow(axes, (right, 0.78), (x + 0.18, 0.78), **style)
        if shortcut:
            box(axes, (right, 1.7), shortcut, width=0.95, height=0.36, colour=GREEN)
    return figure


@house_style
def overview() -> Figure:
    figure, axes = drawing(8.6, 2.7)
    chain(
        axes, 1.35,
        [
            (0.85, "command,\nconfigs", {"colour": QUIET}),
            (2.55, "composed\nand checked", {}),
            (4.2, "experiment", {"filled": True}),
        ],
    )  # fmt: skip
    for y, text in ((0.45, "images"), (1.35, "network"), (2.25, "phases")):
        box(axes, (5.95, y), text)
        arrow(axes, (4.85, 1.35), (5.3, y))
        arrow(axes, (6.6, y), (7.05, 1.35))
    box(axes, (7.75, 1.35), "run: trained,\ntested, seen", colour=GREEN, width=1.35, height=0.6)
    return figure


@house_style
def spine() -> Figure:
    figure, axes = drawing(8.6, 2.5)
    chain(
        axes, 0.5,
        [
            (0.65, "images\n(B, 3, H, W)", {"colour": QUIET, "width": 1.1}),
            (2.0, "normalize", {"width": 1.1}),
            (3.4, "block1", {"width": 1.1}),
            (4.8, "…", {"width": 0.7, "colour": FAINT}),
            (6.2, "blockN", {"width": 1.1}),
            (7.75, "head", {"width": 1.3, "filled": True}),
        ],
    )  # fmt: skip
    axes.add_patch(
        Rectangle((2.2, 1.15), 4.0, 1.2, fill=False, edgecolor=FAINT, linestyle="--", linewidth=1.2)
    )
    for x, end in ((2.2, 2.85), (6.2, 3.95)):
        axes.plot([x, end], [1.15, 0.76], color=FAINT, linestyle="--", linewidth=1.2)
    axes.text(2.3, 2.22, "inside a block: anything", fontsize=8.5, color=QUIET, va="center")
    chain(
        axes, 1.65,
        [(3.0, "3x3", {"width": 0.7, "height": 0.36}), (4.2, "3x3", {"width": 0.7, "height": 0.36}),
         (5.4, "+", {"width": 0.4, "height": 0.36, "colour": GREEN})],
    )  # fmt: skip
    arrow(axes, (2.3, 1.65), (2.62, 1.65))
    axes.plot([2.42, 2.42, 5.4], [1.65, 1.3, 1.3], color=GREEN, linewidth=1.3)
    arrow(axes, (5.4, 1.29), (5.4, 1.46), color=GREEN, shrinkA=0)
    arrow(axes, (5.62, 1.65), (6.05, 1.65))
    return figure


@house_style
def phases() -> Figure:
    figure, axes = drawing(8.6, 2.5)
    names = ["block1", "…", "block4", "block5", "head"]
    for y, phase, free, stored in (
        (0.65, "head", {"head"}, 4),
        (1.85, "finetune", {"block5", "head"}, 3),
    ):
        axes.text(0.15, y, phase, fontsize=11, fontweight="bold", va="center", color=INK)
        places = [1.9, 3.0, 4.1, 5.7, 7.3] if stored == 3 else [1.9, 3.0, 4.1, 5.2, 7.3]
        for name, x in zip(names, places, strict=True):
            trains = name in free
            box(axes, (x, y), name, width=0.9, colour=GREEN if trains else QUIET, filled=trains)
        for x, after in itertools.pairwise(places):
            arrow(axes, (x + 0.48, y), (after - 0.48, y))
        gap = (places[stored - 1] + places[stored]) / 2
        axes.text(gap, y - 0.38, "stored once", fontsize=8.5, ha="center", color=ORANGE)
        axes.plot([gap] * 2, [y - 0.26, y + 0.26], color=ORANGE, linewidth=2)
    axes.text(1.45, 2.35, "grey: frozen, once per image", fontsize=8.5, color=QUIET, va="center")
    axes.text(5.0, 2.35, "green: trains, each epoch", fontsize=8.5, color=GREEN, va="center")
    return figure


@house_style
def images() -> Figure:
    figure, axes = drawing(8.6, 1.5)
    chain(
        axes, 0.6,
        [
            (0.8, "files, labels\n(Source)", {"colour": QUIET}),
            (2.5, "gate: each\nis tried", {}),
            (4.1, "split, seeded,\nstratified", {}),
            (5.75, "decoded once\ninto the store", {"filled": True}),
            (7.55, "mapped: a batch\nis one gather", {"colour": GREEN, "width": 1.5}),
        ],
    )  # fmt: skip
    axes.text(2.5, 1.2, "left_out.csv", fontsize=8.5, ha="center", color=QUIET)
    axes.text(4.1, 1.2, "splits.csv", fontsize=8.5, ha="center", color=QUIET)
    axes.text(5.75, 1.2, "shared by all runs", fontsize=8.5, ha="center", color=QUIET)
    axes.text(7.55, 1.2, "augmented in whole batches", fontsize=8.5, ha="center", color=QUIET)
    return figure


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "inception.svg": inception,
    "residual.svg": residual,
    "overview.svg": overview,
    "spine.svg": spine,
    "phases.svg": phases,
    "images.svg": images,
}
