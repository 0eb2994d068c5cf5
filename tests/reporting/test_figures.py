"""What stands in the figures: read from their artists."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cnnexp.monitor import goodness
from cnnexp.reporting.confusion import confusion_matrix, worst_pairs
from cnnexp.reporting.curves import best_epoch, learning_curves, rates_of
from cnnexp.reporting.picture import Picture, read_words, save_pictures
from cnnexp.reporting.statistics import confusion_counts

Legible = Callable[[Figure], None]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def cells(axes: Axes) -> dict[tuple[int, int], list[str]]:
    """(row, column) -> what is written there."""
    found: dict[tuple[int, int], list[str]] = {}
    for text in axes.texts:
        x, y = text.get_position()
        found.setdefault((round(y), round(x)), []).append(text.get_text())
    return found


def test_confusion_counts_by_hand() -> None:
    counts = confusion_counts([0, 0, 0, 1, 2, 2], [0, 1, 1, 1, 0, 2], 3)
    assert counts.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]
    assert worst_pairs(counts, 5) == [(0, 1, 2), (2, 0, 1)]
    assert worst_pairs(counts, 1) == [(0, 1, 2)]


def test_confusion_matrix_shows_counts_and_shares(legible: Legible) -> None:
    labels = [0] * 4 + [1] * 200
    predictions = [0, 0, 0, 1] + [1] * 199 + [0]
    figure = confusion_matrix(labels, predictions, ["cat", "dog", "$n$o image_"]).figure
    axes = figure.axes[0]
    shares = np.asarray(axes.images[0].get_array())
    assert shares.tolist() == [[0.75, 0.25, 0], [0.005, 0.995, 0], [0, 0, 0]]
    assert cells(axes) == {
        (0, 0): ["3", "75%"],
        (0, 1): ["1", "25%"],
        (1, 0): ["1", "<1%"],
        (1, 1): ["199", "99.5%"],
    }
    assert "202 of 204 right: 99.0%" in texts(figure)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["cat", "dog", "$n$o image_"]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    recall = [text for text in texts(figure) if text in ("75%", "99.5%", "none")]
    assert recall == ["75%", "99.5%", "none"]
    legible(figure)


def test_confusion_matrix_lists_the_worst_pairs() -> None:
    labels = [3] * 9 + [7] * 5 + list(range(12))
    predictions = [4] * 9 + [1] * 5 + list(range(12))
    picture = confusion_matrix(labels, predictions, [f"c{i}" for i in range(12)])
    found = texts(picture.figure)
    start = found.index("Most often confused")
    assert found[start + 1 : start + 4] == ["c3 → c4: 9", "c7 → c1: 5"]
    assert picture.alt == "12 of 26 test images are right; most often c3 is taken for c4, 9 of 10."


def rows(count: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": e,
            "train/loss": 2 / e,
            "val/loss": 2.2 / e,
            "train/accuracy": 1 - 0.5 / e,
            "val/accuracy": 0.9 - abs(e - 3) / 100,
            "lr": 0.1 / e,
        }
        for e in range(1, count + 1)
    ]


def lines(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    return {str(line.get_label()): tuple(map(list, line.get_data())) for line in axes.lines}


def test_learning_curves_show_what_was_measured() -> None:
    figure = learning_curves(rows(5)).figure
    loss, accuracy, rate = figure.axes
    epochs = [1, 2, 3, 4, 5]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Loss", "Accuracy", "Learning rate"]
    assert lines(loss)["training"] == (epochs, [2 / e for e in epochs])
    assert lines(loss)["validation"] == (epochs, [2.2 / e for e in epochs])
    assert lines(loss)["best epoch (3)"] == ([3], [2.2 / 3])
    assert lines(accuracy)["training"] == (epochs, [1 - 0.5 / e for e in epochs])
    assert lines(accuracy)["best epoch (3)"] == ([3], [0.9])
    assert list(rate.lines[0].get_ydata()) == [0.1 / e for e in epochs]
    assert loss.lines[0].get_linestyle() != loss.lines[1].get_linestyle()
    assert loss.get_ylim()[0] == 0
    assert "5 epochs; the best is epoch 3: val/accuracy 90.0%" in texts(figure)
    assert "5 epochs; the best is epoch 5: val/loss 0.4400" in texts(
        learning_curves(rows(5), monitor="val/loss").figure
    )


def test_learning_curves_of_a_loss_of_ones_own(legible: Legible) -> None:
    metrics = [row | {"train/loss": row["train/loss"] - 1.5} for row in rows(6)]
    figure = learning_curves(metrics, options=["loss=Margin", "mixup=0.2"]).figure
    said = "training loss: loss=Margin, mixup=0.2; validation loss: plain cross-entropy"
    assert said in texts(figure)
    assert figure.axes[0].get_ylim()[0] < 2 / 6 - 1.5  # it may be negative
    legible(figure)


def test_learning_curves_show_what_chose_the_epoch(legible: Legible) -> None:
    metrics = [row | {"val/f1": 0.1 * (row["epoch"] % 5)} for row in rows(6)]
    figure = learning_curves(metrics, monitor="val/f1").figure
    axes = figure.axes[1]
    assert axes.get_title(loc="left") == "Accuracy and F1"
    epochs = [1, 2, 3, 4, 5, 6]
    f1 = [0.1 * (e % 5) for e in epochs]
    assert lines(axes)["validation, mean F1 of classes"] == (epochs, f1)
    assert lines(axes)["best epoch (4)"] == ([4], [0.4])
    assert "6 epochs; the best is epoch 4: val/f1 0.4000" in texts(figure)
    legible(figure)


@pytest.mark.parametrize(("losses", "best"), [([3, 1, 2], 2), ([1, 2, 3], 1), ([3, 2, 2], 2)])
def test_of_equally_good_epochs_that_of_less_loss(losses: list[float], best: int) -> None:
    metrics = [
        {"epoch": e, "val/loss": loss, "val/accuracy": 0.5}
        for e, loss in enumerate(losses, start=1)
    ]
    assert best_epoch(metrics, "val/accuracy") == (best, 0.5)
    assert max(metrics, key=lambda row: goodness(row, "val/accuracy"))["epoch"] == best


def test_each_phases_rate_is_a_line_of_its_own() -> None:
    rate = learning_curves(rows(5), phases={"head": 2, "finetune": 3}).figure.axes[2]
    drawn = [list(line.get_xdata()) for line in rate.lines if line.get_linestyle() == "-"]
    assert drawn == [[1, 2], [3, 4, 5]]


def test_rates_are_drawn_step_by_step(legible: Legible) -> None:
    """Of ten steps an epoch each fourth is logged, and the last; the second epoch was cut off."""
    logged = {4: 0.1, 8: 0.2, 10: 0.25, 12: 0.2, 16: 0.1, 18: 0.05}
    metrics = [
        {"step": f"{step}", "epoch": f"{1 + (step > 10)}", "metric": "lr", "value": f"{rate}"}
        for step, rate in logged.items()
    ]
    metrics += [{"step": "10", "epoch": "1", "metric": "val/loss", "value": "3"}]
    found = rates_of(metrics)
    at = [0.4, 0.8, 1.0, 1.25, 1.75, 2.0]
    np.testing.assert_allclose(found, list(zip(at, logged.values(), strict=True)))
    figure = learning_curves(rows(2), rates=found, phases={"head": 1, "finetune": 1}).figure
    drawn = [list(line.get_xdata()) for line in figure.axes[2].lines if line.get_linestyle() == "-"]
    assert drawn == [at[:3], at[3:]]
    ((boundary, _),) = [
        line.get_xdata() for line in figure.axes[2].lines if line.get_linestyle() == ":"
    ]
    assert boundary == 1, "a whole epoch had gone by"
    assert figure.axes[2].get_yscale() == "linear"
    legible(figure)
    assert rates_of([]) == []
    many = [{"step": f"{i}", "epoch": "1", "metric": "lr", "value": "1"} for i in range(1, 9000)]
    assert 1000 <= len(rates_of(many)) < 2000


def test_rates_of_phases_that_are_far_apart_are_all_seen(legible: Legible) -> None:
    """A hundredth of the rate, on an axis from 0, would lie on it."""
    rates = [(0.1, 0.01), (0.5, 0.1), (1.0, 1e-9), (1.1, 1e-4), (1.5, 1e-3), (2.0, 1e-11)]
    figure = learning_curves(rows(2), rates=rates, phases={"head": 1, "finetune": 1}).figure
    axes = figure.axes[2]
    low, high = axes.get_ylim()
    assert (axes.get_yscale(), low) == ("log", pytest.approx(1e-5))
    assert high > 0.15  # the phases' names are above the lines
    legible(figure)


@pytest.mark.parametrize("count", [0, 1, 2, 20, 300])
def test_learning_curves_of_any_length_are_legible(count: int, legible: Legible) -> None:
    figure = learning_curves(rows(count)).figure
    assert len(figure.axes) == (3 if count else 2)
    legible(figure)


def test_learning_curves_leave_out_what_is_missing(legible: Legible) -> None:
    metrics = [
        {"epoch": 1, "train/loss": 3.0, "val/loss": math.nan, "val/accuracy": None},
        {"epoch": 2, "train/loss": math.inf, "val/loss": 2.0, "val/accuracy": ""},
        {"epoch": 3, "train/loss": "1.0"},
    ]
    figure = learning_curves(metrics).figure
    assert lines(figure.axes[0]) == {"training": ([1, 3], [3, 1]), "validation": ([2], [2])}
    assert not figure.axes[1].lines
    assert "3 epochs" in texts(figure)
    legible(figure)


def test_best_epoch_is_the_first_of_equals() -> None:
    metrics = [{"x": 1.0, "a/loss": 2.0}, {"x": 3.0, "a/loss": 1.0}, {"x": 3.0, "a/loss": 1.0}]
    assert best_epoch(metrics, "x") == (2, 3.0)
    assert best_epoch(metrics, "a/loss") == (2, 1.0)
    assert best_epoch(metrics, "y") is None


def drawn() -> Picture:
    return confusion_matrix([0, 1], [0, 1], ["猫", "a$b$"])  # no glyph, no warning


def test_saved_pictures_are_equal_and_without_a_date(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        assert save_pictures({"matrix": drawn()}, folder) == [folder / "matrix.png"]
    names = ["matrix.png", "matrix.svg", "pictures.json"]
    assert sorted(path.name for path in first.iterdir()) == names
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    with Image.open(first / "matrix.png") as image:
        assert set(image.info) == {"dpi"}
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert image.width > 700
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert "<dc:date>" not in (first / "matrix.svg").read_text()


def test_words_of_pictures_are_kept_beside_them(tmp_path: Path) -> None:
    save_pictures({"a": drawn(), "b": drawn()}, tmp_path)
    again = replace(drawn(), title="again", numbers={"n": 3})
    save_pictures({"a": again}, tmp_path)
    words = read_words(tmp_path)
    assert list(words) == ["b", "a"], "the newest comes last"
    assert words["a"] == {
        "title": "again", "reading": again.reading, "alt": again.alt, "numbers": {"n": 3},
    }  # fmt: skip
    assert read_words(tmp_path / "nothing") == {}
