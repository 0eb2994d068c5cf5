"""Learning curves: loss, accuracy and rate against the epoch."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cnnexp.monitor import goodness
from cnnexp.reporting.page import MARGIN, Page
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import BLUE, INK, ORANGE, QUIET, house_style

BAND = 0.08  # of the height, at the top: the phases' names
RATES = 1000  # points of a line
APART = 10  # times the rate of another phase: the axis is logarithmic
BELOW = 100  # times: so far below the lowest phase's rate the axis begins, and cuts off a way to 0


@house_style
def learning_curves(
    metrics: Sequence[Mapping[str, Any]],
    *,
    rates: Sequence[tuple[float, float]] = (),
    monitor: str = "val/accuracy",
    phases: Mapping[str, int] | None = None,
    chosen: int | None = None,
    options: Sequence[str] = (),
) -> Picture:
    """Loss, accuracy and learning rate against the epoch; the best epoch is marked.

    phases: name -> its epochs, in order; a line is drawn between two. chosen: the epoch that is
    marked in place of the best of all: the one whose weights the run ended with. options: what
    the training's loss has and the validation's has not.

    metrics: a row per epoch: epoch (from 1), train/loss, val/loss, train/accuracy, val/accuracy,
    lr; what is missing, None or not finite isn't drawn. monitor: whose best epoch is
    marked: the smallest if it ends in "loss", else the largest; of equals that of less loss.
    rates: (epochs that had gone by, learning rate) of steps, see `rates_of`; without them each
    epoch's last one is drawn.
    """
    several = phases is not None and len(phases) > 1
    best = next(
        (point for point in _series(metrics, monitor) if point[0] == chosen),
        best_epoch(metrics, monitor),
    )
    by_epoch = _series(metrics, "lr")
    rates = rates or by_epoch
    widths = [4.1, 4.1] + ([2.3] if rates else [])
    line = f"{len(metrics)} epochs" if len(metrics) != 1 else "1 epoch"
    if best:
        value = f"{100 * best[1]:.1f}%" if monitor == "val/accuracy" else f"{best[1]:.4f}"
        of = f"the best of {list(phases)[-1]}" if phases and several else "the best"
        line += f"; {of} is epoch {best[0]}: {monitor} {value}"
    lines = [line]
    if options:
        lines.append(f"training loss: {', '.join(options)}; validation loss: plain cross-entropy")
    page = Page(
        2 * MARGIN + sum(widths) + 0.75 * len(widths) - 0.15, 3.75, "Learning curves", lines
    )
    x = MARGIN + 0.55
    for width, name in zip(widths, ("loss", "accuracy", "lr"), strict=False):
        axes = page.axes(x, 0.3, width, 2.85)
        axes.grid(True)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if name == "lr":
            axes.set_title("Learning rate")
            ends = [0, *accumulate(phases.values())] if phases else [0, math.inf]
            highest = []
            for start, end in pairwise(ends):  # each phase begins with a rate of its own
                part = [point for point in rates if start < point[0] <= end]
                marks = _marks(part) if rates is by_epoch or len(part) == 1 else {}
                axes.plot(*zip(*part, strict=True), color=QUIET, **marks)
                highest += [max(rate for _, rate in part)] if part else []
            if max(highest) >= APART * min(highest) > 0:
                axes.set_yscale("log")  # else the lower one would lie on the axis
                axes.set_ylim(min(highest) / BELOW, 1.5 * max(highest))
            else:
                axes.yaxis.set_major_locator(MaxNLocator(5))
                axes.set_ylim(0, 1.05 * max(highest) or None)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        else:
            marked = best[0] if best else None
            shown = monitor if (name, monitor) == ("accuracy", "val/f1") else f"val/{name}"
            _training_and_validation(axes, metrics, name, shown, marked, BAND if several else 0)
        if several:
            to_axes = axes.yaxis.get_transform()
            low, high = to_axes.transform(axes.get_ylim())
            axes.set_ylim(*to_axes.inverted().transform([low, low + (high - low) / (1 - BAND)]))
        # An epoch's figures stand at its number, a step's rate at the epochs that had gone by.
        begun, ahead = 0, 0.0 if name == "lr" and rates is not by_epoch else 0.5
        for phase, epochs in (phases or {}).items():
            if begun:
                axes.axvline(begun + ahead, color=QUIET, linewidth=1, linestyle=":")
            if several:
                place = (begun + ahead + epochs / 2, 0.99)
                axes.text(*place, phase, transform=axes.get_xaxis_transform(), color=QUIET,
                          ha="center", va="top", fontsize="small")  # fmt: skip
            begun += epochs
        if len(metrics) == 1:
            axes.set_xticks([int(metrics[0].get("epoch", 1))])
        x += width + 0.75
    return Picture(
        page.figure,
        title="Learning curves",
        reading="Dashed: on the training images, measured while the weights still changed, and "
        "augmented if the run augments; solid: on the validation images at the epoch's end. "
        "Validation loss that rises while training loss falls is over-fitting. The circle is the "
        "epoch whose weights the run kept.",
        alt=f"Loss, accuracy and learning rate per epoch: {line}.",
    )


def rates_of(rows: Sequence[Mapping[str, str]]) -> list[tuple[float, float]]:
    """metrics.csv's rows -> (epochs that had gone by, learning rate) of the steps that have one,
    up to some `RATES`. An epoch's last step always has.
    """
    found = {int(row["step"]): row for row in rows if row["metric"] == "lr"}  # twice: the later one
    last = {int(float(found[step]["epoch"])): step for step in sorted(found)}
    points = []
    for step, row in sorted(found.items()):
        epoch = int(float(row["epoch"]))
        begin = last.get(epoch - 1, 0)
        points.append((epoch - 1 + (step - begin) / (last[epoch] - begin), float(row["value"])))
    return points[:: max(1, len(points) // RATES)]


def best_epoch(metrics: Sequence[Mapping[str, Any]], monitor: str) -> tuple[int, float] | None:
    """(epoch, value) of the best row, see `goodness`; None where no row has a finite value."""
    losses = dict(_series(metrics, "val/loss"))

    def good(point: tuple[int, float]) -> tuple[float, float]:
        epoch, value = point
        return goodness({"val/loss": losses.get(epoch, math.inf), monitor: value}, monitor)

    return max(_series(metrics, monitor), key=good, default=None)


def _series(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """(epoch, value) of the rows that have a finite one."""
    points = []
    for number, row in enumerate(metrics, start=1):
        value = row.get(key)
        if value not in (None, "") and math.isfinite(float(value)):
            points.append((int(row.get("epoch", number)), float(value)))
    return points


def _training_and_validation(
    axes: Axes,
    metrics: Sequence[Mapping[str, Any]],
    name: str,
    shown: str,
    best: int | None,
    band: float,
) -> None:
    """Both lines of loss or accuracy; told apart by colour, dashes and markers. shown: on the
    validation images. band: the share at the top in which no legend lies.
    """
    own = "" if shown == f"val/{name}" else ", mean F1 of classes"
    axes.set_title(f"{name.capitalize()}{own and ' and F1'}")
    train, validation = _series(metrics, f"train/{name}"), _series(metrics, shown)
    if train:
        label = f"training{own and ', accuracy'}"
        style = {"color": BLUE, "linestyle": "--", "label": label} | _marks(train)
        axes.plot(*zip(*train, strict=True), **style)
    if validation:
        style = {"color": ORANGE, "label": f"validation{own}"} | _marks(validation)
        axes.plot(*zip(*validation, strict=True), **style)
        marked = [point for point in validation if point[0] == best]
        if marked:
            axes.plot(
                *marked[0], "o", ms=11, mfc="none", mec=INK, mew=1.8, label=f"best epoch ({best})"
            )
    if name == "accuracy":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    elif train or validation:
        losses = [value for _, value in train + validation]
        lowest = min(losses)  # of a loss of one's own it can be negative
        axes.set_ylim(1.08 * min(lowest, 0), 1.08 * max(0, *losses) or None)
    if train or validation:
        axes.legend(loc="best", bbox_to_anchor=(0, 0, 1, 1 - band))


def _marks(points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """A marker per epoch while they are few; a single epoch has no line."""
    return {"marker": "o", "markersize": 4} if len(points) <= 20 else {}
