"""Pictures of a data set: what is drawn is what was given; any number of classes is legible."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from matplotlib.figure import Figure

from cnnexp.reporting.data_counts import BARS, CARDS, Lost, class_balance, left_out_files
from cnnexp.reporting.data_pictures import (
    MEANS,
    ROWS,
    augmentation_preview,
    class_samples,
    mean_images,
    samples_per_class,
    wrapped,
)
from cnnexp.reporting.page import text_width

Legible = Callable[[Figure], None]
LONG = "a rather long name of a class that goes on: {}"


def named(k: int) -> list[str]:
    """Short and long names by turns."""
    return [LONG.format(i) if i % 2 else str(i) for i in range(k)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def images_of(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]


def same(drawn: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> bool:
    """Pixel by pixel, in the same order."""
    return all(np.array_equal(a, b) for a, b in zip(drawn, wanted, strict=True))


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


@pytest.mark.parametrize("k", [2, 10, 11, 70])
def test_samples(k: int, legible: Legible) -> None:
    """Every image given is drawn, in order; classes without a row are named."""
    names = named(k)
    given = {c: noise(1 + i % samples_per_class(k), 6, 6, 3) for i, c in enumerate(names[:ROWS])}
    picture = class_samples(given, dict.fromkeys(names, 3), source="a" * 200)
    drawn = images_of(picture.figure)
    assert same(drawn, np.concatenate(list(given.values())))
    assert ("Not shown" in texts(picture.figure)) == (k > ROWS)
    if k > ROWS:
        assert names[ROWS] in texts(picture.figure).replace("\n", " ")
    legible(picture.figure)


def test_tiny_sets(legible: Legible) -> None:
    """One image of a class, none of another."""
    given = {"a": noise(1, 4, 4, 3), "b": noise(0, 4, 4, 3)}
    legible(class_samples(given, {"a": 1, "b": 0}, source="x").figure)
    means = mean_images(np.zeros((2, 4, 4, 3)), {"a": 1, "b": 0}, [(0, 0)] * 3, source="x")
    assert len(images_of(means.figure)) == 1
    legible(means.figure)
    counts = {"train": np.array([1, 0]), "validation": np.array([0, 1]), "test": np.array([0, 0])}
    picture = class_balance(counts, ["a", "b"], source="x")
    assert "From 0 training images (b) to 1 (a)" in texts(picture.figure)
    legible(picture.figure)


@pytest.mark.parametrize(("rows", "floating"), [(1, True), (6, False)])
def test_augmentation(rows: int, floating: bool, legible: Legible) -> None:
    """A row: the original, then its draws in their order."""
    originals, draws = noise(rows, 6, 6, 3), noise(8, rows, 6, 6, 3)
    shares = (draws / 255).astype(np.float32) if floating else draws
    picture = augmentation_preview(
        originals, shares, [LONG] * rows, augmentation="Photo" * 30, note="note " * 50
    )
    wanted = [image for i in range(rows) for image in (originals[i], *shares[:, i])]
    assert same(images_of(picture.figure), wanted)
    assert picture.numbers["type"] == ("float32" if floating else "uint8")
    assert picture.numbers["highest"] == pytest.approx(shares.max())
    legible(picture.figure)


@pytest.mark.parametrize("k", [2, MEANS + 30])
def test_mean_images(k: int, legible: Legible) -> None:
    """All on one scale: the darkest value of all is black, the brightest white."""
    means = np.linspace(0.2, 0.6, min(k, MEANS) * 12).reshape(-1, 2, 2, 3)
    counts = dict.fromkeys(named(k), 1)
    picture = mean_images(means, counts, [(0.5, 0.25), (0.4, 0.2), (0.3, 0.1)], source="x")
    drawn = np.stack(images_of(picture.figure))
    assert drawn == pytest.approx((means - 0.2) / 0.4)
    assert "red 0.500 ± 0.250, green 0.400" in texts(picture.figure)
    assert ("and 30 more classes" in texts(picture.figure)) == (k > MEANS)
    legible(picture.figure)


@pytest.mark.parametrize("k", [2, 31, 230])
def test_class_balance(k: int, legible: Legible) -> None:
    """A bar's pieces are as long as the counts, and the counts stand beside it."""
    train = np.arange(1, k + 1) * 1000
    counts = {"train": train, "validation": train // 10, "test": train // 5}
    picture = class_balance(counts, named(k), source="x")
    bars = [bar for axes in picture.figure.axes for bar in axes.patches]
    assert len(bars) == 3 * min(k, BARS)
    lengths = sorted(bar.get_width() for bar in bars)
    lowest = train[: BARS // 2] if k > BARS else train
    highest = train[-BARS // 2 :] if k > BARS else train[:0]
    shown = np.concatenate([lowest, highest])
    assert lengths == sorted([*shown, *shown // 10, *shown // 5])
    for axes in picture.figure.axes:
        first, then, last = (np.array(bars) for bars in np.array_split(axes.patches, 3))
        for x, y, z in zip(first, then, last, strict=True):
            assert [x.get_x(), y.get_x()] == [0, x.get_width()]
            assert z.get_x() == x.get_width() + y.get_width()
    assert f"{k * 1000:,}" in texts(picture.figure)
    assert f": {k:.1f} times as many" in texts(picture.figure)
    assert picture.numbers["test"] == (train // 5).tolist()
    legible(picture.figure)


def test_a_balanced_set_is_said_to_be() -> None:
    same = {"train": np.array([5, 5]), "validation": np.array([1, 1]), "test": np.array([1, 2])}
    picture = class_balance(same, ["a", "b"], source="x")
    assert "Balanced: 5 training images of each class" in texts(picture.figure)


@pytest.mark.parametrize("count", [1, CARDS])
def test_left_out(count: int, legible: Legible) -> None:
    """A copy beside its original, a file that shows nothing as an empty frame."""
    copy, kept, part = noise(8, 8, 3), noise(8, 8, 3), noise(4, 16, 3)
    kinds = [
        Lost("folder/" * 30 + "copy.png", "exact duplicate of " + "x/" * 90, copy, kept),
        Lost("empty.png", "empty file"),
        Lost("part.jpg", "truncated: the file ends too early", part),
    ]
    shown = [kinds[i % 3] for i in range(count)]
    picture = left_out_files(shown, {"copies": 700, "a kind": 1}, files=5000, source="x" * 99)
    pictures = {id(kinds[0]): [copy, kept], id(kinds[1]): [], id(kinds[2]): [part]}
    wanted = [pixels for lost in shown for pixels in pictures[id(lost)]]
    assert same(images_of(picture.figure), wanted)
    assert texts(picture.figure).count("nothing to see") == shown.count(kinds[1])
    assert "copies (700), a kind (1)" in texts(picture.figure)
    assert picture.numbers["left_out"] == 701
    legible(picture.figure)


def test_wrapped() -> None:
    text = " ".join(["word"] * 30)
    lines = wrapped(text, 2.0, 10, 99)
    assert " ".join(lines) == text
    assert all(text_width(line, 10) <= 2.0 for line in lines)
    assert wrapped(text, 2.0, 10, 2)[0] == lines[0]
    assert wrapped(text, 2.0, 10, 2)[1].endswith("word …")
    assert len(wrapped("x" * 500, 1.0, 10, 3)) == 1
