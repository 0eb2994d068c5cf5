"""The learning rate range test: which rates a network can learn at.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnnexp.reporting.page import MARGIN, Page
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import BLUE, INK, QUIET, VERMILION, house_style

DECADE = 1.0  # of the rate's logarithm


class RateRange(NamedTuple):
    """steepest: where the loss falls fastest per decade of the rate. lowest: where it is lowest."""

    steepest: float
    lowest: float


def rate_range(rates: Sequence[float], losses: Sequence[float]) -> RateRange | None:
    """From S steps: rates rising, losses smoothed. None where the loss never falls.

    The first tenth, where the smoothed loss is that of a few batches, and what follows the lowest
    loss are not looked at. The slope is taken over the logarithm of the rate: over the rate itself,
    as Lightning's own suggestion has it, the smallest rates would always look steepest. It is that
    of a straight line through a whole decade: a kink of a few batches is not a fall.
    """
    x, y = np.log10(np.asarray(rates, float)), np.asarray(losses, float)
    start = len(x) // 10
    known = np.isfinite(y)
    x, y = x[start:][known[start:]], y[start:][known[start:]]
    if len(y) < 5:
        return None
    low = int(y.argmin())
    if low < 3 or y[0] - y[low] < 0.01 * abs(y[0]):
        return None
    x, y = x[: low + 1], y[: low + 1]
    half = min(DECADE, x[-1] - x[0]) / 2
    inside = (x >= x[0] + half - 1e-9) & (x <= x[-1] - half + 1e-9)
    centres = x[inside] if inside.any() else x[len(x) // 2 :][:1]  # less than a decade: its middle
    near = [np.abs(x - centre) <= half + 1e-9 for centre in centres]
    slope = [np.polyfit(x[some], y[some], 1)[0] if some.sum() > 2 else 0.0 for some in near]
    return RateRange(float(10 ** centres[int(np.argmin(slope))]), float(10 ** x[low]))


@house_style
def rate_curve(rates: Sequence[float], losses: Sequence[float], current: float) -> Picture:
    """The loss against the rate. current: the config's rate, marked beside the suggestion."""
    found = rate_range(rates, losses)
    said = (
        f"steepest fall at {found.steepest:.2g}, lowest loss at {found.lowest:.2g}"
        if found
        else "the loss does not fall at any of these rates"
    )
    page = Page(7.6, 4.1, "Learning rate range test", [f"{len(rates)} steps: {said}"])
    axes = page.axes(MARGIN + 0.6, 0.25, 6.2, 3.1)
    axes.grid(True)
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed")
    start = len(rates) // 10
    axes.plot(rates, losses, color=BLUE)
    finite = [loss for loss in losses[start:] if math.isfinite(loss)] or [1.0]
    bottom = min(finite)
    before = max(finite[: finite.index(bottom) + 1])
    top = max(before, min(max(finite), 1.15 * finite[0]))  # not all that diverges afterwards
    axes.set_ylim(bottom - 0.1 * (top - bottom) - 0.05, top + 0.1 * (top - bottom) + 0.05)
    marks = [(current, QUIET, ":", f"optimizer.lr = {current:g}")]
    if found:
        marks.append((found.steepest, VERMILION, "-", f"steepest fall {found.steepest:.2g}"))
        marks.append((found.lowest, INK, "--", f"lowest loss {found.lowest:.2g}"))
    for rate, colour, style, name in marks:
        axes.axvline(rate, color=colour, linestyle=style, linewidth=1.3, label=name)
    axes.legend(loc="lower left")
    return Picture(
        page.figure,
        title="Learning rate range test",
        reading="The rate rises from step to step. Left, nothing moves; where the loss falls "
        "fastest a constant rate is well placed; a schedule that comes down again (one_cycle) may "
        "go up to between there and the lowest loss; right of it training diverges. A short test "
        "of fresh weights: a rate that is good here may be too high later on.",
        alt=f"Training loss against the learning rate, over {len(rates)} steps: {said}.",
        numbers=found._asdict() if found else {},
    )
