"""Each group against each other: difference, interval, and whether it is more than chance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import TwoSlopeNorm

from cnnexp.comparison.groups import Group
from cnnexp.comparison.labels import names_within
from cnnexp.comparison.verdicts import MOST_GROUPS, Family, Verdict, points
from cnnexp.reporting.page import MARGIN, Page, text_width
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import FAINT, INK, QUIET, house_style

WIDTH, HEIGHT = 1.16, 0.5  # inches of a cell
LONGEST = 2.2  # inches of a name
SMALL = 8.0


@house_style
def difference_matrix(
    verdicts: Sequence[Verdict], groups: Sequence[Group], family: Family
) -> Picture:
    """Rows minus columns in percentage points, the best of the family first; of more than ten the
    first.
    """
    places = {member: place for place, member in enumerate(family.members[:MOST_GROUPS])}
    shown = [v for v in verdicts if v.first in places and v.second in places]
    count = len(places)
    values, cells = np.zeros((count, count)), {}
    for v in shown:
        row, column = places[v.first], places[v.second]
        if v.better:  # a colour would look like a winner
            values[row, column], values[column, row] = v.mean, -v.mean
        cells[row, column] = (v.mean, v.low, v.high, v.better)
        cells[column, row] = (-v.mean, -v.high, -v.low, v.better)
    names = names_within([groups[member].label for member in places], LONGEST, 9)
    longest = max(text_width(name, 9) for name in names)
    left, upright = MARGIN + longest + 0.12, longest > WIDTH - 0.08
    above = 0.12 + (longest if upright else 0.2)
    total = len(family.members)
    more = f"; the first {count} of {total} groups" if count < total else ""
    of = f" {family.name}" if family.name else ""
    words = [
        f"row minus column, in points, with its 95% interval{more}",
        "● and a colour: more than chance explains, among all pairs",
    ]
    page = Page(
        max(left + WIDTH * count + MARGIN, 6.4), above + HEIGHT * count + 0.15,
        f"Differences of {family.metric}{of}", words,
    )  # fmt: skip
    axes = page.axes(left, above, WIDTH * count, HEIGHT * count)
    # One scale for all families; a point at least, or chance would look like a discovery.
    limit = max([0.01, *(abs(v.mean) for v in verdicts)])
    norm = TwoSlopeNorm(0, -2.4 * limit, 2.4 * limit)  # pale enough for dark numbers
    axes.imshow(values, cmap="RdBu", norm=norm, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks(range(count), names)
    axes.tick_params(length=0, labelcolor=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    for place, name in enumerate(names):
        x = left + WIDTH * (place + 0.5)
        style = {"rotation": 90} if upright else {}
        page.text(x, above - 0.06, name, ha="center", va="bottom", fontsize=9, **style)
    for (row, column), (mean, low, high, better) in cells.items():
        mark = " ●" if better else ""
        axes.text(
            column, row - 0.15, points(mean) + mark, ha="center", va="center_baseline",
            fontsize=9.5, fontweight="bold" if better else "normal", color=INK,
        )  # fmt: skip
        text = f"{points(low, sign=False)} to {points(high, sign=False)}"
        axes.text(column, row + 0.22, text, ha="center", va="center_baseline", fontsize=SMALL,
                  color=INK)  # fmt: skip
    for place in range(count):
        axes.text(place, place, "–", ha="center", va="center_baseline", color=QUIET)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=FAINT, linewidth=1)
    axes.tick_params(which="minor", length=0)
    surely = [v for v in shown if v.better]
    return Picture(
        page.figure,
        title=f"Differences of {family.metric}{of}, pair by pair",
        reading="Blue: the row's group is ahead; red: the column's. The interval says which true "
        "differences, over other test images and other seeds, would be compatible with these "
        "answers. ● and a colour: p below 0.05 after Holm's correction for all pairs; without them "
        "the order of the two may be chance, also where the interval, which is that pair's alone, "
        "leaves zero out.",
        alt=f"Pairwise differences of {count} groups; {len(surely)} of {len(shown)} pairs are "
        "distinguishable: "
        + ("; ".join(f"{groups[v.first].label} over {groups[v.second].label} by {points(v.mean)}"
                     for v in surely[:6]) or "none") + ".",
    )  # fmt: skip
