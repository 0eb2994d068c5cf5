"""Each finding on both sides of its threshold, with histories made by hand."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnexp.config.compose import compose
from cnnexp.reporting.diagnosis import accuracies, answers, training
from cnnexp.reporting.diagnosis import diagnose as diagnosis
from cnnexp.reporting.diagnosis.finding import Finding, untried
from cnnexp.reporting.statistics import mcnemar

Rows = list[dict[str, Any]]


def rows(**columns: list[float]) -> Rows:
    """rows(train_loss=[...], val_loss=[...]): a row per epoch."""
    names = [name.replace("_", "/") for name in columns]
    return [
        {"epoch": e, **dict(zip(names, values, strict=True))}
        for e, values in enumerate(zip(*columns.values(), strict=True), start=1)
    ]


def test_noise_is_of_what_a_line_leaves() -> None:
    assert training.noise(np.array([1.0, 2.0, 3.0, 4.0])) == 0
    values = 5 + 0.1 * np.random.default_rng(0).normal(size=4000)
    values[:2] = 100  # as in the first epochs
    assert training.noise(values) == pytest.approx(0.1, rel=0.05)


def test_over_fitting() -> None:
    train = [1.0, 0.8, 0.6, 0.4, 0.3, 0.2]
    found = training.over_fitting(rows(train_loss=train, val_loss=[1, 0.8, 0.7, 0.8, 0.9, 1.0]))
    assert found is not None
    assert found.title == "Over-fitting from epoch 3"
    assert "lowest there (0.7)" in found.text
    assert "0.9 on average over the last 3 epochs" in found.text
    assert (
        training.over_fitting(rows(train_loss=train, val_loss=[1, 0.8, 0.7, 0.6, 0.5, 0.4])) is None
    )


@pytest.mark.parametrize(("rise", "seen"), [(0.06, True), (0.04, False)])
def test_over_fitting_begins_at_five_per_cent(rise: float, seen: bool) -> None:
    val = [2.0, 1.0, *(1 + rise * x for x in (0.5, 1.0, 1.5))]  # last three: rise on average
    history = rows(train_loss=[1, 0.8, 0.6, 0.4, 0.3], val_loss=val)
    assert (training.over_fitting(history) is not None) == seen


def test_noise_alone_is_no_over_fitting() -> None:
    generator = np.random.default_rng(0)
    false = 0
    for _ in range(200):
        val = 1 + 0.1 * generator.normal(size=20)
        history = rows(train_loss=list(np.linspace(1, 0.5, 20)), val_loss=list(val))
        false += training.over_fitting(history) is not None
    assert false < 10


def test_no_over_fitting_where_training_loss_does_not_fall_or_the_end_is_near() -> None:
    val = [1, 0.8, 0.7, 0.8, 0.9, 1.0]
    assert (
        training.over_fitting(rows(train_loss=[1, 0.8, 0.6, 0.7, 0.8, 0.9], val_loss=val)) is None
    )
    near = rows(train_loss=[1, 0.8, 0.6, 0.4, 0.3], val_loss=[1, 0.8, 0.7, 0.9, 1.2])
    assert training.over_fitting(near) is None  # two epochs after the minimum


@pytest.mark.parametrize(
    ("share", "classes", "seen"),
    [(0.99, 10, True), (0.97, 10, False), (3, 2, True), (0.97, 2, False)],
)
def test_stuck_at_ln_k(share: float, classes: int, seen: bool) -> None:
    history = rows(train_loss=[share * math.log(classes)] * 4)
    found = training.stuck(history, classes, rate=0.1)
    assert (found is not None) == seen
    if found:
        assert found.title == f"Loss stuck at ln {classes}"
        assert "optimizer.lr=0.01" in found.overrides
    assert training.stuck(history[:2], classes) is None


def test_a_short_phase_that_learns_is_not_stuck() -> None:
    """The mean of all three is above ln 2."""
    assert training.stuck(rows(train_loss=[1.2054, 0.6964, 0.5652]), 2) is None


@pytest.mark.parametrize(("accuracy", "seen"), [(0.1, True), (0.3, False)])
def test_too_few_steps_of_a_run_without_a_test(accuracy: float, seen: bool) -> None:
    """As a search's trials are; 1,000 validation images."""
    found = diagnosis.diagnose(
        classes=[str(k) for k in range(10)],
        phases={"train": rows(train_loss=[2.4], val_loss=[2.3], val_accuracy=[accuracy])},
        train_counts=[100] * 10,
        validation_images=1000,
        config={"dataset": {"batch_size": 64}},
    )
    assert ("Too few steps" in [one.title for one in found]) == seen


