"""Diagnosis in plain words: what is conspicuous in a run, and what to try."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cnnexp.config.loss_options import SOFTENS, own_loss
from cnnexp.config.overlay import laid_over, rate_key
from cnnexp.reporting.diagnosis import accuracies, answers, training
from cnnexp.reporting.diagnosis.finding import Finding, narrowed
from cnnexp.reporting.json_values import at, mapping, number
from cnnexp.reporting.statistics import accuracy_interval

NOTHING = "Nothing conspicuous."
MAX_EPOCHS = "trainer.max_epochs"  # of each phase
LAGGING = 50  # steps; then 0.9^50, half a percent, is left of the start of batch norm's averages
LEARNED = 0.9  # of training or validation images: that is off the start
APART = 0.3  # of training and validation accuracy; over-fitting so far takes more steps than that
SMOKE = Finding(
    "A smoke run",
    "One epoch on few images shows that everything works, and nothing of how well.",
    "Leave out debug=smoke.",
)


def diagnose(
    *,
    classes: Sequence[str],
    phases: Mapping[str, training.Rows] | None = None,
    gradients: Sequence[tuple[int, float]] = (),
    train_counts: Sequence[int] = (),
    validation_images: int = 0,
    labels: np.ndarray | None = None,
    probabilities: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    dead: Mapping[str, tuple[int, int]] | None = None,
    config: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """All findings; none: `NOTHING`. What isn't given isn't looked at.

    phases: name -> a row per epoch. gradients: (step, norm). train_counts: training images per
    class. labels: (N,) of the test images, probabilities: (N, K), clusters: (N,) of those that
    belong together. dead: block -> (dead channels, all). config: the run's; what it has already
    isn't advised.
    """
    config = config or {}
    typed = [str(line).lstrip("+") for line in config.get("overrides") or ()]
    if "debug=smoke" in typed:
        return [SMOKE]
    if "debug=overfit" in typed:
        return [by_heart([row for rows in (phases or {}).values() for row in rows])]
    batch = number(at(config, "dataset", "batch_size"))
    drawn = at(config, "model", "weights") is None and not config.get("init_from")
    several = len(phases or {}) > 1
    found: list[Finding] = []
    last_rows = list((phases or {"": ()}).values())[-1]
    reached = max((number(row.get("val/accuracy")) or 0.0 for row in last_rows), default=0.0)
    if labels is not None and probabilities is not None:
        right, looked_at = float((probabilities.argmax(1) == labels).sum()), len(labels)
    else:  # without a test, as a search's trials
        right, looked_at = reached * validation_images, validation_images
    early = too_few_steps(phases or {}, train_counts, batch, round(right), looked_at, typed, config)
    most = max(train_counts, default=0) / max(sum(train_counts), 1)
    # Stopped after a few steps of an epoch, its loss is a mean from when it knew nothing.
    learned = bool(looked_at and most) and accuracy_interval(round(right), looked_at)[0] > most
    other = own_loss(mapping(config.get("training")))  # not in nats: chance has another one
    for name, rows in (phases or {}).items():
        last = name == list(phases or {})[-1]
        key, rate = rate_of(config, name)
        longer = length(name, len(rows), typed, config)
        noticed = [
            training.not_finite(rows, rate),
            training.far_off(rows, len(classes), rate) if last and not other else None,
            None
            if early or not last or learned or other
            else training.stuck(rows, len(classes), rate, before=several),
            None if early else training.over_fitting(rows),
            training.still_improving(rows, *longer, images=validation_images, one_loss=not other)
            if last and not early  # which advises to train longer, too
            else None,
            training.swinging(rows, rate, batch, validation_images),
            accuracies.contradiction(rows, validation_images),
        ]
        found += [
            replace(one, title=f"{one.title}, phase {name}") if several else one
            for one in (of_rate(one, key) for one in noticed if one)
        ]
    noticed = [
        training.exploding(gradients, rate_of(config)[1]),
        worse_than_before(phases or {}, validation_images, config),
        None if early and drawn else dead_channels(dead or {}),
    ]
    monitor = at(config, "training", "monitor") or "val/accuracy"
    few = answers.chosen_by_few(reached, validation_images, monitor) if len(last_rows) > 1 else None
    # One of them says what is to choose the epoch.
    lines = [line for one in [*found, few] if one for line in one.overrides]
    named = any(line.startswith("training.monitor=") for line in lines)
    weighed = at(config, "training", "class_weights") is not None
    by_f1 = monitor == "val/accuracy" and not named
    noticed += [answers.imbalance(train_counts, classes, weighed=weighed, by_f1=by_f1), few]
    if labels is not None and probabilities is not None and len(labels):
        predictions = probabilities.argmax(1)
        noticed += [answers.too_small(labels, predictions, clusters)]
        if early:
            noticed.insert(0, answers.one_answer(predictions, classes))
        else:  # what its answers are like says nothing sooner
            noticed += [
                answers.never_predicted(labels, predictions, classes),
                answers.no_better_than_one_class(labels, predictions, train_counts, classes),
                answers.calibration(labels, probabilities, softened_by(config)),
            ]
    noticed.insert(0, early)
    found += [one for one in noticed if one]
    if len(train_counts) and max(train_counts) < 1.5 * min(train_counts):
        found = [without_weighing(one) for one in found]  # classes are equal already
    return [narrowed(one, config) for one in found]


def by_heart(rows: training.Rows) -> Finding:
    """Of a run with debug=overfit, whose question that is."""
    best = training.series(rows, "train/accuracy")[1].max(initial=0)
    if best == 1:
        return Finding(
            "Learned by heart",
            "The network answers all training images right: its code, the loss and the labels are "
            "in order. What it does on others says nothing here.",
            "Leave out debug=overfit.",
        )
    return Finding(
        "Not learned by heart",
        f"The network answers {best:.0%} of a handful of training images right at best: its code, "
        "the labels or the rate are at fault.",
        "Look at the images with task=data, for a rate with task=lr_find.",
    )


def rate_of(config: Mapping[str, Any], phase: str = "") -> tuple[str, float | None]:
    """The key that sets the phase's rate, and the rate."""
    own = mapping(at(config, "phases", phase, "optimizer"))
    return rate_key(phase, own), number(laid_over(mapping(config.get("optimizer")), own).get("lr"))


