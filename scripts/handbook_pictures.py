"""The handbook's pictures, computed with the product's own layers, and its drawings.

    python scripts/handbook_pictures.py docs/images/handbook

The photograph is scikit-learn's (china.jpg).
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from handbook_drawings import DRAWINGS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional as F

from cnnexp.models.anatomy import anatomy
from cnnexp.models.baseline import baseline
from cnnexp.reporting.page import MARGIN, Page
from cnnexp.reporting.picture import save_figure
from cnnexp.reporting.style import BLUE, FAINT, GREEN, INK, ORANGE, QUIET, VERMILION, house_style

CELL = 0.36  # inches of a number's square


def photograph() -> torch.Tensor:
    """(1, 3, 384, 384) in [0, 1]: a temple."""
    pixels = load_sample_image("china.jpg")[:384, 120:504]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def grey(image: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) -> (B, 1, H, W), by the weights of ITU-R BT.601."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def bare(page: Page, x: float, y: float, width: float, height: float) -> Axes:
    """Axes without ticks and a frame."""
    axes = page.axes(x, y, width, height)
    axes.set_axis_off()
    return axes


@house_style
def windows() -> Figure:
    """The handbook's image of 4x4 through ones of 3x3: what padding, stride, dilation change."""
    rows = torch.tensor([1.0, 2.0, 3.0, 4.0]).repeat_interleave(4).view(4, 4)
    image = torch.stack([torch.ones(4, 4), torch.full((4, 4), 2.0), rows])[None]
    ways: list[tuple[str, dict[str, int]]] = [
        ("no padding", {}),
        ("padding 1", {"padding": 1}),
        ("padding 1, stride 2", {"padding": 1, "stride": 2}),
        ("padding 2, dilation 2", {"padding": 2, "dilation": 2}),
    ]
    sides = [4 + 2 * how.get("padding", 0) for _, how in ways]
    page = Page(
        2 * MARGIN + sum(max(side * CELL, 1.9) + 0.35 for side in sides) - 0.35,
        8 * CELL + 0.55 + 4 * CELL + 0.15,
        "A window of 3x3 ones on three channels",
        ["Above the image's channels added up, zeros around it, and where the window is first; "
         "below what comes out."],
    )  # fmt: skip
    x = MARGIN
    for name, how in ways:
        page.text(x, 0, name, fontweight="bold")
        pad, step = how.get("padding", 0), how.get("dilation", 1)
        framed = F.pad(image.sum(1, keepdim=True), (pad,) * 4)[0, 0]
        side = len(framed) * CELL
        seen = {(row * step, col * step) for row in range(3) for col in range(3)}
        numbers(bare(page, x, 0.3, side, side), framed, seen, pad)
        result = F.conv2d(image, torch.ones(1, 3, 3, 3), **how)[0, 0]
        below = 0.3 + 8 * CELL + 0.2
        numbers(
            bare(page, x, below, result.shape[1] * CELL, len(result) * CELL), result, {(0, 0)}, 0
        )
        x += max(side, 1.9) + 0.35
    return page.figure


def numbers(axes: Axes, values: torch.Tensor, seen: set[tuple[int, int]], frame: int) -> None:
    """A square per value; those of `seen` are marked, `frame` rows around are padding."""
    height, width = values.shape
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    for row in range(height):
        for column in range(width):
            outside = (
                min(row, column, height - 1 - row, width - 1 - column) < frame if frame else False
            )
            face = ORANGE if (row, column) in seen else "#F4F6F8" if outside else "white"
            axes.add_patch(
                Rectangle((column, row), 1, 1, facecolor=face, edgecolor=FAINT, linewidth=1)
            )
            axes.text(
                column + 0.5, row + 0.5, f"{values[row, column]:.0f}", ha="center", va="center",
                fontsize=9, color=QUIET if outside else INK,
            )  # fmt: skip


