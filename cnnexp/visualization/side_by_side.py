"""The same images through several networks: what each says, and which part spoke for it.

Grad-CAM is of Selvaraju et al. 2017, see `gradcam`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from torch import nn

from cnnexp.data.turns import in_turn, turns
from cnnexp.errors import Inapplicable
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import FAINT, QUIET, VERMILION, house_style
from cnnexp.visualization.captions import RIGHT, Verdict, verdict
from cnnexp.visualization.gradcam import GradCamMaps, gradcam_maps
from cnnexp.visualization.layers import default_layer
from cnnexp.visualization.overlay import HEAT, heat_over, strength

SIDE, BETWEEN, LINE, APART = 1.35, 0.35, 0.17, 0.3  # inches
SMALL = 8.5  # points


@dataclass(frozen=True)
class Column:
    """A network, the B images in its own size, and its answers to all images that are common.

    name, notes: above its column. images: (B, 3, S, S) uint8, on the network's device.
    probabilities: (B, K), its answers on them. accuracy: on all common test images.
    """

    name: str
    notes: tuple[str, ...]
    network: nn.Sequential
    images: torch.Tensor
    probabilities: np.ndarray
    accuracy: float


class Chosen(NamedTuple):
    """Places among the common images; the first `disagreed` are those where predictions differ.

    differ: on how many of all common images they do.
    """

    places: list[int]
    disagreed: int
    differ: int


def choose_rows(probabilities: np.ndarray, labels: np.ndarray, count: int) -> Chosen:
    """Half of the rows where the networks predict differently: of each class the image for which
    the probabilities of the true class are widest apart, the widest first; then the second of each.
    The rest where all agree: the first of each class, then the second. Where one half has too few,
    the other has more.

    probabilities: (R, N, K) of R networks for N images. labels: (N,).
    """
    predictions = probabilities.argmax(2)  # (R, N)
    differ = np.flatnonzero((predictions != predictions[0]).any(0))
    agree = np.flatnonzero((predictions == predictions[0]).all(0))
    true = probabilities[:, np.arange(len(labels)), labels]  # (R, N)
    apart = (true.max(0) - true.min(0))[differ]
    differ = differ[np.argsort(-apart, kind="stable")]
    differ = differ[np.argsort(turns(labels[differ]), kind="stable")]
    agree = agree[in_turn(labels[agree])]
    first = min(len(differ), max(count // 2, count - len(agree)))
    places = [*differ[:first].tolist(), *agree[: count - first].tolist()]
    return Chosen(places, first, len(differ))


def column_maps(column: Column) -> GradCamMaps | None:
    """For the predicted class, at the network's default layer; None where it has none."""
    targets = torch.from_numpy(column.probabilities.argmax(1)).to(column.images.device)
    height, width = column.images.shape[-2:]
    try:
        layer = default_layer(column.network, (height, width))
    except Inapplicable:
        return None
    return gradcam_maps(column.network, column.images, targets, layer)


@house_style
def side_by_side(
    columns: Sequence[Column],
    *,
    labels: Sequence[int],
    classes: Sequence[str],
    paths: Sequence[str],
    disagreed: int,
    differ: int,
    common: int,
    of: int = 0,
) -> Picture:
    """Rows are B images, columns networks, cells what was predicted and its Grad-CAM map.

    labels, paths: of the B images. disagreed: the first rows, chosen because predictions differ.
    differ: on how many of the `common` test images they do. of: how many networks were compared.
    """
    maps = [column_maps(column) for column in columns]
    headers = 0.3 + LINE * max(len(column.notes) + 2 for column in columns)
    captions = [
        [verdict(label, row, classes, width=SIDE + 0.2, size=9)
         for label, row in zip(labels, column.probabilities, strict=True)]
        for column in columns
    ]  # fmt: skip
    above = 0.06 + LINE * max(len(one.lines) for column in captions for one in column)
    row = above + SIDE + 0.3
    left = SIDE + BETWEEN + 0.1
    tops = [
        headers + above + i * row + (APART if i >= disagreed > 0 else 0) for i in range(len(labels))
    ]
    below = tops[-1] + SIDE + 0.4
    how = how_chosen(disagreed, len(labels), differ, common)
    page = Page(
        max(2 * MARGIN + left + len(columns) * (SIDE + BETWEEN), 6.8),
        below + 0.45,
        f"The same images, {len(columns)} networks{f' of {of}' if of > len(columns) else ''}",
        [*how, f"{RIGHT} right. Bright: what spoke for the predicted class; a scale per column."],
    )
    if 0 < disagreed < len(labels):
        rule = tops[disagreed] - above - APART / 2
        page.frame(MARGIN, rule, page.width - 2 * MARGIN, 0, color=FAINT)
    largest = max(columns, key=lambda column: column.images.shape[-1])
    for i, (label, path) in enumerate(zip(labels, paths, strict=True)):
        y = tops[i]
        name = fitted(classes[label], SIDE + 0.2, 9, "bold")
        page.text(MARGIN, y - 0.07, name, va="bottom", fontsize=9, fontweight="bold")
        page.image(MARGIN, y, SIDE, SIDE, to_pixels(largest.images[i]))
        page.text(MARGIN, y + SIDE + 0.06, fitted(path, SIDE + 0.2, 7.5), fontsize=7.5, color=QUIET)
    for number, (column, found) in enumerate(zip(columns, maps, strict=True)):
        x = MARGIN + left + number * (SIDE + BETWEEN)
        draw_header(page, column, found, x)
        draw_column(page, column, found, captions[number], x, tops)
        if found is not None:
            draw_scale(page, norm_of(found), x, below)
    right = [f"{column.name} {100 * column.accuracy:.1f}%" for column in columns]
    return Picture(
        page.figure,
        title="The same images, side by side",
        reading=f"{' '.join(how)} The maps of one column "
        "share a scale; strength cannot be compared between columns, for each network has logits "
        "of its own. Networks may be right for different reasons: look whether the bright parts "
        "lie on the thing.",
        alt=f"A grid of {len(labels)} test images and {len(columns)} networks, each cell a heat "
        f"map and a prediction. Right of {common} common test images: {', '.join(right)}.",
        numbers={
            "common_test_images": common,
            "predictions_differ": differ,
            "rows_chosen_because_they_differ": disagreed,
            "images": list(paths),
            "runs": [
                {"name": column.name, "accuracy": column.accuracy,
                 "layer": found.layer if found else None}
                for column, found in zip(columns, maps, strict=True)
            ],
        },
    )  # fmt: skip


