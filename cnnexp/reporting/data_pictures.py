"""What a network will learn from: samples, augmented copies, mean images, as grids of images."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cnnexp.reporting.page import MARGIN, Page, fitted, text_width
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import QUIET, house_style

CELL, GAP = 0.95, 0.06  # inches
NAME = 1.5  # inches, at most, of a class's name beside its row
ROWS = 20  # classes with a row of samples
MEANS = 100  # classes with a mean image
LINE = 0.17  # inches, of small text
SMALL = 8.5  # points


def samples_per_class(classes: int) -> int:
    """As many as `class_samples` shows of each."""
    lines, across = _sample_grid(classes)
    return lines * across


def _sample_grid(classes: int) -> tuple[int, int]:
    """(lines, images per line) of a class: few classes have more room each."""
    return (2, 10) if classes <= 4 else (1, 10) if classes <= ROWS // 2 else (1, 6)


@house_style
def class_samples(
    samples: Mapping[str, np.ndarray], counts: Mapping[str, int], *, source: str
) -> Picture:
    """A row per class. samples: of up to `ROWS` classes, up to `samples_per_class` images each,
    (n, S, S, 3) uint8. counts: training images of all classes; those without samples are named.
    """
    lines, across = _sample_grid(len(counts))
    blocks = 1 if len(samples) <= ROWS // 2 else 2
    per_block = math.ceil(len(samples) / blocks)
    row = lines * (CELL + GAP) + 0.08
    beside = 0.15 + max(
        text_width(text, size, weight)
        for name in samples
        for text, size, weight in (
            (fitted(name, NAME, 10, "bold"), 10, "bold"),
            (counted(counts[name]), SMALL, "normal"),
        )
    )
    block = beside + across * (CELL + GAP)
    width = max(2 * MARGIN + blocks * block + (blocks - 1) * 0.25, 7.5)
    rest = [name for name in counts if name not in samples]
    words = wrapped(f"Not shown: {', '.join(rest)}.", width - 2 * MARGIN, SMALL, 8) if rest else []
    height = per_block * row + 0.1 + LINE * len(words) + 0.1
    page = Page(
        width,
        height,
        f"Samples of each class of {source}",
        ["Drawn at random from the training images; as the network gets them, not augmented"],
    )
    for place, (name, images) in enumerate(samples.items()):
        x = MARGIN + (place // per_block) * (block + 0.25)
        y = (place % per_block) * row
        page.text(x, y + 0.05, fitted(name, NAME, 10, "bold"), fontweight="bold")
        page.text(x, y + 0.25, counted(counts[name]), fontsize=SMALL, color=QUIET)
        for i, image in enumerate(images):
            right, down = x + beside + (i % across) * (CELL + GAP), y + (i // across) * (CELL + GAP)
            page.image(right, down, CELL, CELL, image)
    for number, line in enumerate(words):
        page.text(MARGIN, per_block * row + 0.1 + LINE * number, line, fontsize=SMALL, color=QUIET)
    shown = f"{len(samples)} of {len(counts)}" if rest else f"{len(counts)}"
    return Picture(
        page.figure,
        title="Samples of each class",
        reading="Look for wrong labels, for what all images of a class share and should not "
        "(background, border, watermark: a network learns that, too), and whether the thing is "
        "still to be seen at this size. A few samples do not show what is rare.",
        alt=f"Rows of training images, a row for each of {shown} classes: {', '.join(samples)}.",
        numbers={"training_images": dict(counts)},
    )


@house_style
def augmentation_preview(
    originals: np.ndarray, draws: np.ndarray, names: Sequence[str], *, augmentation: str, note: str
) -> Picture:
    """Each original beside its augmented copies, to compare along a row.

    originals: (B, S, S, 3) uint8. draws: (n, B, S, S, 3), uint8 or floating in [0, 1]: all copies
    of the first draw, then of the second. names: B, of the originals. note: of type and range.
    """
    n, rows = len(draws), len(originals)
    side, above, gap = 1.15, 0.3, 0.25
    width = 2 * MARGIN + side + gap + n * (side + GAP)
    page = Page(
        max(width, 7.5), rows * (side + above) + 0.25, f"Augmentation: {augmentation}",
        ["What training draws from an image; it is drawn anew in each epoch.", note],
    )  # fmt: skip
    page.text(MARGIN, 0.0, "original", fontsize=9, color=QUIET)
    page.text(MARGIN + side + gap, 0.0, "drawn from it", fontsize=9, color=QUIET)
    for row, (original, name) in enumerate(zip(originals, names, strict=True)):
        y = 0.2 + row * (side + above)
        page.text(MARGIN, y + 0.05, fitted(name, width - 2 * MARGIN, SMALL), fontsize=SMALL)
        page.image(MARGIN, y + above - 0.05, side, side, original)
        for draw in range(n):
            x = MARGIN + side + gap + draw * (side + GAP)
            page.image(x, y + above - 0.05, side, side, draws[draw, row])
    return Picture(
        page.figure,
        title=f"Augmentation: {augmentation}",
        reading="Along a row, each copy must still be what its label says: a crop without the "
        "object, or a mirrored letter, teaches something wrong. Validation and test images are "
        "never augmented. Extremes of the settings are rare: so few draws seldom show them.",
        alt=f"{rows} training images, each beside {n} randomly changed copies of it. {note}",
        numbers={"images": rows, "draws": n, "type": str(draws.dtype),
                 "lowest": float(draws.min()), "highest": float(draws.max())},
    )  # fmt: skip


@house_style
def mean_images(
    means: np.ndarray,
    counts: Mapping[str, int],
    channels: Sequence[tuple[float, float]],
    *,
    source: str,
) -> Picture:
    """The mean training image of each class, all on one scale.

    means: (K, S, S, 3) in [0, 1], of the first `MEANS` classes or fewer. counts: all classes ->
    training images. channels: mean and standard deviation of red, green, blue, in [0, 1].
    """
    names = list(counts)[:MEANS]
    drawn = [i for i, name in enumerate(names) if counts[name]]
    low = float(means[drawn].min()) if drawn else 0.0
    high = float(means[drawn].max()) if drawn else 1.0
    across = min(len(names), 10)
    side = CELL if len(names) > 5 else 1.6
    cell = side + 0.12, side + 0.38
    rest = len(counts) - len(names)
    width = max(2 * MARGIN + across * cell[0], 5.5)
    named = zip(("red", "green", "blue"), channels, strict=True)
    figures = ", ".join(f"{name} {mean:.3f} ± {std:.3f}" for name, (mean, std) in named)
    page = Page(
        width, math.ceil(len(names) / across) * cell[1] + (0.3 if rest else 0.1),
        f"Mean images of {source}",
        ["Mean ± standard deviation of the training images' pixels, of 1:", figures,
         f"Stretched, all alike: black is {low:.2f}, white is {high:.2f}"],
    )  # fmt: skip
    for place, name in enumerate(names):
        x, y = MARGIN + place % across * cell[0], place // across * cell[1]
        if counts[name]:
            stretched = (means[place] - low) / max(high - low, 1e-6)
            page.image(x, y, side, side, stretched.clip(0, 1))
        else:
            page.frame(x, y, side, side, color=QUIET)
        page.text(x, y + side + 0.06, fitted(name, side, SMALL), fontsize=SMALL)
    if rest:
        y = math.ceil(len(names) / across) * cell[1]
        page.text(MARGIN, y, f"and {rest:,} more classes", fontsize=SMALL, color=QUIET)
    return Picture(
        page.figure,
        title="Mean image of each class",
        reading="What a class's images have in common at each place. A sharp mean says that they "
        "are aligned; means that differ in colour or brightness alone let a network tell the "
        "classes apart without seeing the things. A grey blur says nothing against a data set.",
        alt=f"A blurred mean image for each of {len(names)} classes. Means and standard "
        f"deviations per channel: {figures}.",
        numbers={"mean": [m for m, _ in channels], "std": [s for _, s in channels]},
    )


def counted(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def wrapped(text: str, width: float, size: float, most: int) -> list[str]:
    """Lines of at most `width` inches, `most` of them; what is too much ends in three dots."""
    lines, words = [""], text.split()
    while words:
        word = fitted(words[0], width, size)
        line = f"{lines[-1]} {word}".strip()
        if text_width(line, size) <= width:
            lines[-1] = line
        elif len(lines) == most:
            return [*lines[:-1], fitted_end(lines[-1], width, size)]
        else:
            lines.append(word)
        words.pop(0)
    return lines


def fitted_end(line: str, width: float, size: float) -> str:
    """The line with " …" at its end; words go until it fits."""
    words = line.split()
    while len(words) > 1 and text_width(f"{' '.join(words)} …", size) > width:
        words.pop()
    return f"{' '.join(words)} …"
