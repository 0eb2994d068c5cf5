"""Pictures of a comparison: texts that do not touch, however many groups and classes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from cnnexp.comparison.curves import curve, overlaid_curves
from cnnexp.comparison.data_size import accuracy_by_size
from cnnexp.comparison.groups import Group
from cnnexp.comparison.labels import Box, place_names, spread
from cnnexp.comparison.matrix import difference_matrix
from cnnexp.comparison.per_class import recall_per_class
from cnnexp.comparison.records import Run
from cnnexp.comparison.scores import Score
from cnnexp.comparison.sizes import families_of, size_lines
from cnnexp.comparison.tradeoffs import neat_step, tradeoffs
from cnnexp.comparison.verdicts import Family, conclusions, judge, told
from cnnexp.reporting.statistics import measure

Legible = Callable[[Figure], None]
LONG = "an_experiment_with_a_long_name optimizer.lr=0.0001 model.widths=[[32, 32], [64, 64]]"


def run(seed: int, accuracies: list[float]) -> Run:
    rows = [{"epoch": e, "val/accuracy": a, "train/accuracy": a + 0.05}
            for e, a in enumerate(accuracies, start=1)]  # fmt: skip
    return Run(Path("x"), {"seed": seed}, {"phases": {"train": {"history": rows}}}, {})


def group(label: str, *runs: list[float]) -> Group:
    return Group(label, tuple(run(seed, each) for seed, each in enumerate(runs)), {})


def score(number: int, classes: int, *, spread: float = 1.0, label: str = "") -> Score:
    generator = np.random.default_rng(number)
    accuracy = 0.9 - 0.002 * number
    return Score(
        group=group(label or f"group_{number}", [0.5, accuracy]), accuracy=accuracy,
        low=accuracy - 0.01, high=accuracy + 0.01, deviation=None, f1=accuracy, f1_low=None,
        f1_high=None, auroc=accuracy,
        loss=0.3,
        best_validation=accuracy, parameters=1e5 * (1 + spread * number**2),
        multiply_adds=4e7 * (1 + 0.01 * spread * number), train_s=60.0 * (1 + spread * number),
        images_per_s=100.0, train_images=2000.0, each=(accuracy,), recall=generator.random(classes),
    )  # fmt: skip


def test_a_curve_is_the_mean_of_the_seeds_that_got_so_far() -> None:
    found = curve(group("a", [0.2, 0.6, 0.7], [0.4, 0.8]), "val/accuracy")
    assert found is not None
    assert found.epochs.tolist() == [1, 2, 3]
    np.testing.assert_allclose(found.mean, [0.3, 0.7, 0.7])
    np.testing.assert_allclose(found.low, [0.2, 0.6, 0.7])
    np.testing.assert_allclose(found.high, [0.4, 0.8, 0.7])
    assert curve(group("a", []), "val/accuracy") is None
    assert overlaid_curves([group("a", [])]) is None


@pytest.mark.parametrize("count", [1, 2, 6, 15])
def test_curves_are_legible(count: int, legible: Legible) -> None:
    groups = [group(f"{LONG} {i}", [0.1, 0.90 - 0.001 * i], [0.2, 0.9]) for i in range(count)]
    picture = overlaid_curves(groups)
    assert picture is not None
    legible(picture.figure)
    assert "dotted" not in "".join(text.get_text() for text in picture.figure.texts)


def test_a_curve_that_ends_early_is_seen_to_end(legible: Legible) -> None:
    groups = [group("long", [0.1, 0.5, 0.6]), group("short", [0.2, 0.3])]
    picture = overlaid_curves(groups)
    assert picture is not None
    legible(picture.figure)
    assert any("dotted: after its last epoch" in text.get_text() for text in picture.figure.texts)
    axes = picture.figure.axes[-1]
    (dotted,) = axes.collections
    assert dotted.get_segments()[0].tolist() == [[2, 0.3], [3, 0.3]]
    ends = [int(line.get_xdata()[-1]) for line in axes.lines]
    assert sorted(set(ends)) == [2, 3]


def sized(name: str, images: float, accuracy: float, **keys: Any) -> Score:
    """Of an experiment with the keys that a number of training images changes, and others."""
    own = {"name": name, "dataset.per_class": images / 2, "data": f"{images:.0f}", **keys}
    one = Run(Path("x"), {"seed": 0, "name": name}, {"name": name}, own)
    return replace(
        score(0, 2), group=Group(f"{name} {images}", (one,), own), train_images=images,
        accuracy=accuracy, low=accuracy - 0.02, high=accuracy + 0.03,
    )  # fmt: skip


def test_experiments_with_several_numbers_of_images_are_lines() -> None:
    scores = [
        sized("frozen", 2400, 0.86), sized("scratch", 2400, 0.89, **{"optimizer.lr": 0.1}),
        sized("frozen", 100, 0.8), sized("scratch", 100, 0.6, **{"optimizer.lr": 0.1}),
        sized("scratch", 400, 0.7, **{"optimizer.lr": 0.1}),
        sized("scratch", 400, 0.2, **{"optimizer.lr": 9.0}), score(1, 2),
        # Each from the weights of the run with as many images.
        sized("tuned", 100, 0.85, **{"init_from.dataset.per_class": 50, "init_from.data": "a"}),
        sized("tuned", 400, 0.88, **{"init_from.dataset.per_class": 200, "init_from.data": "b"}),
    ]  # fmt: skip
    lines = size_lines(scores)
    assert [line.label for line in lines] == ["scratch", "tuned", "frozen"]
    assert [[s.train_images for s in line.scores] for line in lines] == [
        [100, 400, 2400], [100, 400], [100, 2400],
    ]  # fmt: skip
    picture = accuracy_by_size(scores)
    assert picture is not None
    assert picture.numbers["scratch"] == {"100": 0.6, "400": 0.7, "2400": 0.89}
    assert "frozen: 80.0% with 100, 86.0% with 2,400" in picture.alt
    assert accuracy_by_size([score(i, 2) for i in range(3)]) is None


def test_as_many_training_images_are_judged() -> None:
    """Two experiments with three sizes; one of the sizes had a single one."""
    other = {"optimizer.lr": 0.1}
    scores = [
        sized("a", 2400, 0.9), sized("b", 2400, 0.88, **other), sized("b", 400, 0.8, **other),
        sized("a", 100, 0.7), sized("b", 100, 0.5, **other), sized("c", 100, 0.1, model="x"),
    ]  # fmt: skip
    families = families_of(scores)
    assert families == [
        Family("with 2,400 training images", [0, 1]), Family("with 100 training images", [3, 4, 5]),
    ]  # fmt: skip
    right = np.random.default_rng(0).random((1000, 6)) < [s.accuracy for s in scores]
    verdicts = judge(measure(right, [[i] for i in range(6)]), families)
    assert [(v.first, v.second) for v in verdicts] == [(0, 1), (3, 4), (3, 5), (4, 5)]
    assert told(verdicts, families) == verdicts
    many = [*families, Family("with 5 training images", list(range(6, 14)))]
    assert [(v.first, v.second) for v in told(verdicts, many)] == [(0, 1), (3, 4), (3, 5)]
    groups = [s.group for s in scores]
    assert conclusions(verdicts, groups, families, 1000) == [
        "a 2400 has the highest accuracy with 2,400 training images, but with 1,000 test images "
        "it cannot be told from b 2400; one seed: others may differ",
        "one run of a 100 is the best of 3 with 100 training images: better than both others; one "
        "seed: others may differ",
    ]
    one = families_of([scores[0], scores[3]])
    assert one == [Family("", [0, 1])]


@pytest.mark.parametrize("sizes", [(100, 2400), (50, 60, 70, 1000), (2, 20, 200, 2000, 50_000)])
@pytest.mark.parametrize("count", [1, 6, 9])
def test_sizes_are_legible(count: int, sizes: tuple[int, ...], legible: Legible) -> None:
    scores = [
        sized(f"{LONG} {i}", size, 0.5 + 0.05 * place - 0.001 * i)
        for i in range(count)
        for place, size in enumerate(sizes)
    ]
    picture = accuracy_by_size(scores)
    assert picture is not None
    legible(picture.figure)


@pytest.mark.parametrize("count", [2, 4, 12, 40])
@pytest.mark.parametrize("spread", [0.0001, 0.02, 1.0])
def test_costs_are_legible(count: int, spread: float, legible: Legible) -> None:
    picture = tradeoffs([score(i, 3, spread=spread) for i in range(count)])
    if picture is not None:
        legible(picture.figure)


def test_costs_that_are_the_same_say_nothing() -> None:
    assert tradeoffs([score(1, 3, spread=0), score(2, 3, spread=0)]) is None


@pytest.mark.parametrize(("longest", "expected"), [(840, {"1", "2", "5"}), (80, {"20", "50"})])
def test_times_have_neat_ticks(longest: float, expected: set[str]) -> None:
    """In minutes, or seconds, on a logarithmic axis."""
    scores = [replace(score(i, 2), train_s=s) for i, s in enumerate((longest, 15.0))]
    picture = tradeoffs(scores)
    assert picture is not None
    axes = picture.figure.axes[-1]
    low, high = axes.get_xlim()
    ticks = axes.get_xticks()
    labels = {axes.xaxis.get_major_formatter()(tick) for tick in ticks if low <= tick <= high}
    assert labels >= expected
    assert {label.strip("0.") for label in labels} <= {"1", "2", "5"}


@pytest.mark.parametrize(
    ("groups", "classes"), [(1, 2), (2, 3), (3, 10), (6, 37), (7, 5), (30, 200)]
)
def test_recall_is_legible(groups: int, classes: int, legible: Legible) -> None:
    names = [f"a class called {k} of many" if classes > 3 else f"{k}" for k in range(classes)]
    scores = [score(i, classes, label=f"{LONG} {i}" if i % 2 else "") for i in range(groups)]
    labels = np.repeat(np.arange(classes), 100)[:-51]  # 49 of the last one
    picture = recall_per_class(scores, names, labels)
    legible(picture.figure)
    assert (
        f"with 49 of them, as {names[-1]} has, one standard error is up to 7.1" in picture.reading
    )
    assert len(picture.numbers) == min(classes, 20)


@pytest.mark.parametrize("count", [2, 3, 10, 14])
def test_differences_are_legible(count: int, legible: Legible) -> None:
    right = np.random.default_rng(0).random((500, count)) < np.linspace(0.9, 0.5, count)
    family = Family("with 2,399 training images", list(range(count)))
    verdicts = judge(measure(right, [[i] for i in range(count)]), [family])
    groups = [group(f"{LONG} {i}" if count < 5 else f"g{i}", [0.5]) for i in range(count)]
    legible(difference_matrix(verdicts, groups, family).figure)


def test_names_are_spread() -> None:
    assert spread([1.0, 3.0], 0.5, 0, 4) == [1.0, 3.0]
    assert spread([2.0, 2.0, 2.0], 0.5, 0, 4) == pytest.approx([1.5, 2.0, 2.5])
    assert spread([0.1, 0.0], 0.5, 0, 4) == pytest.approx([0.5, 0.0])
    assert spread([4.0, 4.0, 3.9], 0.5, 0, 4) == pytest.approx([3.5, 4.0, 3.0])


def test_a_name_that_could_be_another_point_s_has_a_line() -> None:
    room = Box(0, 0, 3.5, 3.3)
    lone = place_names([(1.0, 1.0)], [0.9], [], [], room, 0.17)
    assert [spot and spot.far for spot in lone] == [False]
    near = place_names([(1.0, 1.0), (2.05, 1.0)], [0.9, 0.9], [], [], room, 0.17)
    assert near[0] is not None
    assert near[0].box.left < 2.05 < near[0].box.right + 0.2
    assert near[0].far


def test_names_touch_nothing() -> None:
    generator = np.random.default_rng(0)
    points = [(float(x), float(y)) for x, y in generator.uniform(0.5, 3.0, (12, 2))]
    dots = [Box(x - 0.06, y - 0.06, x + 0.06, y + 0.06) for x, y in points]
    room = Box(0, 0, 3.5, 3.3)
    boxes = [spot.box for spot in place_names(points, [0.9] * 12, dots, [], room, 0.17) if spot]
    assert len(boxes) >= 8
    for i, box in enumerate(boxes):
        assert not any(box.touches(other) for other in [*boxes[:i], *dots])
        assert room.left <= box.left < box.right <= room.right


@pytest.mark.parametrize(("wanted", "step"), [(0.9, 1), (1.0, 1), (1.1, 2), (23, 50), (60, 100)])
def test_neat_steps(wanted: float, step: Any) -> None:
    assert neat_step(wanted) == pytest.approx(step)


def test_a_heat_maps_numbers_are_against_the_mean() -> None:
    scores = [replace(score(i, 1), recall=np.array([0.9 if i == 0 else 0.2])) for i in range(7)]
    picture = recall_per_class(scores, ["cat"], np.zeros(50, dtype=np.int64))
    axes = picture.figure.axes
    said = [text.get_text() for one in axes for text in one.texts]
    assert [text for text in said if text in ("+60", "−10")] == ["+60"] + ["−10"] * 6
    shown = [np.asarray(image.get_array()) for one in axes for image in one.images]
    (colours,) = [values for values in shown if values.shape == (1, 7)]
    assert colours[0].tolist() == pytest.approx([60] + [-10] * 6)