def softened_by(config: Mapping[str, Any]) -> list[str]:
    """Keys of the training that are on and keep its targets from being sure."""
    return [f"training.{key}" for key in SOFTENS if number(at(config, "training", key))]


def of_rate(finding: Finding, key: str) -> Finding:
    """Its advice on the rate with the key that sets it."""
    own = tuple(re.sub(r"^optimizer\.lr=", f"{key}=", line) for line in finding.overrides)
    return replace(finding, overrides=own)


def worse_than_before(
    phases: Mapping[str, training.Rows], images: int, config: Mapping[str, Any]
) -> Finding | None:
    """Of the last phase, whose network is the run's."""
    *before, name = phases or ("",)
    scale = ((config.get("phases") or {}).get(name) or {}).get("lr_scale", 1.0)
    return accuracies.worse_than_before(
        name,
        phases.get(name, ()),
        {one: phases[one] for one in before},
        images,
        scale if isinstance(scale, int | float) else None,
    )


def too_few_steps(
    phases: Mapping[str, training.Rows],
    train_counts: Sequence[int],
    batch: float | None,
    right: int,
    images: int,
    typed: Sequence[str],
    config: Mapping[str, Any],
) -> Finding | None:
    """Fewer than 100 steps, a tenth or more of the images wrong, and an accuracy, `right` of so
    many images, whose 95% interval reaches down to 1.5 times the most frequent class's share
    (twice, with fewer than 30 steps): nothing else can be told from that.

    Batch norm's running averages, which validation and test use, keep 0.9 of their start in each
    step: a third of it is left after 10 steps, a tenth after 22, while the maps themselves still
    change fastest. Where validation is far behind training, too, fewer than 50 steps are too few.
    """
    epochs = sum(len(rows) for rows in phases.values())
    last_rows = list(phases.values())[-1] if phases else ()
    if not epochs or not batch or not sum(train_counts) or not images:
        return None
    limit = at(config, "trainer", "limit_train_batches")
    each = steps_of_epoch(sum(train_counts), batch, limit)
    low, _ = accuracy_interval(right, images)
    classes = len(train_counts)
    if any(training.rising(rows) or training.far_off(rows, classes) for rows in phases.values()):
        return None  # more steps of that size lead nowhere
    much = 2 if each * epochs < 30 else 1.5  # batch norm's averages lag by so much
    _, right_in, right_out = training.series(last_rows, "train/accuracy", "val/accuracy")
    norm = at(config, "model", "norm")  # None: nobody says
    lags = (
        norm in (None, "batch")
        and each * epochs < LAGGING
        and any(right_in[-1:] - right_out[-1:] > APART)
    )
    major = max(train_counts) / sum(train_counts)
    learned = max([0, *right_in[-1:], *right_out[-1:]]) > max(LEARNED, (1 + major) / 2)
    enough = each * epochs >= 100 or learned or low > much * major
    if enough and not lags:
        return None
    key, _ = length(list(phases)[-1], epochs, typed, config)
    steps = "one step" if each * epochs == 1 else f"{each * epochs} steps"
    seen = (
        f"Training accuracy is {right_in[-1]:.0%} at the end, validation accuracy "
        f"{right_out[-1]:.0%}, after {steps}: a few images are learned by heart, or"
        if lags
        else f"The network has made {steps}: that is hardly off the start, and"
    )
    return Finding(
        "Too few steps",
        f"{seen} the averages that batch norm uses in validation and test"
        f"{'' if norm == 'batch' else ', if it has some,'} lag behind.",
        "Train longer before anything else is judged:",
        (f"{key}={math.ceil(300 / each / (len(phases) if key == MAX_EPOCHS else 1))}",)
        if limit is None
        else ("trainer.limit_train_batches=null",),
    )


