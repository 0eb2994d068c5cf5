"""task=lr_find: which rates it suggests, and that it trains nothing."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_lightning.tuner.lr_finder import _LRCallback

import cnnexp
from cnnexp.reporting.rate_range import rate_curve, rate_range
from cnnexp.tasks.lr_find import unbiased

RATES = np.logspace(-6, 0, 121)


def course(steepest: float, lowest: float) -> np.ndarray:
    """Flat, falling fastest at `steepest`, lowest at `lowest`, then rising."""
    x = np.log10(RATES)
    fall = 2.3 - 1.5 / (1 + np.exp(-6 * (x - np.log10(steepest))))
    return fall + np.where(x > np.log10(lowest), 8 * (x - np.log10(lowest)) ** 2, 0.0)


@pytest.mark.parametrize(("steepest", "lowest"), [(1e-3, 3e-2), (1e-4, 1e-2), (1e-2, 1e-1)])
def test_suggestions(steepest: float, lowest: float) -> None:
    found = rate_range(RATES, course(steepest, lowest))
    assert found is not None
    assert found.steepest == pytest.approx(steepest, rel=0.15)
    assert found.lowest == pytest.approx(lowest, rel=0.3)


def test_losses_below_0() -> None:
    assert rate_range(RATES, course(1e-3, 3e-2) - 5) == rate_range(RATES, course(1e-3, 3e-2))


def test_noise_at_the_ends_is_no_fall() -> None:
    """There a line through half a decade has half as many points: it would often win."""
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0, 0.25, len(RATES))
        smooth = course(1e-2, 1e-1) + np.convolve(noise, np.ones(5) / 5, "same")
        found = rate_range(RATES, smooth)
        assert found is not None
        assert 10**0.5 * RATES[12] <= found.steepest * 1.001 <= 1.002 * found.lowest / 10**0.5


@pytest.mark.parametrize("count", [8, 9, 20, 21])
def test_a_fall_within_less_than_a_decade(count: int) -> None:
    """Of a network that diverges early: the middle of it."""
    rates = np.logspace(-3, -2.5, count)
    found = rate_range(rates, np.linspace(2.3, 1.0, count))
    assert found is not None
    assert rates[count // 3] <= found.steepest <= rates[-count // 4]
    assert found.lowest == pytest.approx(rates[-1])


def test_what_is_not_finite_is_left_out() -> None:
    losses = course(1e-3, 3e-2)
    losses[-5:], losses[40] = np.inf, np.nan
    found = rate_range(RATES, losses)
    assert found is not None
    assert found.steepest == pytest.approx(1e-3, rel=0.15)


def test_the_finder_s_averages_without_their_bias() -> None:
    """Of one and the same loss, and of losses that change."""
    for losses in ([2.3] * 150, np.random.default_rng(0).uniform(0.5, 3, 150).tolist()):
        finder = _LRCallback(150, early_stop_threshold=None)
        for step, loss in enumerate(losses, start=1):
            trainer = SimpleNamespace(
                fit_loop=SimpleNamespace(batch_idx=step - 1), accumulate_grad_batches=1,
                global_step=step, should_stop=False,
                strategy=SimpleNamespace(broadcast=lambda said: said),
            )  # fmt: skip
            finder.on_train_batch_end(trainer, None, torch.tensor(loss), None, step - 1)
        found = unbiased(finder.losses)
        back = 0.98 ** np.arange(150)
        wanted = [np.average(losses[:n], weights=back[:n][::-1]) for n in range(1, 151)]
        assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("losses", [np.full(121, 2.3), np.linspace(2.3, 9, 121), [2.3] * 3])
def test_no_rate_is_no_suggestion(losses: np.ndarray) -> None:
    assert rate_range(RATES[: len(losses)], losses) is None
    picture = rate_curve(RATES[: len(losses)].tolist(), list(losses), 1e-3)
    assert "does not fall" in picture.alt


def test_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("cnnexp.tasks.lr_find.HIGHEST", 1e4)  # so small a network bears much
    typed = ["model.widths=[[8],[8]]", "model.dense=[]", "optimizer=sgd"]
    result = cnnexp.run(["task=lr_find", *typed])
    out, err = capsys.readouterr()
    assert re.search(r"\nended     at [^:]+: the loss was over 4 times its lowest\n", out)
    assert 1e-6 < result.metrics["steepest"] < result.metrics["lowest"] < 10
    assert result.folder is not None
    assert (result.folder / "figures" / "lr_find.png").is_file()
    assert (
        "next      python -m cnnexp 'model.widths=[[8],[8]]' 'model.dense=[]' optimizer=sgd "
        f"optimizer.lr={result.metrics['steepest']:.2g}\n"
    ) in out
    assert "Finding best" not in err, "a bar is for terminals"
    assert not list(tmp_path.glob("**/*.ckpt"))
    assert not (tmp_path / "mlflow.db").exists()


def test_a_kink_of_a_few_batches_is_no_fall() -> None:
    """It is steeper than the fall, and much shorter."""
    rates = np.logspace(-6, 0, 121)
    x = np.log10(rates)
    fall = 2.0 - 0.5 * np.clip((x + 4) / 2.5, 0, 1)  # from 1e-4 to 3e-2, 0.2 a decade
    kink = 0.03 * np.exp(-(((x + 5.2) / 0.05) ** 2))
    found = rate_range(list(rates), list(fall + kink + 0.2 * np.clip(x + 1, 0, None)))
    assert found is not None
    assert 2e-4 < found.steepest < 2e-2
