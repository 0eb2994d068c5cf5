"""task=lr_find: the loss at rising learning rates, and a rate to try; nothing is trained."""

import io
import math
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.tuner.tuning import Tuner

from cnnexp.config.arguments import to_type
from cnnexp.config.overlay import laid_over, rate_key
from cnnexp.experiment import build_batches
from cnnexp.files import shown_path
from cnnexp.reporting.journal import Journal
from cnnexp.reporting.picture import save_pictures
from cnnexp.reporting.rate_range import rate_curve, rate_range
from cnnexp.reporting.run_report.words import target
from cnnexp.runs import Result, create_run_folder
from cnnexp.start import begin
from cnnexp.train_phase import build_classifier, make_trainer
from cnnexp.training.fit import quiet_lightning

LOWEST, HIGHEST = 1e-6, 10.0  # rates, on a logarithmic scale between
STEPS = 150
KEPT = 0.98  # of the averaged loss, at each step: the finder's `beta`
DIVERGED = 4.0  # the test ends where the loss is so many times its lowest


def lr_find(config: Mapping[str, Any]) -> Result:
    """For the run's first phase; all blocks that it trains get the same rate."""
    with Journal() as journal:
        network, (phase, *_), images = begin(config, journal)
        batches = build_batches(config, images, "train", seed=config["seed"])
        classifier = build_classifier(
            config, network, images, phase, seed=config["seed"], first_epoch=0, cached=False
        )
        own = config["phases"][phase.name]["optimizer"]
        key = rate_key(phase.name, own)
        optimizer = target(laid_over(config["optimizer"], own))
        journal.topic("testing", f"{STEPS} steps of {optimizer}, from {LOWEST:g} to {HIGHEST:g}")
        rates, losses = range_test(config, classifier, batches)
        if len(rates) < STEPS:
            journal.topic(
                "ended", f"at {rates[-1]:.2g}: the loss was over {DIVERGED:g} times its lowest"
            )
        picture = rate_curve(rates, losses, phase.optimization.lr)
        folder = create_run_folder(Path(config["paths"]["outputs"]) / "lr_find", config["name"])
        (path,) = save_pictures({"lr_find": picture}, folder / "figures")
        found = rate_range(rates, losses)
        if found is None:
            journal.topic("found", "no rate at which the loss falls: look at the curve")
        else:
            journal.topic(
                "found", f"steepest fall at {found.steepest:.2g}, lowest loss at {found.lowest:.2g}"
            )
        journal.topic("saved", shown_path(path))
        if found is not None:
            replaced = ("task=", f"{key}=")
            typed = [o for o in config["overrides"] if not o.lstrip("+").startswith(replaced)]
            journal.topic("next", to_type(*typed, f"{key}={found.steepest:.2g}"))
    return Result(found._asdict() if found else {}, folder)


def range_test(
    config: Mapping[str, Any], classifier: Any, batches: Any
) -> tuple[list[float], list[float]]:
    """(rates, smoothed losses) of up to STEPS steps, by Lightning's finder.

    The classifier's weights are as before afterwards.
    """
    with tempfile.TemporaryDirectory() as folder, quiet_lightning():
        warnings.filterwarnings("ignore", ".*no `val_dataloader`.*")
        epochs = math.ceil(STEPS / len(batches))
        # Each step has a rate of its own, and the finder counts batches.
        one = {**config, "trainer": {**config["trainer"], "accumulate_grad_batches": 1}}
        trainer = make_trainer(one, epochs, Path(folder), logger=False, enable_checkpointing=False)
        # A loss of one's own may be below 0, where no multiple of the lowest is above it.
        stop = None if isinstance(config["training"]["loss"], Mapping) else DIVERGED
        # Lightning's bar would fill a log.
        quiet = nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())
        with quiet:
            finder = Tuner(trainer).lr_find(
                classifier, train_dataloaders=batches, min_lr=LOWEST, max_lr=HIGHEST,
                num_training=STEPS, early_stop_threshold=stop, update_attr=False,
            )  # fmt: skip
    assert finder is not None
    return list(finder.results["lr"]), unbiased(finder.results["loss"])


def unbiased(averages: Sequence[float]) -> list[float]:
    """The finder's averages, whose weights fall by 0.98 with each step back, divided by the sum of
    the weights; it divides by that of one step more (Lightning 2.6): the first ones by twice it.
    """
    steps = np.arange(1, len(averages) + 1)
    factors = (1 - KEPT ** (steps + 1)) / (1 - KEPT**steps)
    return list((np.asarray(averages, float) * factors).tolist())
