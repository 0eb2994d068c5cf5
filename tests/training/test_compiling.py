"""training.compile: the steps of training by torch.compile."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch._inductor import config as inductor

import cnnexp
from cnnexp.errors import InputError
from cnnexp.runs import Result

SHORT = ["dataset=shapes", "dataset.images=300", "dataset.image_size=32", "dataset.batch_size=64",
         "model=lenet5", "trainer.max_epochs=2", "trainer.precision=32-true", "visualization=none",
         "tracking=none", "training.test=false"]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_network_learns_the_same(
    mode: str, validation_losses: Callable[[Result], list[float]]
) -> None:
    torch._dynamo.utils.counters.clear()
    compiled = cnnexp.run([*SHORT, f"training.compile={mode}"])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    plain = cnnexp.run(SHORT)
    found, expected = validation_losses(compiled), validation_losses(plain)
    assert len(found) == 2
    assert found == pytest.approx(expected, rel=0.02)


def test_where_torch_cannot_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """No C++ compiler, say: one line, whose key is named."""
    monkeypatch.setattr(inductor.cpp, "cxx", ("/nowhere/c++",))
    monkeypatch.setattr(inductor, "force_disable_caches", True)
    words = [*SHORT, "trainer.accelerator=cpu", "training.compile=default"]
    with pytest.raises(InputError, match=r"^training\.compile: torch cannot compile .*; use "):
        cnnexp.run(words)