def steps_of_epoch(images: int, batch: float, limit: Any) -> int:
    """limit: trainer.limit_train_batches, a number of batches or a share of them."""
    whole = math.ceil(images / batch)
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        return whole
    return max(1, min(whole, limit) if isinstance(limit, int) else int(whole * limit))


def length(
    name: str, epochs: int, typed: Sequence[str], config: Mapping[str, Any]
) -> tuple[str, tuple[str, int] | None]:
    """The key by which this command says how many epochs a phase has; key and value of the early
    stopping that has ended it after fewer.
    """
    phases = config.get("phases") or {}
    phase, most = phases.get(name) or {}, (config.get("trainer") or {}).get("max_epochs")
    own = f"phases.{name}.epochs"
    named = any(line.startswith(f"{own}=") for line in typed)
    key = own if named or (len(phases) > 1 and most is None) else MAX_EPOCHS
    wanted = most or phase.get("epochs") or 0
    waits = phase.get("early_stopping") or (config.get("training") or {}).get("early_stopping")
    if not waits or epochs >= wanted:
        return key, None
    return key, (f"phases.{name}.early_stopping", int(waits))


def without_weighing(finding: Finding) -> Finding:
    left = tuple(o for o in finding.overrides if not o.startswith("training.class_weights"))
    advice = finding.advice.replace(", and weigh classes equally", "")
    advice = advice.replace("Weigh classes equally, and look", "Look")
    return replace(finding, overrides=left, advice=advice)


def dead_channels(dead: Mapping[str, tuple[int, int]]) -> Finding | None:
    """Blocks with a tenth of their channels dead. Fewer are usual with ReLU and cost little; from
    a tenth on a narrower block would do the same.
    """
    bad = {name: pair for name, pair in dead.items() if pair[1] and pair[0] >= 0.1 * pair[1]}
    if not bad:
        return None
    which = ", ".join(f"{n} of {total} in {name}" for name, (n, total) in bad.items())
    return Finding(
        "Dead channels",
        f"{which} give the same value everywhere in all images that were looked at.",
        "Smaller steps keep channels alive, another activation cannot die, or the block is wider "
        "than it need be:",
        ("model.activation=leaky_relu",),
    )
