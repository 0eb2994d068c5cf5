"""What a run says of its plan before it trains."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cnnexp.config.compose import compose, user_folder
from cnnexp.config.own_folder import allow_folder
from cnnexp.errors import InputError
from cnnexp.execution import checked
from cnnexp.experiment import build_network
from cnnexp.plan import model_name, plan_phases
from cnnexp.plan_notes import (
    after_all,
    frozen_as_drawn,
    plan_notes,
    rate_of_another,
    views_of_none,
)
from cnnexp.schedule import build_scheduler, by_epoch
from cnnexp.training.optimization import parameter_groups

EXPERIMENT = "experiment=cifar10_baseline"  # SGD at 0.07


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], ""),
        ([EXPERIMENT], ""),
        ([EXPERIMENT, "optimizer.lr=0.2"], ""),
        ([EXPERIMENT, "optimizer=adamw", "optimizer.lr=0.07"], ""),
        (["optimizer=rmsprop"], ""),
        ([EXPERIMENT, "optimizer=adamw"], "adamw trains at 0.07"),
        ([EXPERIMENT, "+optimizer=adamw"], "optimizer.lr=0.001"),
        ([EXPERIMENT, "optimizer=mine"], "optimizer.lr=0.5"),
    ],
)
def test_a_rate_that_was_chosen_for_another_optimizer(
    typed: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "optimizer").mkdir()
    own = "# Mine.\n_target_: torch.optim.SGD\nlr: 5e-1\n"
    (tmp_path / "optimizer" / "mine.yaml").write_text(own)
    composed = compose(typed, user_folder(tmp_path))
    config = checked(composed.config, composed.overrides)
    line = rate_of_another(config)
    assert said in line
    assert bool(line) == bool(said)
    allow_folder(None)  # the run is gone through again where its configs are not
    assert rate_of_another(config) == (line if "optimizer=mine" not in typed else "")


def test_forms_that_nothing_draws_are_said() -> None:
    def line(*typed: str) -> str:
        composed = compose(list(typed))
        return views_of_none(checked(composed.config, composed.overrides))

    assert line("training.views=3").startswith("training.views=3: without an augmentation")
    assert line("training.views=3", "augmentation=crop_flip") == line("training.views=1") == ""


def test_early_stopping_that_cannot_act_is_said() -> None:
    """After five epochs, of which the last four were no better, an epoch is left of six."""

    def lines(*typed: str) -> list[str]:
        composed = compose(["model.widths=[[4]]", "model.dense=[]", "trainer.max_epochs=6", *typed])
        config = checked(composed.config, composed.overrides)
        network = build_network(config, 10)
        return list(plan_notes(config, network, plan_phases(config, network)))

    said = "early_stopping=5 ends nothing: train has 6 epochs"
    assert lines("training.early_stopping=5") == [said]
    assert lines("+phases.train.early_stopping=5") == [said]
    assert lines("training.early_stopping=4") == lines() == []


def test_frozen_blocks_that_nobody_trained_are_said() -> None:
    """Another run's weights, or those of the run that goes on, are no noise."""

    def line(*typed: str, resume: str | None = None) -> str:
        composed = compose(["model.widths=[[4],[4]]", "model.dense=[]", *typed])
        config = {**checked(composed.config, composed.overrides), "resume": resume}
        network = build_network(config, 10)
        return frozen_as_drawn(config, network, plan_phases(config, network))

    said = "block1, block2 are frozen with the weights that were drawn"
    assert line("phases=frozen").startswith(said)
    assert line("phases=frozen").endswith("; init_from gives trained ones")  # it takes no weights
    assert line() == ""
    assert line("phases=frozen", "init_from=0123456789ab") == ""
    assert line("phases=frozen", resume="outputs/first") == ""


def test_what_torch_refuses_is_known_before_the_run_begins() -> None:
    composed = compose(["model=lenet5", "scheduler=plateau", "scheduler.factor=2"])
    config = checked(composed.config, composed.overrides)
    with pytest.raises(InputError, match="phase train, scheduler: torch refuses it: Factor should"):
        plan_phases(config, build_network(config, 10))


class Stubborn(torch.optim.SGD):
    def step(self) -> None:  # type: ignore[override]
        super().step()


def test_what_is_no_optimizer_is_known_before_the_run_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    composed = compose(["model=lenet5"])
    config = checked(composed.config, composed.overrides)
    network = build_network(config, 10)

    def made(thing: Callable[..., object]) -> None:
        monkeypatch.setattr("cnnexp.plan.call", lambda node, key, **given: thing(given["params"]))
        plan_phases(config, network)

    with pytest.raises(InputError, match=r"optimizer\._target_ gives a dict; it must give a torch"):
        made(lambda groups: {})
    with pytest.raises(InputError, match=r"step of Stubborn takes no closure; write def step"):
        made(lambda groups: Stubborn(groups, lr=0.1))


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ([], "baseline"),
        (["model=baseline_deep"], "baseline_deep"),
        (["model=baseline_deep", "model.dropout=0.1", "model.dense=[3]"], "baseline_deep"),
        (["model.widths=[[4],[4]]"], "baseline"),
        (["model=torchvision", "model.name=resnet18"], "torchvision resnet18"),
        (["model=own"], "own"),
        (["model=large", "model.width=8"], "large"),
        (["model=lenet5"], "lenet5"),
    ],
)
def test_a_network_has_the_name_of_its_option(typed: list[str], name: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "own.py").write_text("def own(image_size: int, outputs: int, width=8): ...\n")
    (tmp_path / "model" / "own.yaml").write_text("# Own.\n_target_: own.own\n")
    for option, width in (("large", 16), ("small", 8)):
        (tmp_path / "model" / f"{option}.yaml").write_text(f"_target_: own.own\nwidth: {width}\n")
    composed = compose(typed, user_folder(tmp_path))
    assert model_name(checked(composed.config, composed.overrides)) == name


