"""Images with heat maps over them, all maps on one printed scale."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from cnnexp.reporting.page import MARGIN, Page, Place, fitted, text_width
from cnnexp.reporting.style import QUIET, VERMILION
from cnnexp.visualization.captions import verdict

GAP, BETWEEN, BAR, LINE = 0.05, 0.35, 1.0, 0.19  # inches


def _heat_colours() -> ListedColormap:
    """Inferno, perceptually uniform, clear at zero: where a map says nothing, the image is seen."""
    colours = matplotlib.colormaps["inferno"](np.linspace(0.15, 1, 256))
    colours[:, 3] = 0.85 * np.linspace(0, 1, 256) ** 0.5
    return ListedColormap(colours, name="heat")


HEAT = _heat_colours()


def heat_overlays(
    *,
    images: np.ndarray,
    maps: np.ndarray,
    labels: Sequence[int],
    targets: Sequence[int],
    probabilities: np.ndarray,
    classes: Sequence[str],
    title: str,
    lines: Sequence[str],
    unit: str,
) -> Figure:
    """B pairs: the image, and its map over the greyscale image; above them what the network said.

    images: (B, 3, H, W) uint8. maps: (B, H, W) >= 0, in `unit`.
    labels, targets: B classes, the true ones and those that the maps speak for.
    probabilities: (B, K).
    """
    side = 1.45 if len(images) > 2 else 2.4  # inches
    pair = 2 * side + GAP
    captions = [
        verdict(label, row, classes, width=pair)
        for label, row in zip(labels, probabilities, strict=True)
    ]
    above = 0.12 + LINE * max(len(one.lines) for one in captions)
    across = min(len(images), 4)
    cell = above + side + 0.45
    page = Page(
        max(2 * MARGIN + across * (pair + BETWEEN) + BAR - BETWEEN / 2, 7.5),
        math.ceil(len(images) / across) * cell,
        title,
        lines,
    )
    maxima = maps.max(axis=(1, 2)).tolist()
    norm = Normalize(0, max(maxima) or 1.0)
    for i, image in enumerate(images):
        x = MARGIN + (i % across) * (pair + BETWEEN)
        y = (i // across) * cell + above
        page.text(x, y - 0.08, captions[i].text, va="bottom", **captions[i].style)
        pixels = image.transpose(1, 2, 0)
        page.image(x, y, side, side, pixels)
        heat_over(page, (x + side + GAP, y, side, side), pixels, maps[i], norm)
        reached = strength(maxima[i])
        name = fitted(classes[targets[i]], pair - text_width(f"for  · {reached}", 9), 9)
        page.text(x, y + side + 0.1, f"for {name} · {reached}", fontsize=9, color=QUIET)
        if not captions[i].right:
            page.frame(x - 0.05, y - 0.05, pair + 0.1, side + 0.1, color=VERMILION, ls=(0, (4, 2)))
    heat_scale(page.axes(MARGIN + across * (pair + BETWEEN), above, 0.14, side), norm, unit)
    return page.figure


def heat_over(
    page: Page, place: Place, pixels: np.ndarray, heat: np.ndarray, norm: Normalize
) -> None:
    """A map (H, W) over the greyscale of pixels (H, W, 3) in 0 to 255; place: see `Page.image`."""
    page.image(*place, _grey(pixels), cmap="gray", vmin=-128, vmax=288)
    page.image(*place, heat, cmap=HEAT, norm=norm, interpolation="bilinear")


def heat_scale(axes: Axes, norm: Normalize, unit: str) -> None:
    """The scale of all maps of a figure, in `axes` that are narrow and high."""
    axes.figure.colorbar(ScalarMappable(norm, HEAT), cax=axes).set_label(unit, fontsize=9)


def strength(maximum: float) -> str:
    """What a map reaches: "max 0.12", "zero everywhere"."""
    return f"max {maximum:.3g}" if maximum > 0 else "zero everywhere"


def _grey(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W): luma of ITU-R BT.601."""
    return pixels @ np.array([0.299, 0.587, 0.114])
