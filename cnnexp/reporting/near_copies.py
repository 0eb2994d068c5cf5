"""Pairs of images across splits that look alike: for a person to judge."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnnexp.reporting.data_counts import CARDS, contain
from cnnexp.reporting.data_pictures import LINE, SMALL
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import QUIET, house_style

SIDE, GAP, BETWEEN, ACROSS = 1.2, 0.08, 0.3, 4  # inches; pairs per row


class Pair(NamedTuple):
    """pixels: (H, W, 3) uint8 each. name, of: paths. note: a line."""

    pixels: np.ndarray
    twin: np.ndarray
    name: str
    of: str
    note: str


@house_style
def near_copy_pairs(pairs: Sequence[Pair], line: str, *, source: str) -> Picture:
    """The first `CARDS` of them, the most alike first. line: how many of what they are."""
    shown = pairs[:CARDS]
    pair, row = 2 * SIDE + GAP, SIDE + 3 * LINE + 0.2
    width = 2 * MARGIN + ACROSS * pair + (ACROSS - 1) * BETWEEN
    some = f"The {len(shown)} most alike" if len(shown) < len(pairs) else "All of them"
    lines = [line, f"{some}: left the one that judges, right its twin in the other split."]
    height = math.ceil(len(shown) / ACROSS) * row
    page = Page(width, height, f"Near copies across the splits of {source}", lines)
    for place, one in enumerate(shown):
        x = MARGIN + place % ACROSS * (pair + BETWEEN)
        y = place // ACROSS * row + 0.05
        contain(page, one.pixels, x, y, SIDE)
        contain(page, one.twin, x + SIDE + GAP, y, SIDE)
        for number, text in enumerate((one.name, one.of, one.note)):
            colour = {"color": QUIET} if number == 2 else {}
            at = y + SIDE + 0.05 + number * LINE
            page.text(x, at, fitted(text, pair, SMALL), fontsize=SMALL, **colour)
    return Picture(
        page.figure,
        title="Near copies across splits",
        reading="Images that validate or test, beside the one of another split that they look "
        "like: saved anew, resized, of another brightness, mirrored. A network that has learned "
        "the one knows the other, and its accuracy is flattered. They were found by how "
        "alike they are place by place: crops and turned copies are not found, and what is alike "
        "by nature may be shown. Remove one of a pair, or keep both on one side by "
        "dataset.group_by.",
        alt=f"{len(shown)} pairs of images that look alike. {line}",
        numbers={"pairs": len(pairs)},
    )
