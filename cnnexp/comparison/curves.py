"""Validation accuracy against the epoch, all groups in one picture."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from cnnexp.comparison.groups import Group
from cnnexp.comparison.labels import PALETTE, LinesPage, colour
from cnnexp.reporting.json_values import number
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import house_style


class Curve(NamedTuple):
    """Over the seeds that reached each epoch: epochs, mean, low, high, each (E,)."""

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve(group: Group, key: str) -> Curve | None:
    """None where no run has a finite value."""
    values: dict[int, list[float]] = {}
    for run in group.runs:
        for place, row in enumerate(run.history, start=1):
            value = number(row.get(key))
            if value is not None:
                values.setdefault(int(number(row.get("epoch")) or place), []).append(value)
    epochs = sorted(values)
    if not epochs:
        return None
    rows = [values[epoch] for epoch in epochs]
    return Curve(
        np.array(epochs),
        np.array([np.mean(row) for row in rows]),
        np.array([min(row) for row in rows]),
        np.array([max(row) for row in rows]),
    )


@house_style
def overlaid_curves(groups: Sequence[Group]) -> Picture | None:
    """groups: the best first. None where no run says how its epochs went."""
    curves = [(i, found) for i, g in enumerate(groups) if (found := curve(g, "val/accuracy"))]
    if not curves:
        return None
    seeds = any(not group.one_seed for group in groups)
    said = ["mean of the seeds, and the range from their worst to their best"] if seeds else []
    if any(len(found.epochs) > 1 and curve(groups[i], "train/accuracy") for i, found in curves):
        said.append("dashed: on the training images")
    longest = max(found.epochs[-1] for _, found in curves)
    if any(found.epochs[-1] < longest for _, found in curves[: len(PALETTE)]):
        said.append("dotted: after its last epoch")
    lines = ["; ".join(said)] if said else []
    plot = LinesPage.of("Validation accuracy per epoch", lines, "epoch")
    axes = plot.axes
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    for i, found in reversed(curves):  # the best on top
        train = curve(groups[i], "train/accuracy")
        style: dict[str, Any] = {"color": colour(i), "zorder": 3 if i < len(PALETTE) else 2}
        if train is not None and i < len(PALETTE):
            axes.plot(train.epochs, train.mean, "--", lw=1, alpha=0.45, **style)
        mark: dict[str, Any] = {"marker": "o", "ms": 4} if len(found.epochs) == 1 else {}
        if found.epochs[-1] < longest and i < len(PALETTE):  # as far as its name
            mark = {"marker": "o", "ms": 4, "markevery": [-1]}
            axes.hlines(found.mean[-1], found.epochs[-1], longest, ls=":", lw=1, **style)
        faint = 1.0 if i < len(PALETTE) else 0.45
        axes.plot(found.epochs, found.mean, lw=2 if faint == 1 else 1, alpha=faint, **style, **mark)
        if not groups[i].one_seed and i < len(PALETTE):
            axes.fill_between(found.epochs, found.low, found.high, alpha=0.15, lw=0, **style)
    if all(len(found.epochs) == 1 for _, found in curves):
        axes.set_xlim(0.5, 1.5)
        axes.set_xticks([1])  # else the ticks would be parts of an epoch
    ends = {i: (groups[i].label, found.mean[-1]) for i, found in curves if i < len(PALETTE)}
    plot.names_at_the_ends(ends)
    best = groups[curves[0][0]].label
    return Picture(
        plot.page.figure,
        title="Learning curves of all groups",
        reading="Solid: accuracy on the validation images at each epoch's end"
        + (", the mean of the seeds in a band from the lowest to the highest" if seeds else "")
        + ". Dashed: on the training images, measured while the weights still changed, and "
        "augmented where a run augments. What counts is the height at the end, not who rises "
        "first: a schedule that is long learns late. The best epoch was chosen on these images, "
        "so that they flatter a little."
        + (" Grey: groups beyond the sixth." if len(groups) > len(PALETTE) else ""),
        alt=f"Validation accuracy per epoch of {len(curves)} groups; at the end "
        + "; ".join(f"{groups[i].label} {100 * c.mean[-1]:.1f}%" for i, c in curves[: len(PALETTE)])
        + f". The group with the highest test accuracy is {best}.",
        numbers={groups[i].label: {"epochs": len(c.epochs), "last": round(float(c.mean[-1]), 4)}
                 for i, c in curves},
    )  # fmt: skip