def test_phases_behind_one_that_trains_all() -> None:
    def line(*typed: str) -> str:
        composed = compose(typed)
        return after_all(checked(composed.config, composed.overrides))

    own = "+phases.second={trainable: [head], epochs: 1}"
    assert "for second without it: a file phases/<name>.yaml" in line(own)
    assert line() == line("phases=finetune") == ""


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["optimizer=adamw"], True),
        (["optimizer=adam"], True),
        (["optimizer=sgd"], True),
        (["optimizer=rmsprop"], None),  # has none
        (["optimizer=sgd", "optimizer.fused=false"], False),
        (["optimizer=adamw", "optimizer.foreach=true"], None),
    ],
)
def test_a_step_is_one_kernel_where_torch_has_it(typed: list[str], said: bool | None) -> None:
    """And makes the same step as the others, but for rounding."""
    composed = compose(["model=lenet5", *typed])
    config = checked(composed.config, composed.overrides)
    network = build_network(config, 10)
    (phase,) = plan_phases(config, network)
    own = phase.optimization
    optimizer = own.make_optimizer(parameter_groups(network, own.lr, phase.rates))
    assert optimizer.defaults.get("fused") == said
    if not said:
        return
    copy = build_network(config, 10)
    unfused = {**config, "optimizer": {**config["optimizer"], "fused": False}}
    (other,) = plan_phases(unfused, copy)
    reference = other.optimization.make_optimizer(parameter_groups(copy, own.lr, phase.rates))
    assert reference.defaults["fused"] is False
    for _ in range(3):
        for one, same in zip(network.parameters(), copy.parameters(), strict=True):
            one.grad = same.grad = torch.randn(one.shape)
        optimizer.step()
        reference.step()
    for one, same in zip(network.parameters(), copy.parameters(), strict=True):
        torch.testing.assert_close(one, same)


@pytest.mark.parametrize(
    ("name", "options", "epochs"),
    [
        ("StepLR", {"step_size": 1}, True),
        ("MultiStepLR", {"milestones": [1]}, True),
        ("ReduceLROnPlateau", {}, True),
        ("OneCycleLR", {"pct_start": 0.3}, False),
        ("CosineAnnealingLR", {"T_max": None}, False),
        ("ConstantLR", {"factor": 1.0, "total_iters": 0}, False),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0}, False),
    ],
)
def test_what_a_schedule_counts(name: str, options: dict, epochs: bool) -> None:
    assert by_epoch({"_target_": f"torch.optim.lr_scheduler.{name}", **options}) == epochs


@pytest.mark.parametrize(("given", "last"), [({}, 0.0), ({"total_iters": 8}, 0.5)])
def test_a_length_that_is_not_given_is_the_phase_s(given: dict, last: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    node = {"_target_": "torch.optim.lr_scheduler.PolynomialLR", **given}
    schedule = build_scheduler(node, optimizer, 4)
    for _ in range(4):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == pytest.approx([last])


@pytest.mark.parametrize(("start", "peak"), [(0.8, 79), (0.3, 29), (0.5, 49)])
def test_one_cycle_is_highest_where_it_is_asked_to_be(start: float, peak: int) -> None:
    rates = rates_of_one_cycle(100, pct_start=start)
    assert rates.index(max(rates)) == peak  # pct_start * total_steps - 1
    assert max(rates) == pytest.approx(1.0)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("options", [{}, {"three_phase": True, "pct_start": 0.9}, {"pct_start": 0}])
def test_one_cycle_of_a_few_steps(steps: int, options: dict) -> None:
    assert all(0 < rate <= 1 for rate in rates_of_one_cycle(steps, **options))


def rates_of_one_cycle(steps: int, **options: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    node = {"_target_": "torch.optim.lr_scheduler.OneCycleLR", **options}
    schedule, rates = build_scheduler(node, optimizer, steps), []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


def test_a_schedule_in_a_phase_is_told_its_length() -> None:
    """It is written whole there, and what it must know of the run need not be named."""
    weights = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weights], lr=1.0)
    node = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR"}
    schedule = build_scheduler(node, optimizer, 4)
    rates = []
    for _ in range(5):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    # (1 + cos(pi * step / 4)) / 2
    assert rates == pytest.approx([1.0, 0.85355, 0.5, 0.14645, 0.0], abs=1e-5)
