"""A run and one that was to repeat it: equal to the bit, or how far apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from cnnexp.reporting.predictions import Predictions, read_predictions
from cnnexp.tracking.metrics_file import read_metrics
from cnnexp.training.checkpoints import network_state

TIMED = ("train_s", "images_per_s")  # of metrics.csv: never the same
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Part:
    """count: how many values of this name were compared. apart: how far they are, "" where they are
    equal to the bit. difference: the largest.
    """

    name: str
    count: int
    apart: str = ""
    difference: float = 0.0


def compare_parts(
    before: Path, again: Path, phases: Sequence[str], classes: Sequence[str]
) -> list[Part]:
    """Folders of two runs: weights of each phase's best epoch, all metrics but times, what was
    answered on the test images.
    """
    weights = []
    for phase in phases:
        best = Path("checkpoints", phase, "best.ckpt")
        weights.append(compare_weights(before / best, again / best, phase))
    return [
        *weights,
        compare_metrics(read_metrics(before), read_metrics(again)),
        compare_answers(*(answers(folder, classes) for folder in (before, again))),
    ]


def compare_weights(before: Path, again: Path, phase: str) -> Part:
    old, new = network_state(before), network_state(again)
    name = f"weights and statistics after {phase}"
    count = sum(tensor.numel() for tensor in old.values())
    moved = {
        key: float((new[key].double() - old[key].double()).abs().max())
        for key in old
        if not torch.equal(new[key], old[key])
    }
    if not moved:
        return Part(name, count)
    worst = max(moved, key=moved.__getitem__)
    return Part(name, count, f"up to {moved[worst]:.2g} apart, in {worst}", moved[worst])


def compare_metrics(before: Rows, again: Rows) -> Part:
    old, new = (
        [(row["step"], row["metric"], row["value"]) for row in side if row["metric"] not in TIMED]
        for side in (before, again)
    )
    if old == new:
        return Part("metrics", len(old))
    nothing = ("", "", "nothing")
    was, now = next((a, b) for a, b in zip_longest(old, new, fillvalue=nothing) if a != b)
    known = {row[:2]: float(row[2]) for row in old}
    apart = [abs(float(value) - known.get((step, name), math.inf)) for step, name, value in new]
    step, name, _ = was if was != nothing else now
    text = f"first at step {step}: {name} was {was[2]} and is {now[2]}"
    return Part("metrics", len(old), text, max(apart, default=math.inf))


def compare_answers(before: Predictions, again: Predictions) -> Part:
    if before.paths != again.paths:
        return Part("predictions", len(before.paths), "of other images", math.inf)
    pairs = zip(before.predictions, again.predictions, strict=True)
    other = sum(old != new for old, new in pairs)
    apart = float(np.abs(before.probabilities - again.probabilities).max(initial=0))
    if not other and not apart:
        return Part("predictions", len(before.paths))
    text = f"{other:,} other ones, probabilities up to {apart:.2g} apart"
    return Part("predictions", len(before.paths), text, apart)


def answers(folder: Path, classes: Sequence[str]) -> Predictions:
    """None of none where the run was not tested."""
    path = folder / "predictions.csv"
    if not path.exists():
        return Predictions([], [], [], np.empty((0, len(classes)), np.float32))
    return read_predictions(path, classes)