def how_chosen(disagreed: int, rows: int, differ: int, common: int) -> list[str]:
    """In words: the picture shows disagreement far more often than it happens."""
    if not differ:
        return [f"The predictions agree on all {common:,} common test images."]
    number = "The first row is" if disagreed == 1 else f"The first {disagreed} rows are"
    which = "All rows are" if disagreed == rows else number
    rest = "" if disagreed == rows else "; in the others they agree"
    return [
        f"The predictions differ on {differ:,} of {common:,} common test images.",
        f"{which} from these{rest}.",
    ]


def draw_header(page: Page, column: Column, found: GradCamMaps | None, x: float) -> None:
    room = SIDE + BETWEEN - 0.12
    page.text(x, 0.05, fitted(column.name, room, 10, "bold"), fontweight="bold")
    where = "no map of 4x4 or more"
    if found is not None:
        where = f"at {found.layer}, {found.size[0]}x{found.size[1]}"
    lines = [*column.notes, f"{100 * column.accuracy:.1f}% right", where]
    for number, line in enumerate(lines):
        text = fitted(line, room, SMALL)
        page.text(x, 0.25 + LINE * number, text, fontsize=SMALL, color=QUIET)


def draw_scale(page: Page, norm: Normalize, x: float, y: float) -> None:
    """From 0 to the largest value of a column, in words at the bar's ends."""
    bar = page.axes(x, y, SIDE, 0.1)
    page.figure.colorbar(ScalarMappable(norm, HEAT), cax=bar, orientation="horizontal", ticks=[])
    page.text(x, y + 0.15, "0", fontsize=7.5, color=QUIET)
    most = f"{norm.vmax:.3g} (logit)"
    page.text(x + SIDE, y + 0.15, most, ha="right", fontsize=7.5, color=QUIET)


def draw_column(
    page: Page,
    column: Column,
    found: GradCamMaps | None,
    captions: Sequence[Verdict],
    x: float,
    tops: Sequence[float],
) -> None:
    """tops: of the images, in inches."""
    for i, (image, said) in enumerate(zip(column.images, captions, strict=True)):
        y = tops[i]
        page.text(x, y - 0.07, said.text, va="bottom", fontsize=9, linespacing=1.15, **said.style)
        heat = np.zeros(image.shape[1:]) if found is None else found.maps[i].cpu().numpy()
        heat_over(page, (x, y, SIDE, SIDE), to_pixels(image), heat, norm_of(found))
        if not said.right:
            page.frame(
                x - 0.03, y - 0.03, SIDE + 0.06, SIDE + 0.06, color=VERMILION, ls=(0, (4, 2))
            )
        if found is not None:
            reached = strength(float(found.maps[i].max()))
            page.text(x, y + SIDE + 0.06, reached, fontsize=7.5, color=QUIET)


def norm_of(found: GradCamMaps | None) -> Normalize:
    return Normalize(0, 1.0 if found is None else float(found.maps.max()) or 1.0)


def to_pixels(image: torch.Tensor) -> np.ndarray:
    """(3, S, S) -> (S, S, 3), on the CPU."""
    return image.permute(1, 2, 0).cpu().numpy()
