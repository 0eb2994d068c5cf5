"""On a GPU: what no machine without one can show. Skipped where there is none."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import cnnexp
from cnnexp import experiment
from cnnexp.runs import Result
from cnnexp.training.classifier import Classifier

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

SHORT = ["dataset=shapes", "dataset.images=600", "dataset.image_size=32", "dataset.batch_size=64",
         "trainer.max_epochs=2", "visualization=none", "tracking=none",
         "augmentation=crop_flip"]  # fmt: skip
FAST = [*SHORT, "model=fast", "optimizer=sgd", "training.ema=0.9", "training.label_smoothing=0.2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("precision", ["auto", "16-mixed", "32-true"])
@pytest.mark.parametrize("more", [FAST, [*SHORT, "model=baseline", "training.mixup=0.2"]],
                         ids=["fast", "baseline"])  # fmt: skip
def test_each_precision_trains_and_clips(precision: str, more: list[str]) -> None:
    words = [*more, f"trainer.precision={precision}", "trainer.gradient_clip_val=1.0"]
    assert cnnexp.run(words).metrics["test/accuracy"] > 0.2


def test_a_step_does_not_wait_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """But where it logs. What waits is warned of by torch itself."""
    step, watched = Classifier.training_step, []

    def looked_at(self: Classifier, batch: Any, batch_idx: int) -> torch.Tensor:
        torch.cuda.set_sync_debug_mode("warn" if 12 <= batch_idx < 15 else "default")
        watched.append(batch_idx)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", looked_at)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            words = ["trainer.log_every_n_steps=100", "training.test=false", "dataset.images=2000"]
            cnnexp.run([*FAST, *words])
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert max(watched) > 15
    waited = [w for w in caught if "called a synchronizing" in str(w.message)]
    assert [f"{w.filename}:{w.lineno}" for w in waited] == []


def test_images_that_stay_on_the_cpu_train_the_same(
    monkeypatch: pytest.MonkeyPatch, validation_losses: Callable[[Result], list[float]]
) -> None:
    there = cnnexp.run([*SHORT, "model=lenet5"])
    monkeypatch.setattr(experiment, "on_device", lambda images, labels, device: (images, labels))
    here = cnnexp.run([*SHORT, "model=lenet5"])
    assert validation_losses(here) == pytest.approx(validation_losses(there), rel=0.02)


def test_a_deterministic_run_repeats(
    validation_losses: Callable[[Result], list[float]],
) -> None:
    words = [*FAST, "trainer.deterministic=true"]
    assert validation_losses(cnnexp.run(words)) == validation_losses(cnnexp.run(words))


def test_all_gpus_of_this_machine() -> None:
    command = [sys.executable, "-m", "cnnexp", "trainer=ddp", *SHORT, "model=lenet5"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "test      accuracy" in ran.stdout
