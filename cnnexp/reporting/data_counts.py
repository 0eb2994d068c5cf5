"""What a data set has and what it lost: images per class and split, and files left out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnnexp.reporting.data_pictures import LINE, SMALL, wrapped
from cnnexp.reporting.page import MARGIN, Page, fitted, text_width
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import BLUE, GREEN, ORANGE, QUIET, house_style

COLOURS = (BLUE, ORANGE, GREEN)
BARS = 100  # classes with a bar
CARDS = 24  # files with a picture


@house_style
def class_balance(
    counts: Mapping[str, np.ndarray], classes: Sequence[str], *, source: str
) -> Picture:
    """A bar per class, its splits one after the other, and their counts as a table.

    counts: split -> (K,) images, in the order of the splits. Of more than `BARS` classes those with
    most training images and those with fewest.
    """
    splits, k = list(counts), len(classes)
    train = counts[splits[0]]
    shown = np.arange(k)
    lines = [balance_line(train, classes)]
    if k > BARS:
        order = np.argsort(-train, kind="stable")
        shown = np.concatenate([order[: BARS // 2], order[-(BARS // 2) :]])
        lines.append(
            f"Of {k:,} classes, the {BARS // 2} with most and the {BARS // 2} with fewest images"
        )
    columns = 1 if len(shown) <= 30 else 2
    per_column = math.ceil(len(shown) / columns)
    row, size = (0.24, 9.5) if len(shown) <= 60 else (0.19, 8.5)
    number = max(0.95, *(text_width(f"{int(counts[s].max()):,}", size) + 0.2 for s in splits))
    name = 0.15 + max(text_width(fitted(c, 1.8, size), size) for c in classes)
    bar = 4.2 if columns == 1 else 2.6
    block = name + bar + len(splits) * number + 0.2
    page = Page(
        2 * MARGIN + columns * block, 0.36 + per_column * row + 0.1,
        f"Images of each class of {source}", lines,
    )  # fmt: skip
    longest = max(int(np.sum([counts[split] for split in splits], axis=0).max()), 1)
    for column in range(columns):
        left = MARGIN + column * block
        here = shown[column * per_column : (column + 1) * per_column]
        for place, (split, colour) in enumerate(zip(splits, COLOURS, strict=False)):
            x = left + name + bar + (place + 1) * number
            page.text(x, 0.0, split, ha="right", fontsize=9, fontweight="bold")
            swatch = text_width(split, 9, "bold")
            page.frame(x - swatch, 0.17, swatch, 0.05, color=colour, fill=True, linewidth=0)
        axes = page.axes(left + name, 0.31, bar, len(here) * row)
        axes.set_axis_off()
        axes.set(xlim=(0, longest), ylim=(len(here) - 0.5, -0.5))
        start = np.zeros(len(here))
        for split, colour in zip(splits, COLOURS, strict=False):
            axes.barh(range(len(here)), counts[split][here], 0.72, left=start, color=colour)
            start = start + counts[split][here]
        for line, label in enumerate(here):
            y = 0.31 + (line + 0.5) * row
            style = {"va": "center_baseline", "fontsize": size}
            page.text(left, y, fitted(classes[label], name - 0.1, size), **style)
            for place, split in enumerate(splits):
                x = left + name + bar + (place + 1) * number
                page.text(x, y, f"{int(counts[split][label]):,}", ha="right", **style)
    totals = {split: int(counts[split].sum()) for split in splits}
    said = ", ".join(f"{count:,} {split}" for split, count in totals.items())
    return Picture(
        page.figure,
        title="Images of each class",
        reading="Where a class has several times as many training images as another, accuracy "
        "flatters a network that prefers it: look at recall per class, and consider "
        "training.class_weights=balanced. The test counts say how far a class's figure can be "
        "trusted.",
        alt=f"Bars of {said} images in {k} classes. {lines[0]}.",
        numbers={split: counts[split].tolist() for split in splits} | {"classes": list(classes)},
    )


def balance_line(train: np.ndarray, classes: Sequence[str]) -> str:
    """How far apart the classes are, in words. train: (K,) training images."""
    most, least = int(train.argmax()), int(train.argmin())
    if train[most] == train[least]:
        return f"Balanced: {int(train[most]):,} training images of each class"
    times = f": {train[most] / train[least]:.1f} times as many" if train[least] else ""
    return (
        f"From {int(train[least]):,} training images ({classes[least]}) to "
        f"{int(train[most]):,} ({classes[most]}){times}"
    )


@dataclass(frozen=True)
class Lost:
    """A file that was left out: pixels, (h, w, 3) uint8, if anything of it can be seen; of a copy
    the image that was kept.
    """

    path: str
    reason: str
    pixels: np.ndarray | None = None
    kept: np.ndarray | None = None


@house_style
def left_out_files(
    shown: Sequence[Lost], kinds: Mapping[str, int], *, files: int, source: str
) -> Picture:
    """A card per file, up to `CARDS` of them. kinds: reason in short -> how many files, all told.
    files: of the data set, good and bad.
    """
    total = sum(kinds.values())
    side, room = 1.2, 2.65
    size = max(len(wrapped(lost.reason, room, SMALL, 3)) for lost in shown)
    card = side + 0.12 + LINE * (1 + size) + 0.22
    across = min(len(shown), 4)
    width = max(2 * MARGIN + across * (room + 0.25), 8.0)
    parts = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.items())
    words = wrapped(parts, width - 2 * MARGIN, 10, 3)
    some = "" if len(shown) == total else f"; {len(shown)} are shown, some of each kind"
    page = Page(
        width, math.ceil(len(shown) / across) * card,
        f"Left out of {source}: {total:,} of {files:,} files{some}", words,
    )  # fmt: skip
    for place, lost in enumerate(shown):
        x, y = MARGIN + place % across * (room + 0.25), place // across * card
        draw_card(page, lost, x, y, side)
        page.text(x, y + side + 0.1, fitted(lost.path, room, SMALL, "bold"), fontsize=SMALL,
                  fontweight="bold")  # fmt: skip
        for number, line in enumerate(wrapped(lost.reason, room, SMALL, 3), start=1):
            y_line = y + side + 0.1 + LINE * number
            page.text(x, y_line, line, fontsize=SMALL, color=QUIET)
    return Picture(
        page.figure,
        title="Left out",
        reading="Files that take no part in training, validation or test, and why. An empty frame "
        "is a file that shows nothing; of a truncated one the part that is there is drawn. A copy "
        "stands beside the image that it repeats: in two splits it would be tested on what was "
        "learned, in two classes one of the labels is wrong.",
        alt=f"{total} of {files} files were left out: {parts}.",
        numbers={"left_out": total, "files": files, "kinds": dict(kinds)},
    )


def draw_card(page: Page, lost: Lost, x: float, y: float, side: float) -> None:
    if lost.pixels is None:
        page.frame(x, y, side, side, color=QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
        page.text(x + side / 2, y + side / 2, "nothing to see", ha="center", va="center",
                  fontsize=SMALL, color=QUIET)  # fmt: skip
    else:
        contain(page, lost.pixels, x, y, side)
    if lost.kept is not None:
        page.text(x + side + 0.125, y + side / 2, "=", ha="center", va="center", fontsize=12)
        contain(page, lost.kept, x + side + 0.25, y, side)


def contain(page: Page, pixels: np.ndarray, x: float, y: float, side: float) -> None:
    """The whole image in the square, its proportions kept."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    h, w = max(height * scale, 0.05), max(width * scale, 0.05)
    page.image(x + (side - w) / 2, y + (side - h) / 2, w, h, pixels)
