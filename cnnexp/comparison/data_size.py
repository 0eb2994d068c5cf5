"""Accuracy against the number of training images: a line per experiment that had several."""

from collections.abc import Sequence

from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from cnnexp.comparison.labels import LINES, PALETTE, LinesPage, colour
from cnnexp.comparison.scores import Score
from cnnexp.comparison.sizes import size_lines
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import house_style
from cnnexp.reporting.units import percent

TITLE = "Accuracy and the number of training images"


@house_style
def accuracy_by_size(scores: Sequence[Score]) -> Picture | None:
    """None where no experiment was trained with different numbers of images."""
    lines = size_lines(scores)[: len(PALETTE)]
    if not lines:
        return None
    words = "test accuracy with its 95% interval over images, and seeds where several ran"
    plot = LinesPage.of(TITLE, [words], "training images")
    axes = plot.axes
    axes.set_xscale("log")
    sizes = sorted({score.train_images for line in lines for score in line.scores})
    apart = (sizes[-1] / sizes[0]) ** 0.01  # so that no interval hides another one
    for i, line in reversed(list(enumerate(lines))):  # the best on top
        aside = apart ** (i - (len(lines) - 1) / 2)
        reached = [score.accuracy for score in line.scores]
        sides = [
            [score.accuracy - score.low for score in line.scores],
            [score.high - score.accuracy for score in line.scores],
        ]
        axes.errorbar(
            [score.train_images * aside for score in line.scores], reached, sides,
            fmt="o-", ms=5, lw=2, color=colour(i), elinewidth=1.2, capsize=2.5,
            mec="white", mew=0.8, zorder=3,
        )  # fmt: skip
    axes.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.1)
    axes.xaxis.set_major_locator(FixedLocator(_apart(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ends = {i: (line.label, line.scores[-1].accuracy) for i, line in enumerate(lines)}
    plot.names_at_the_ends(ends)
    return Picture(
        plot.page.figure,
        title=TITLE,
        reading="Where a line still rises at its right end, by more than its bars are long, more "
        "images would help; where it is flat, hardly. Where two lines cross, and their bars lie "
        "apart on both sides, which of them is better depends on how many images there are. The "
        "number of epochs is that of the experiment, however many images it has: fewer images are "
        "fewer steps, too.",
        alt="; ".join(
            f"{line.label}: "
            + ", ".join(f"{percent(s.accuracy)} with {s.train_images:,.0f}" for s in line.scores)
            for line in lines
        )
        + ".",
        numbers={
            line.label: {f"{s.train_images:.0f}": round(s.accuracy, 4) for s in line.scores}
            for line in lines
        },
    )


def _apart(sizes: Sequence[float]) -> list[float]:
    """Those whose numbers do not run into each other on a logarithmic axis, from the largest."""
    kept: list[float] = []
    least = (sizes[-1] / sizes[0]) ** (0.55 / LINES[2])
    for size in reversed(sizes):
        if not kept or kept[-1] / size >= least:
            kept.append(size)
    return kept