def test_more_steps_by_the_key_that_the_command_uses() -> None:
    """Beside a typed phases.….epochs trainer.max_epochs would be refused."""
    two = {"head": rows(train_loss=[2.4]), "finetune": rows(train_loss=[2.4], val_accuracy=[0.1])}
    found = diagnosis.diagnose(
        classes=[str(k) for k in range(10)],
        phases=two,
        train_counts=[100] * 10,
        validation_images=1000,
        config={
            "dataset": {"batch_size": 64},
            "phases": {"head": {"epochs": 1}, "finetune": {"epochs": 1}},
            "overrides": ["phases.head.epochs=1", "phases.finetune.epochs=1"],
        },
    )
    (few,) = (one for one in found if one.title == "Too few steps")
    assert few.overrides == ("phases.finetune.epochs=19",)  # 300 steps of 16 an epoch


def test_a_loss_that_falls_is_not_stuck_yet() -> None:
    assert training.stuck(rows(train_loss=[1.3046, 0.9175, 0.8830]), 2) is None
    found = training.stuck(rows(train_loss=[0.95, 0.90, 0.93]), 2)
    assert found is not None
    assert "is 0.93 at the end" in found.text


@pytest.mark.parametrize(
    ("right", "images", "config", "seen"),
    [
        (0.12, 1000, {}, True),
        (0.30, 1000, {}, False),
        (0.12, 4000, {}, False),
        (0.12, 1000, {"init_from": "outputs/a/b"}, True),
    ],
)
def test_too_few_steps(right: float, images: int, config: dict, seen: bool) -> None:
    """Two epochs of 1,000 images in batches of 64 are 32 steps."""
    labels = np.arange(1000) % 10
    shares = np.full((1000, 10), 0.05)
    shares[np.arange(1000), np.where(np.arange(1000) < 1000 * right, labels, (labels + 1) % 10)] = (
        0.55
    )
    found = diagnosis.diagnose(
        classes=[str(k) for k in range(10)],
        phases={
            "train": rows(train_loss=[2.4, 2.35], val_loss=[2.3, 2.3], val_accuracy=[0.1, 0.1])
        },
        dead={"block1": (4, 8)},
        train_counts=[images // 10] * 10,
        labels=labels,
        probabilities=shares,
        config={"dataset": {"batch_size": 64}, "trainer": {"max_epochs": 2}, **config},
    )
    titles = [one.title for one in found]
    assert ("Too few steps" in titles) == seen
    assert ("Over-confident" in titles) == (not seen)
    drawn = "init_from" not in config  # weights that were trained may be dead already
    assert any("dead" in title.lower() for title in titles) == (not seen or not drawn)
    if seen:
        assert "32 steps: that is" in found[0].text
        assert found[0].overrides == ("trainer.max_epochs=19",)


@pytest.mark.parametrize(
    ("train", "counts", "seen"),
    [(0.96, [50, 50], False), (0.8, [50, 50], True), (0.96, [95, 5], True)],
)
def test_who_has_learned_is_off_the_start(train: float, counts: list[int], seen: bool) -> None:
    """Of a frozen base the head learns in a few steps; 14 of 18 test images say little of it."""
    labels = np.arange(18) % 2
    shares = np.where(np.arange(18) < 14, labels, 1 - labels)
    curve = rows(
        train_loss=[0.7, 0.4], val_loss=[0.6, 0.4], train_accuracy=[0.6, train],
        val_accuracy=[0.6, 0.8],
    )  # fmt: skip
    found = diagnosis.diagnose(
        classes=["cat", "dog"],
        phases={"train": curve},
        train_counts=counts,
        labels=labels,
        probabilities=np.stack([1 - shares, shares], 1).astype(float),
        config={"dataset": {"batch_size": 10}, "trainer": {"max_epochs": 2}},
    )
    advised = [one.title.partition(" at the end")[0] for one in found]
    # Either says to train longer; both would name two numbers of epochs.
    assert ("Too few steps" in advised, "Still improving" in advised) == (seen, not seen)


@pytest.mark.parametrize(
    ("train", "images", "config", "seen"),
    [
        (0.98, 640, {}, True),  # 20 steps
        (0.5, 640, {}, False),
        (0.98, 2000, {}, False),  # 64 steps
        (0.98, 2000, {"trainer": {"limit_train_batches": 10}}, True),  # 20 of them
        (0.98, 2000, {"trainer": {"limit_train_batches": 0.5}}, True),  # 32
        (0.98, 640, {"model": {"norm": "group"}}, False),
        (0.98, 640, {"model": {"norm": "batch"}}, True),
    ],
)
def test_averages_that_lag_behind(train: float, images: int, config: dict, seen: bool) -> None:
    """Two epochs in batches of 64; 30% of ten classes is far better than chance."""
    labels = np.arange(1000) % 10
    shares = np.full((1000, 10), 0.02)
    shares[np.arange(1000), np.where(np.arange(1000) < 320, labels, (labels + 1) % 10)] = 0.82
    found = diagnosis.diagnose(
        classes=[str(k) for k in range(10)],
        phases={
            "train": rows(
                train_loss=[1.5, 0.4], val_loss=[2.0, 1.9], train_accuracy=[0.5, train],
                val_accuracy=[0.2, 0.32],
            )
        },
        train_counts=[images // 10] * 10, labels=labels, probabilities=shares,
        config={
            "dataset": {"batch_size": 64}, **config,
            "trainer": {"max_epochs": 2, **config.get("trainer", {})},
        },
    )  # fmt: skip
    said = [one.text for one in found if one.title == "Too few steps"]
    assert bool(said) == seen
    if seen:
        ((advised,),) = [one.overrides for one in found if one.title == "Too few steps"]
        longer = f"trainer.max_epochs={math.ceil(300 / 10)}"
        assert advised == ("trainer.limit_train_batches=null" if "trainer" in config else longer)
        assert said[0].startswith("Training accuracy is 98% at the end, validation accuracy 32%")


@pytest.mark.parametrize(("right", "stuck"), [(100, False), (40, True)])
def test_who_answers_better_than_by_chance_has_learned(right: int, stuck: bool) -> None:
    """Training losses of few steps an epoch are means from when the network knew nothing."""
    labels = np.arange(400) % 10
    said = np.where(np.arange(400) < right, labels, (labels + 1) % 10)
    found = diagnosis.diagnose(
        classes=[str(k) for k in range(10)],
        phases={"train": rows(train_loss=[2.31, 2.3, 2.3], val_loss=[2.3, 2.29, 2.28])},
        train_counts=[1000] * 10,
        labels=labels,
        probabilities=np.eye(10)[said],
        config={"dataset": {"batch_size": 64}},
    )
    assert any("stuck" in one.title for one in found) == stuck


def test_a_phases_own_rate_is_the_one_that_is_advised() -> None:
    found = diagnosis.diagnose(
        classes=["a", "b"],
        phases={"own": rows(train_loss=[1.0, math.nan], val_loss=[1.0, 1.0])},
        config={
            "optimizer": {"lr": 0.001},
            "phases": {"own": {"optimizer": {"_target_": "torch.optim.SGD", "lr": 0.5}}},
        },
    )
    assert "phases.own.optimizer.lr=0.05" in found[0].overrides


def test_not_finite() -> None:
    history = rows(train_loss=[1.0, math.nan, math.nan], val_loss=[1.0, 1.0, math.inf])
    found = training.not_finite(history)
    assert found is not None
    assert "epoch 2" in found.text
    assert training.not_finite(rows(train_loss=[1.0, 0.5])) is None


@pytest.mark.parametrize(
    ("val", "train", "seen"),
    [
        ([1.0, 0.9, 0.8, 0.7, 0.6], 0.5, True),
        ([1.0, 0.99, 0.98, 0.97, 0.96], 0.5, False),  # 2% in a quarter
        ([1.0, 0.9, 0.8, 0.6, 0.7], 0.5, False),  # the last is not the best
        ([1.0, 0.9, 0.8, 0.7, 0.6], 0.2, False),  # the training images are learned
        ([1.0, 0.8, 0.6], 0.5, True),  # too short to say when it will end
        ([1.0, 0.6], 0.5, True),
        ([0.6], 0.5, False),
    ],
)
def test_still_improving(val: list[float], train: float, seen: bool) -> None:
    history = rows(train_loss=[train] * len(val), val_loss=val)
    found = training.still_improving(history)
    assert (found is not None) == seen
    if found:
        assert found.overrides == (f"trainer.max_epochs={2 * len(val)}",)
        named = training.still_improving(history, "phases.head.epochs")
        assert named is not None
        assert named.overrides == (f"phases.head.epochs={2 * len(val)}",)


@pytest.mark.parametrize(
    ("accuracy", "images", "seen"),
    [
        ([0.1, 0.2, 0.4, 0.5], 1000, True),
        ([0.5, 0.5, 0.5, 0.52], 1000, False),
        ([0.1, 0.2, 0.3, 0.4], 30, False),  # 20 points are two standard errors
        ([0.1, 0.2, 0.4, 0.5], 0, False),
    ],
)
def test_answers_become_right_before_the_loss_moves(
    accuracy: list[float], images: int, seen: bool
) -> None:
    """A rate that is far too small: the loss stays within 3% of ln 10."""
    loss = [2.30, 2.29, 2.27, 2.24]
    history = rows(train_loss=loss, val_loss=loss, val_accuracy=accuracy)
    found = training.still_improving(history, images=images)
    assert (found is not None) == seen
    if found:
        assert "accuracy rose by 30 points" in found.text


def test_a_loss_that_rises_is_not_for_want_of_steps() -> None:
    """Lenet on the digits at a rate of 0.08, 85 steps in all: longer would not help."""

    def titles(losses: list[float], loss: Any = "cross_entropy") -> list[str]:
        found = diagnosis.diagnose(
            classes=[str(k) for k in range(10)],
            phases={"train": rows(
                train_loss=losses, val_loss=losses, val_accuracy=[0.1] * len(losses)
            )},
            train_counts=[100] * 10,
            validation_images=1000,
            config={"dataset": {"batch_size": 64}, "training": {"loss": loss}},
        )  # fmt: skip
        return [one.title for one in found]

    assert titles([1.91, 2.36, 2.33, 2.31, 2.30]) == ["Loss stuck at ln 10"]
    own = {"_target_": "losses.Focal"}  # of which ln 10 says nothing
    assert titles([1.91, 2.36, 2.33, 2.31, 2.30], own) == []
    history = rows(train_loss=[0.4, 0.3, 0.2], val_loss=[2.0, 1.6, 1.2])
    assert training.still_improving(history) is None
    assert training.still_improving(history, one_loss=False) is not None
    typed = ["training.label_smoothing=0.1", "training.mixup=0.2"]
    config = {"training": {"loss": own, "label_smoothing": 0.0, "mixup": 0.0}}
    assert untried(typed, config) == ("training.mixup=0.2",), "the other would be refused"
    assert titles([2.31, 2.31, 2.305, 2.30, 2.30]) == ["Too few steps"]


@pytest.mark.parametrize(
    ("train", "val", "seen"),
    [
        ([6.0], [18.3], True),  # one epoch of 17 steps
        ([9.0, 4.0, 3.0], [61.0, 28.0, 5.0], True),
        ([2.4], [2.31], False),
        ([0.1, 0.01], [4.0, 5.0], False),  # over-fitting
        ([0.010, 0.012, 0.011], [5.0, 5.1, 5.1], False),  # … from weights that were trained
    ],
)
def test_a_loss_far_above_chance(train: list[float], val: list[float], seen: bool) -> None:
    history = rows(train_loss=train, val_loss=val, val_accuracy=[0.1] * len(val))
    found = training.far_off(history, 10, 0.1)
    assert (found is not None) == seen
    if found:
        assert found.overrides == ("optimizer.lr=0.01",)
    titles = [
        one.title
        for one in diagnosis.diagnose(
            classes=[str(k) for k in range(10)],
            phases={"train": history},
            train_counts=[100] * 10,
            validation_images=1000,
            config={"dataset": {"batch_size": 64}},
        )
    ]
    assert not (seen and "Too few steps" in titles)


@pytest.mark.parametrize(
    ("images", "monitor", "seen"),
    [(42, "val/accuracy", True), (200, "val/accuracy", False), (42, "val/loss", False)],
)
def test_few_validation_images(images: int, monitor: str, seen: bool) -> None:
    found = answers.chosen_by_few(0.64, images, monitor)
    assert (found is not None) == seen
    if found:
        assert "With 42 of them an epoch's accuracy is known to about 14 points" in found.text


@pytest.mark.parametrize(
    ("config", "advice"),
    [
        ({}, "trainer.max_epochs=6"),
        ({"phases": {"head": {"epochs": 3}}}, "trainer.max_epochs=6"),
        ({"phases": {"head": {}, "whole": {}}}, "phases.head.epochs=6"),
        ({"phases": {"head": {}}, "overrides": ["phases.head.epochs=3"]}, "phases.head.epochs=6"),
        (
            {"phases": {"head": {"epochs": 9, "early_stopping": 2}}},
            "phases.head.early_stopping=5",
        ),
        (
            {"phases": {"head": {"epochs": 9}}, "training": {"early_stopping": 1}},
            "phases.head.early_stopping=3",
        ),
    ],
)
def test_how_to_train_longer_is_what_the_command_takes(config: dict, advice: str) -> None:
    keys = {"trainer": {"max_epochs": None}, "training": {"early_stopping": None}, **config}
    phases = {"head": {"epochs": 3, "early_stopping": None}}
    for name, phase in keys.get("phases", {}).items():
        phases[name] = {"epochs": 3, "early_stopping": None, **phase}
    history = rows(train_loss=[0.5] * 3, val_loss=[1.0, 0.8, 0.6])
    found = diagnosis.diagnose(
        classes=["a", "b"], phases={"head": history}, config={**keys, "phases": phases}
    )
    assert [one.overrides for one in found] == [(advice,)]


@pytest.mark.parametrize(
    ("second", "scale", "seen"),
    [
        ([0.5, 0.85], 1.0, ("phases.finetune.lr_scale=0.1",)),
        ([0.5, 0.85], {"head": 0.1}, ("phases.finetune.warmup=1",)),
        ([0.5, 0.87], 1.0, None),  # of 400 images, three points are 1.9 standard errors
        ([0.5, 0.95], 1.0, None),
    ],
)
def test_fine_tuning_that_loses_is_noticed(
    second: list[float], scale: object, seen: tuple[str, ...] | None
) -> None:
    found = diagnosis.diagnose(
        classes=["a", "b"],
        phases={
            "head": rows(val_accuracy=[0.8, 0.9]), "finetune": rows(val_accuracy=second),
        },
        validation_images=400,
        config={"phases": {"finetune": {"lr_scale": scale, "warmup": 0}}},
    )  # fmt: skip
    assert [one.overrides for one in found] == ([] if seen is None else [seen])
    assert all("right on 85.0% of the 400" in one.text and "90.0%" in one.text for one in found)


@pytest.mark.parametrize(("first", "second"), [(20, 8), (8, 20), (40, 1), (5, 5)])
@pytest.mark.parametrize("images", [100, 800])
def test_of_equally_good_phases_none_is_worse(first: int, second: int, images: int) -> None:
    """Of 20 against 8 epochs it was said in a quarter of the pairs, of 40 against 1 in most."""
    generator = np.random.default_rng(0)
    shares = generator.binomial(images, 0.9, (400, first + second)) / images
    false = sum(
        accuracies.worse_than_before(
            "b", rows(val_accuracy=each[first:].tolist()),
            {"a": rows(val_accuracy=each[:first].tolist())}, images, 1.0,
        ) is not None for each in shares
    )  # fmt: skip
    assert false <= 20


def test_what_nobody_measured_is_no_worse() -> None:
    before = {"a": rows(val_accuracy=[0.9])}
    assert accuracies.worse_than_before("b", rows(val_loss=[1.0]), before, 400, 1.0) is None
    assert accuracies.best_of(1) == pytest.approx(0)
    drawn = np.random.default_rng(0).normal(size=(4000, 20)).max(1).mean()
    assert accuracies.best_of(20) == pytest.approx(drawn, abs=0.03)


@pytest.mark.parametrize(("end", "title"), [(1.0, "Learned by"), (0.95, "Not learned by")])
def test_what_debug_overfit_asks_is_answered(end: float, title: str) -> None:
    history = rows(train_accuracy=[0.3, end], val_accuracy=[0.2, 0.1])
    found = diagnosis.diagnose(
        classes=["a", "b"], phases={"train": history}, config={"overrides": ["debug=overfit"]}
    )
    assert [one.title for one in found] == [f"{title} heart"]


def test_a_smoke_run_says_nothing_of_the_network() -> None:
    history = rows(train_loss=[9.0] * 3, val_loss=[9.0] * 3)
    config = {"overrides": ["+debug=smoke"]}
    found = diagnosis.diagnose(classes=["a", "b"], phases={"train": history}, config=config)
    assert [one.title for one in found] == ["A smoke run"]


@pytest.mark.parametrize(
    ("half", "seen"),
    [
        ([1.0, 1.4, 1.0, 1.4, 1.0, 1.4], True),
        ([1.0, 1.1, 1.0, 1.1, 1.0, 1.1], False),  # 10%
        ([1.0, 1.4, 1.8, 2.2, 2.6, 3.0], False),  # one way
        ([0.04, 0.08, 0.04, 0.08, 0.04, 0.08], False),  # below 0.05 nats
    ],
)
def test_swinging(half: list[float], seen: bool) -> None:
    history = rows(val_loss=[*reversed(np.linspace(1, 3, 6)), *half])
    found = training.swinging(history, rate=0.3, batch=64)
    assert (found is not None) == seen
    if found:
        assert found.overrides[:2] == ("optimizer.lr=0.1", "dataset.batch_size=128")


@pytest.mark.parametrize("images", [50, 100, 400])
@pytest.mark.parametrize("epochs", [10, 20])
def test_answers_that_change_by_luck_are_no_swinging(images: int, epochs: int) -> None:
    """Right answers cost 0.1, wrong ones 2: of 100 images it was said in half of the runs."""
    right = np.random.default_rng(0).binomial(images, 0.9, (200, epochs)) / images
    histories = [rows(val_loss=list(2 - 1.9 * each), val_accuracy=list(each)) for each in right]
    assert sum(training.swinging(one, images=images) is not None for one in histories) <= 10
    # Twice as much is seen: the loss goes from 0.1 to 0.9, of 800 images with 80 wrong ones.
    history = rows(val_loss=[0.1, 0.9] * 6, val_accuracy=[0.9] * 12)
    assert training.swinging(history, images=800) is not None


@pytest.mark.parametrize(
    ("loss", "accuracy", "seen"),
    [(0.6, 0.85, True), (0.52, 0.85, False), (0.6, 0.82, False)],  # 4% more; 1.2 errors
)
def test_contradiction(loss: float, accuracy: float, seen: bool) -> None:
    losses, right = [0.9, 0.5, 0.51, 0.51, *[loss] * 3], [0.7, *[0.8] * 3, *[accuracy] * 3]
    history = rows(val_loss=losses, val_accuracy=right)
    # Standard error of the difference of 3 epochs' means, 0.8 on 400 images: 0.016.
    found = accuracies.contradiction(history, 400)
    assert (found is not None) == seen
    if found:
        assert "lowest in epoch 2 (0.5) and 0.6 on average over the last 3" in found.text
        assert "from 80.0% (mean of 3 epochs from there) to 85.0%" in found.text
    # The other way round fewer answers were right at the end; and five epochs are no course.
    turned = rows(val_loss=losses[::-1], val_accuracy=right[::-1])
    assert accuracies.contradiction(turned, 400) is None
    assert accuracies.contradiction(history[2:], 400) is None


@pytest.mark.parametrize(("rise", "low", "high"), [(0.0, 0, 15), (0.1, 270, 300)])
@pytest.mark.parametrize("epochs", [8, 20])
def test_flat_accuracy_contradicts_nothing(rise: float, low: int, high: int, epochs: int) -> None:
    """Flat, the best of the epochs was above the one with the lowest loss in half of the runs."""
    share = 0.8 + rise * np.linspace(-1, 1, epochs).clip(0) ** 0.5
    share[: epochs // 4] = 0.8
    loss = [1.0, 0.5, *np.linspace(0.52, 0.8, epochs - 2)]
    right = np.random.default_rng(0).binomial(800, share, (300, epochs)) / 800
    found = [
        accuracies.contradiction(rows(val_loss=loss, val_accuracy=list(each)), 800)
        for each in right
    ]
    assert low <= sum(one is not None for one in found) <= high


def test_dead_channels() -> None:
    found = diagnosis.dead_channels({"block1": (1, 32), "block2": (8, 64)})
    assert found is not None
    assert found.text.startswith("8 of 64 in block2 give")
    assert diagnosis.dead_channels({"block1": (3, 32), "block2": (0, 0)}) is None


@pytest.mark.parametrize(("counts", "seen"), [([30, 90], True), ([31, 90], False), ([], False)])
def test_imbalance(counts: list[int], seen: bool) -> None:
    found = answers.imbalance(counts, ["cat", "dog"])
    assert (found is not None) == seen
    if found:
        assert found.text.startswith("dog has 90 training images, cat 30")
        assert found.overrides == ("training.class_weights=balanced", "training.monitor=val/f1")
        weighed = answers.imbalance(counts, ["cat", "dog"], weighed=True)
        assert weighed is not None
        assert weighed.overrides == ("training.monitor=val/f1",)
        assert weighed.advice.startswith("The loss weighs classes equally already; ")
        assert weighed.advice.endswith("; let their mean F1 choose the epoch:")
        by_f1 = answers.imbalance(counts, ["cat", "dog"], weighed=True, by_f1=False)
        assert by_f1 is not None
        assert (by_f1.overrides, by_f1.advice[-8:]) == ((), "already.")


def test_one_thing_is_advised_to_choose_the_epoch() -> None:
    right = [0.7, 0.8, 0.8, 0.8, 0.95, 0.95, 0.95]
    history = rows(val_loss=[0.9, 0.5, 0.6, 0.7, 0.8, 0.8, 0.8], val_accuracy=right)

    def advised(monitor: str, images: int) -> list[str]:
        found = diagnosis.diagnose(
            classes=["cat", "dog"], phases={"train": history}, train_counts=[90, 30],
            validation_images=images, config={"training": {"monitor": monitor,
                                                           "class_weights": None}},
        )  # fmt: skip
        assert "Classes of unequal size" in [one.title for one in found]
        lines = [line for one in found for line in one.overrides]
        return [line for line in lines if line.startswith("training.monitor=")]

    assert advised("val/accuracy", 10_000) == ["training.monitor=val/loss"]
    history = rows(val_loss=[0.9, 0.5, 0.4], val_accuracy=[0.7, 0.8, 0.95])
    assert advised("val/accuracy", 10_000) == ["training.monitor=val/f1"]
    assert advised("val/accuracy", 10) == ["training.monitor=val/loss"], "few validation images"
    assert advised("val/f1", 10_000) == []


def test_never_predicted() -> None:
    labels = np.array([0] * 9 + [1] * 5 + [2] * 4)
    found = answers.never_predicted(labels, np.zeros(18, int), ["a", "b", "c"])
    assert found is not None
    assert found.text.startswith("b, though")  # c has four images: that is chance
    assert answers.never_predicted(labels, labels, ["a", "b", "c"]) is None


@pytest.mark.parametrize(("counts", "weigh"), [([20, 20, 20], False), ([40, 20, 20], True)])
def test_equal_classes_are_not_weighed(counts: list[int], weigh: bool) -> None:
    labels, shares = np.repeat([0, 1, 2], 6), np.tile([1.0, 0.0, 0.0], (18, 1))
    found = diagnosis.diagnose(
        classes=["a", "b", "c"], train_counts=counts, labels=labels, probabilities=shares
    )
    never = next(one for one in found if one.title.startswith("Classes that are never"))
    assert ("training.class_weights=balanced" in never.overrides) == weigh
    assert never.advice.startswith("Weigh" if weigh else "Look at those images.")


@pytest.mark.parametrize(("right", "seen"), [(56, True), (64, False)])
def test_no_better_than_one_class(right: int, seen: bool) -> None:
    """28 gained, 22 lost: p = 0.48; 64 of 100 are over ten points more than 50."""
    labels = np.array([0, 1] * 50)
    predictions = np.where(np.arange(100) < right, labels, 1 - labels)
    found = answers.no_better_than_one_class(labels, predictions, [10, 30], ["cat", "dog"])
    assert (found is not None) == seen
    if found:
        assert found.title == "Not shown to be better than one class for all"
        assert "always answering dog gives 50.0%; of the 50 images on which" in found.text
        assert "the network has 28 (exact McNemar test: p = 0.48)" in found.text


def test_ten_images_gained_and_none_lost_is_better_than_one_class() -> None:
    """92.5% against 90%, whose interval reaches down to 89.5%; paired: p = 2 / 2^10."""
    labels = np.repeat([0, 1], [40, 360])
    predictions = np.where(np.arange(400) < 10, 0, 1)
    assert mcnemar(10, 0) == pytest.approx(2 / 2**10)
    assert mcnemar(0, 0) == 1
    assert answers.no_better_than_one_class(labels, predictions, [40, 360], ["a", "b"]) is None
    few = np.where(np.arange(400) < 5, 0, 1)  # p = 0.06
    assert answers.no_better_than_one_class(labels, few, [40, 360], ["a", "b"]) is not None
    wrong = np.where(np.arange(400) > 390, 0, 1)  # none gained, nine lost
    found = answers.no_better_than_one_class(labels, wrong, [40, 360], ["a", "b"])
    assert found is not None
    assert found.text == "Accuracy is 87.8%; always answering b gives 90.0%."


def test_a_network_that_answers_one_class_is_called_so() -> None:
    labels = np.repeat([0, 1], [40, 60])
    found = answers.no_better_than_one_class(labels, np.ones(100, int), [40, 60], ["a", "b"])
    assert found is not None
    assert found.title == "One class for all"
    assert found.text.endswith("The accuracy is that class's share of the test images, 60.0%.")
    assert "debug=overfit" in found.overrides


def answered(sure: float, right: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, probabilities: class 0 at `sure`, right for that share."""
    labels = (np.arange(count) >= right * count).astype(int)
    return labels, np.tile([sure, 1 - sure], (count, 1))


@pytest.mark.parametrize(
    ("sure", "right", "count", "title"),
    [
        (0.9, 0.8, 1000, "Over-confident"),
        (0.7, 0.8, 1000, "Under-confident"),
        (0.84, 0.8, 1000, None),
        (0.9, 0.8, 20, None),  # by chance: an error of 0.1 is usual with 20 images
    ],
)
def test_calibration(sure: float, right: float, count: int, title: str | None) -> None:
    found = answers.calibration(*answered(sure, right, count))
    assert (found.title if found else None) == title
    if found:
        assert "calibration error is 0.100" in found.text


def test_too_sure_here_and_not_sure_enough_there() -> None:
    """Half of the answers 0.9 sure, of which 0.8 are right, half 0.6, of which 0.7 are."""
    halves = [answered(0.9, 0.8, 1000), answered(0.6, 0.7, 1000)]
    labels, shares = (np.concatenate(parts) for parts in zip(*halves, strict=True))
    found = answers.calibration(labels, shares)
    assert found is not None
    assert found.title == "Probabilities that do not fit"
    assert "75.0%, and 75.0% are right" in found.text


def test_soft_targets_are_named_where_there_are_some() -> None:
    def advice(training: dict[str, float]) -> str:
        labels, shares = answered(0.7, 0.8, 1000)
        config = {"training": training, "model": {"weights": "imagenet"}}
        found = diagnosis.diagnose(
            classes=list("abcdefghij"), labels=labels, probabilities=shares, config=config
        )
        return next(one.advice for one in found if one.title == "Under-confident")

    assert advice({"label_smoothing": 0.0, "mixup": 0.0}) == (
        "It was probably trained too short, or an early epoch was kept."
    )
    assert "soft (training.mixup), or" in advice({"label_smoothing": 0.0, "mixup": 0.2})


@pytest.mark.parametrize(("count", "seen"), [(300, True), (450, False)])
def test_too_small(count: int, seen: bool) -> None:
    """Of accuracy 0.5 the interval is about 1.96 / sqrt(n) wide: 0.113, 0.092."""
    labels = np.arange(count) % 2
    assert (answers.too_small(labels, np.zeros(count, int)) is not None) == seen


def test_nothing_conspicuous() -> None:
    labels, shares = answered(0.99, 0.99, 1000)
    labels[:] = np.arange(1000) % 2
    shares = np.where(labels[:, None] == [0, 1], 0.99, 0.01)
    wrong = np.arange(0, 1000, 100)
    shares[wrong] = shares[wrong, ::-1]
    good = rows(
        train_loss=[0.6, 0.3, 0.2, 0.15, 0.14],
        val_loss=[0.6, 0.32, 0.22, 0.18, 0.179],
        val_accuracy=[0.7, 0.9, 0.95, 0.97, 0.97],
    )
    found = diagnosis.diagnose(
        classes=["cat", "dog"], phases={"train": good}, train_counts=[500, 500],
        validation_images=200, labels=labels, probabilities=shares, dead={"block1": (0, 32)},
    )  # fmt: skip
    assert found == []
    assert diagnosis.NOTHING == "Nothing conspicuous."
    assert diagnosis.diagnose(classes=[]) == []


def test_a_finding_names_its_phase_and_what_is_on_is_not_advised() -> None:
    over = rows(train_loss=[1, 0.8, 0.6, 0.4, 0.3, 0.2], val_loss=[1, 0.8, 0.7, 0.8, 0.9, 1.0])
    config = {
        "augmentation": {"_target_": "cnnexp.augmentations.crop_flip.CropFlip"},
        "training": {"mixup": 0.0, "label_smoothing": 0.1, "early_stopping": None},
        "optimizer": {"lr": "no number"},
    }
    (found,) = diagnosis.diagnose(
        classes=["a", "b"], phases={"head": over, "finetune": over[3:5]}, config=config
    )
    assert found.title == "Over-fitting from epoch 3, phase head"
    assert found.overrides == ("training.mixup=0.2", "training.early_stopping=5")
    assert untried(["model.norm=batch", "debug=overfit"], {"model": {}}) == ("debug=overfit",)
    assert Finding("A", "b.", "Try:", ("c=1",)).line == "A: b. Try: c=1"


def test_every_advised_override_exists() -> None:
    """Composed and checked as on the command line."""
    source = "".join(
        Path(module.__file__ or "").read_text() for module in (accuracies, diagnosis, training)
    )
    fixed = set(re.findall(r'(?<!f)"([a-z_.]+=[^"]+)"', source))
    made = {"optimizer.lr=0.001", "dataset.batch_size=64", "trainer.max_epochs=10"}
    assert len(fixed) > 8
    for override in fixed | made:
        compose([override])


def test_advice_whose_keys_the_config_lacks_ends_as_a_sentence() -> None:
    config = {"model": {"_target_": "cnnexp.models.torchvision.torchvision"}}
    (one,) = diagnosis.diagnose(classes=["a", "b"], dead={"block5": (60, 512)}, config=config)
    assert one.overrides == ()
    assert one.line.endswith("wider than it need be.")


def test_answers_of_one_class_are_told_after_few_steps() -> None:
    found = answers.one_answer(np.array([1, 1, 1]), ["cat", "dog"])
    assert found is not None
    assert found.text.startswith("All 3 answers are dog")
    assert answers.one_answer(np.array([1, 0]), ["cat", "dog"]) is None


@pytest.mark.parametrize(
    ("norms", "said"),
    [
        ([0.4, *[1e-8] * 12], ""),  # as everything is learned after a few steps
        ([0.4, *[1e-8] * 5, 0.3, *[1e-8] * 6], ""),
        ([0.4, *[0.3] * 12, 90], "norm is 90 at step 140; usual is 0.4"),
        ([50, *[0.3] * 12, 900], "norm is 9e+02 at step 140; usual is 1:"),
        ([1e6, *[1e-8] * 12], "norm is 1e+06 at step 10; usual is 1"),
        ([float("nan"), *[0.3] * 12], "norm is inf at step 10; usual is 0.3"),
        ([float("inf")] * 12, ""),  # it has diverged, and the run's end says so
        ([0.4, 0.3, 90], ""),  # too few to know what is usual
    ],
)
def test_exploding_gradients(norms: list[float], said: str) -> None:
    found = training.exploding([(10 * step, norm) for step, norm in enumerate(norms, start=1)])
    assert bool(found) == bool(said)
    assert found is None or said in found.text