@house_style
def template() -> Figure:
    """A piece of the photograph as the filter: the answer is largest where it was cut out."""
    image = grey(photograph())
    top, left, size = 8, 60, 49
    piece = image[:, :, top : top + size, left : left + size]
    ones = torch.ones_like(piece)
    mean = F.conv2d(image, ones) / size**2
    spread = (F.conv2d(image**2, ones) / size**2 - mean**2).clamp(min=1e-6).sqrt()
    # The correlation coefficient: else bright and busy places answer louder than the piece itself.
    unlike = piece - piece.mean()
    answer = (F.conv2d(image, unlike) / (size**2 * spread * unlike.std(correction=0)))[0, 0]
    found = np.unravel_index(int(answer.argmax()), answer.shape)
    assert found == (top, left)
    side = 3.2
    page = Page(
        2 * MARGIN + 2 * side + 1.6, side + 0.3, "Template matching",
        ["A filter that is a piece of the picture answers loudest where that piece is,",
         "if each answer is divided by how bright and busy the place is."],
    )  # fmt: skip
    picture(page, MARGIN, 0, side, image[0, 0], "the picture")
    picture(page, MARGIN + side + 0.2, 0, 1.0, piece[0, 0], "the filter")
    # Where the filter's middle lies; at the border it does not fit in, and there is no answer.
    half = size // 2
    answer, left, top = F.pad(answer, (half,) * 4, value=float("nan")), left + half, top + half
    axes = picture(page, MARGIN + side + 1.4, 0, side, answer, "its answer, the maximum marked")
    axes.plot(left, top, "o", ms=16, fillstyle="none", color=ORANGE, markeredgewidth=2)
    return page.figure


@house_style
def edges() -> Figure:
    """Prewitt's, Sobel's and Scharr's filters on a real picture."""
    image = grey(photograph())
    side = 2.6
    page = Page(
        2 * MARGIN + 4 * side + 0.6, side + 0.3, "Edges",
        ["The root of the squares of both directions' answers: bright where brightness changes."],
    )  # fmt: skip
    picture(page, MARGIN, 0, side, image[0, 0], "the picture")
    for place, (name, middle) in enumerate(
        [("Prewitt 1, 1, 1", 1.0), ("Sobel 1, 2, 1", 2.0), ("Scharr 3, 10, 3", 10 / 3)], start=1
    ):
        across = torch.tensor([1.0, middle, 1.0])[:, None] * torch.tensor([1.0, 0.0, -1.0])
        filters = torch.stack([across, across.T])[:, None] / (2 + middle)  # (2, 1, 3, 3)
        answer = F.conv2d(image, filters).norm(dim=1)[0]
        picture(page, MARGIN + place * (side + 0.2), 0, side, answer, name)
    return page.figure


@house_style
def pooling() -> Figure:
    """What is left after pooling once, twice, three times: the largest, or the mean."""
    image = photograph()[:, :, 90:282, 100:292]
    side = 2.2
    page = Page(2 * MARGIN + 4 * side + 0.6, 2 * side + 0.7, "Pooling: max above, average below", [
        "Each step halves the side. The largest value keeps bright details and forgets dark ones; "
        "the mean blurs both.",
    ])  # fmt: skip
    for row, pool in enumerate((nn.MaxPool2d(2), nn.AvgPool2d(2))):
        maps = image
        for column in range(4):
            name = f"{maps.shape[-1]}x{maps.shape[-1]}"
            picture(page, MARGIN + column * (side + 0.2), row * (side + 0.35), side, maps[0], name)
            maps = pool(maps)
    return page.figure


