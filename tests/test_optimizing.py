"""Optimizers and schedules of one's own, tried before the run begins."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from cnnexp.config.compose import compose, user_folder
from cnnexp.errors import InputError
from cnnexp.execution import checked
from cnnexp.experiment import build_network
from cnnexp.plan import plan_phases

OWN = """
import torch
from torch.optim.lr_scheduler import LRScheduler


class Plain(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})
        self.momenta = {}

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure()
        self.update()
        return loss

    def update(self):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["seen"] = 1
                p -= group["lr"] * p.grad


class Forgets(Plain):
    def update(self):
        for group in self.param_groups:
            for p in group["params"]:
                self.momenta[p] = 0.9 * self.momenta.get(p, 0.0) + p.grad
                p -= group["lr"] * self.momenta[p]


class Remembers(Plain):
    def update(self):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["m"] = 0.9 * self.state[p].get("m", 0.0) + p.grad
                p -= group["lr"] * self.state[p]["m"]


class Slows(Plain):
    count = 0

    def update(self):
        self.count += 1
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad / self.count


class Noisy(Plain):  # Langevin's
    def update(self):
        super().update()
        for group in self.param_groups:
            for p in group["params"]:
                p += 0.1 * torch.randn_like(p)


class Counts(Plain):
    count = 0

    def update(self):
        self.count += 1
        super().update()


class Deaf(Plain):
    def step(self, closure=None):
        return None


class NoSuper(Plain):
    def __init__(self, params, lr: float = 0.1) -> None:
        self.lr = lr


class Fails(Plain):
    def update(self):
        raise KeyError("p")


class Falls(LRScheduler):
    def __init__(self, optimizer, low: float = 0.0, last_epoch: int = -1) -> None:
        self.low = low
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base * max(self.low, 1 - self.last_epoch / 4) for base in self.base_lrs]


class Lonely(Falls):
    def __init__(self, optimizer) -> None:
        pass


class OneRate(Falls):
    def get_lr(self):
        return 0.1


class Unwritten(LRScheduler):
    pass
"""


def planned(tmp_path: Path, *typed: str, optimizer: str = "", scheduler: str = "") -> Any:
    (tmp_path / "own.py").write_text(OWN)
    for group, target in (("optimizer", optimizer), ("scheduler", scheduler)):
        (tmp_path / group).mkdir(exist_ok=True)
        node = f"# Own.\n_target_: {target or 'own.Plain'}\n"
        node += "lr: 0.1\n" if group == "optimizer" else ""
        (tmp_path / group / "own.yaml").write_text(node)
    words = [f"{group}=own" for group, target in
             (("optimizer", optimizer), ("scheduler", scheduler)) if target]  # fmt: skip
    composed = compose(["model=lenet5", *words, *typed], user_folder(tmp_path))
    config = checked(composed.config, composed.overrides)
    return plan_phases(config, build_network(config, 10))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("own.Plain", None),
        ("own.Forgets", r"Forgets keeps what it has learned where no checkpoint has it"),
        ("own.Slows", r"Slows keeps what it has learned where no checkpoint has it"),
        ("own.Counts", None),  # for a person to look at
        ("own.Remembers", None),
        ("own.Noisy", None),
        ("own.Deaf", r"the step of Deaf does not call the closure that it is given"),
        ("own.NoSuper", r"NoSuper has no param_groups; its __init__ begins with super\(\)"),
        ("torch.optim.SGD", None),
    ],
)
def test_an_optimizer(target: str, said: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) if said else nullcontext():
        planned(tmp_path, optimizer=target)


def test_what_an_optimizer_raises_names_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError) as caught:
        planned(tmp_path, optimizer="own.Fails")
    assert caught.value.__notes__ == ["raised by the optimizer of phase train"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["scheduler.low=0.1"], None),
        (["scheduler.low=-9"], r"it gives the rate -0\.025; a rate is a number of at least 0"),
        (["scheduler.low=-9", "trainer.max_epochs=4"], None),
    ],
)
def test_the_rates_of_a_schedule(typed: list[str], said: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) if said else nullcontext():
        planned(tmp_path, *[f"+{word}" if "low" in word else word for word in typed],
                optimizer="own.Plain", scheduler="own.Falls")  # fmt: skip


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("own.Lonely", r"Lonely has no optimizer; its __init__ ends with super\(\)"),
        ("own.OneRate", r"phase train, scheduler: own\.py line \d\d: 'float' object is not iter"),
    ],
)
def test_a_schedule_that_is_half_written(target: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        planned(tmp_path, scheduler=target)


def test_what_a_schedule_raises_names_it(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError) as caught:
        planned(tmp_path, scheduler="own.Unwritten")
    assert "raised by scheduler._target_=own.Unwritten" in caught.value.__notes__


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ("{_target_: torch.optim.lr_scheduler.CosineAnnealingLR, T_max: 7}", None),
        ("{_target_: torch.optim.lr_scheduler.OneCycleLR}", None),
        ("{_target_: torch.optim.lr_scheduler.OneCycleLR, total_steps: 9}", "for the whole phase"),
        ("{_target_: torch.optim.lr_scheduler.OneCycleLR, max_lr: 1.0}", "filled in by the"),
        (
            "{_target_: torch.optim.lr_scheduler.CyclicLR, base_lr: 0.01, max_lr: 0.1}", None,
        ),
    ],
)  # fmt: skip
def test_lengths_and_rates_that_are_given(scheduler: str, said: str | None, tmp_path: Path) -> None:
    (tmp_path / "phases").mkdir()
    (tmp_path / "phases" / "own.yaml").write_text(
        f"# Own.\ntrain:\n  trainable: all\n  epochs: 2\n  scheduler: {scheduler}\n"
    )
    with pytest.raises(InputError, match=said) if said else nullcontext():
        planned(tmp_path, "phases=own", "optimizer=sgd")