@house_style
def pyramid() -> Figure:
    """A window of fixed size on smaller and smaller pictures."""
    image = photograph()
    side, size = 2.6, 48
    page = Page(2 * MARGIN + 4 * side + 0.6, side + 0.35, "An image pyramid", [
        f"The window is {size} pixels everywhere: on a picture of half the size it sees four times "
        "as much.",
    ])  # fmt: skip
    for column in range(4):
        axes = picture(
            page, MARGIN + column * (side + 0.2), 0, side, image[0], f"{image.shape[-1]} pixels"
        )
        corner = (image.shape[-1] - size) / 2 - 0.5
        axes.add_patch(
            Rectangle(
                (corner, corner), size, size, fill=False, edgecolor=ORANGE, linewidth=2.5,
                clip_on=False,
            )
        )  # fmt: skip
        image = F.avg_pool2d(image, 2)
    return page.figure


@house_style
def receptive_fields() -> Figure:
    """How far a value of each stage of the baseline sees, on a picture of its size."""
    size = 64
    rows = anatomy(baseline(size, 10), size)
    stages = [row for row in rows if row.kind == "MaxPool2d"]
    assert all(row.receptive_field is not None for row in stages)
    image = F.interpolate(photograph(), (size, size), mode="area")[0]
    side = 3.2
    page = Page(2 * MARGIN + side + 3.2, side + 0.1, "How far a value sees", [
        f"model=baseline on {size}x{size} pixels: the receptive field of a value after each stage.",
    ])  # fmt: skip
    axes = picture(page, MARGIN, 0, side, image, "")
    for number, (row, colour) in enumerate(zip(stages, (ORANGE, VERMILION, BLUE), strict=False), 1):
        field = int(row.receptive_field or 0)
        corner = (size - field) / 2 - 0.5
        axes.add_patch(
            Rectangle((corner, corner), field, field, fill=False, edgecolor=colour, linewidth=2.5)
        )
        page.text(
            MARGIN + side + 0.25, 0.1 + 0.32 * (number - 1),
            f"stage {number}: {field}x{field} pixels", color=colour, fontweight="bold",
        )  # fmt: skip
    return page.figure


@house_style
def sharing() -> Figure:
    """Parameters of a convolution and of a dense layer between the same sizes."""
    counts = {
        "6 filters of 5x5x3": sum(w.numel() for w in nn.Conv2d(3, 6, 5).parameters()),
        "dense, 3,072 to 4,704": sum(w.numel() for w in nn.Linear(3072, 4704).parameters()),
    }
    page = Page(7.2, 1.35, "Shared weights and sparse connections", [
        "Parameters from 32x32x3 values to 28x28x6, on a scale of powers of ten.",
    ])  # fmt: skip
    axes = page.axes(2.0, 0.1, 3.9, 0.85)
    # Points: on such a scale a bar's length says nothing.
    axes.scatter(list(counts.values()), list(counts), s=60, color=[GREEN, VERMILION], zorder=2)
    axes.grid(axis="x", color=FAINT)
    axes.set_xscale("log")
    axes.set_ylim(-0.6, 1.6)
    axes.set_xlim(10, 10**8)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.minorticks_off()
    for row, count in enumerate(counts.values()):
        axes.annotate(f"{count:,}", (count, row), (8, 0), textcoords="offset points", va="center")
    return page.figure


def picture(page: Page, x: float, y: float, side: float, pixels: torch.Tensor, name: str) -> Axes:
    """(3, H, W) in [0, 1] as it is, (H, W) from its smallest to its largest value."""
    shift = 0.25 if name else 0.0
    if name:
        page.text(x, y, name)
    axes = bare(page, x, y + shift, side, side * pixels.shape[-2] / pixels.shape[-1])
    shown = pixels.permute(1, 2, 0) if pixels.ndim == 3 else pixels
    axes.imshow(shown.numpy(), cmap="gray")
    return axes


PICTURES: dict[str, Callable[[], Figure]] = {
    "windows.svg": windows,
    "template.png": template,
    "edges.png": edges,
    "pooling.png": pooling,
    "pyramid.png": pyramid,
    "receptive_fields.png": receptive_fields,
    "sharing.svg": sharing,
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in (PICTURES | DRAWINGS).items():
        save_figure(draw(), folder / name)
        print(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
