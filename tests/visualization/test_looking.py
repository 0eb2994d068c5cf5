"""What looks at a network leaves nothing behind, also where it fails."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from cnnexp.config.instantiate import resolve
from cnnexp.reporting.picture import Picture
from cnnexp.visualization.gradcam import gradcam
from cnnexp.visualization.looking import looking_at, looking_in
from cnnexp.visualization.probe import Probe

FOLDER = Path(__file__).parents[2] / "configs" / "visualization"
CONFIGS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}
QUICK = {"filters": {"steps": 2}}
VISUALISERS: dict[str, Callable] = {
    name: partial(resolve(config["_target_"]), **QUICK.get(name, {}))
    for name, config in CONFIGS.items()
    if "_target_" in config
}


class Fails(nn.Module):
    called = False

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.called = True
        raise RuntimeError("planted")


class FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("planted")


class FailsOnTheWayBack(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return FailsBackward.apply(values)


@pytest.fixture
def probe(
    make_network: Callable[..., nn.Sequential],
    make_probe: Callable[..., Probe],
    images: torch.Tensor,
) -> Probe:
    """A network in training: mixed modes, some of it frozen, gradients, hooks, in place."""
    network = make_network(inplace=True)
    probe = make_probe(network, images, torch.tensor([0, 1, 2, 0, 1]), ("a", "b", "c"))
    network.train()
    network.block1.eval()
    network.block1.requires_grad_(False)
    network.block2[0].weight.grad = torch.ones_like(network.block2[0].weight)
    network.block2[2].register_forward_hook(lambda module, given, gave: None)
    network.head[1].register_forward_pre_hook(lambda module, given: None)
    network.head.register_full_backward_hook(lambda module, before, after: None)
    return probe


def state(network: nn.Module) -> list[object]:
    """All that must stay as it was; gradients and weights by identity and by value."""
    found: list[object] = []
    for name, module in network.named_modules():
        found.append((name, module.training, getattr(module, "inplace", None)))
        found += [
            (key, list(table.items()))
            for key, table in sorted(vars(module).items())
            if "hook" in key and isinstance(table, dict)
        ]
        found.append(module._is_full_backward_hook)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        grad = None if tensor.grad is None else (id(tensor.grad), tensor.grad.tolist())
        found.append((name, id(tensor), tensor.tolist(), tensor.requires_grad, grad, tensor.dtype))
    return found


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("visualise", VISUALISERS.values(), ids=VISUALISERS)
def test_all_is_as_before(probe: Probe, visualise: Callable, precision: str) -> None:
    before, dice = state(probe.network), torch.get_rng_state()
    with looking_in(precision):
        pictures = visualise(probe)
    assert state(probe.network) == before
    assert torch.equal(torch.get_rng_state(), dice), "what comes later would depend on pictures"
    for picture in pictures.values():
        assert isinstance(picture, Picture)
        assert all(len(text) > 3 for text in (picture.title, picture.reading, picture.alt))
        json.dumps(dict(picture.numbers), allow_nan=False)


@pytest.mark.parametrize("visualise", VISUALISERS.values(), ids=VISUALISERS)
def test_before_the_training_two_images_are_enough(
    visualise: Callable,
    make_network: Callable[..., nn.Sequential],
    make_probe: Callable[..., Probe],
    images: torch.Tensor,
) -> None:
    """Of one class, and the network has one logit."""
    network = make_network(outputs=1)
    probe = make_probe(network, images[:2], torch.tensor([1, 1]), ("a", "b"))
    assert visualise(replace(probe, rehearsal=True))


@pytest.mark.parametrize("name", VISUALISERS)
def test_configs_give_each_option_its_default(name: str) -> None:
    head, said, *_ = (FOLDER / f"{name}.yaml").read_text().splitlines()
    assert (head, said[:2]) == (f"# @package visualization.{name}", "# ")
    config = dict(CONFIGS[name])
    assert config.pop("_target_") == f"cnnexp.visualization.{name}.{name}"
    options = dict(inspect.signature(VISUALISERS[name].func).parameters)
    del options["probe"]
    defaults = {option: parameter.default for option, parameter in options.items()}
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()}
    assert config == lists


def test_all_are_in_all() -> None:
    assert set(CONFIGS["all"]["defaults"]) == set(VISUALISERS)


@pytest.mark.parametrize("place", ["block2", "head"])
@pytest.mark.parametrize("visualise", VISUALISERS.values(), ids=VISUALISERS)
def test_all_is_as_before_after_a_failure(probe: Probe, visualise: Callable, place: str) -> None:
    """A picture may be of the images alone: then nothing fails."""
    fails = Fails()
    getattr(probe.network, place).append(fails)
    before, dice = state(probe.network), torch.get_rng_state()
    failed = False
    try:
        visualise(probe)
    except RuntimeError as problem:
        failed = str(problem) == "planted"
    assert failed == fails.called
    assert state(probe.network) == before
    assert torch.equal(torch.get_rng_state(), dice)


def test_all_is_as_before_after_a_failing_gradient(probe: Probe) -> None:
    probe.network.head.insert(0, FailsOnTheWayBack())
    before = state(probe.network)
    with pytest.raises(RuntimeError, match="planted"):
        gradcam(probe)
    assert state(probe.network) == before


def meddle(network: nn.Sequential, images: torch.Tensor) -> None:
    """Change all that looking_at promises to restore, then fail."""
    with looking_at(network) as seen:
        assert not any(module.training for module in seen.modules())
        assert not any(getattr(module, "inplace", False) for module in seen.modules())
        assert all(p.grad is None and not p.requires_grad for p in seen.parameters())
        seen.requires_grad_(True)
        seen(images).sum().backward()
        assert seen.block2[0].weight.grad is not None
        seen.train()
        seen.block1.register_forward_hook(lambda module, given, gave: gave * 0)
        seen.block1.register_forward_pre_hook(lambda module, given, named: None, with_kwargs=True)
        seen.block2.register_full_backward_hook(lambda module, before, after: None)
        seen.block2[2].inplace = True
        raise KeyError


def test_whatever_is_done_inside_is_undone(probe: Probe) -> None:
    before = state(probe.network)
    with pytest.raises(KeyError):
        meddle(probe.network, probe.images)
    assert state(probe.network) == before


def test_a_hook_of_before_can_still_be_removed(probe: Probe) -> None:
    calls = []
    handle = probe.network.block1.register_forward_hook(lambda *_: calls.append(1))
    with looking_at(probe.network) as network:
        network(probe.images)
    assert calls == [1]
    handle.remove()
    probe.network(probe.images)
    assert calls == [1]


def test_inside_inference_mode_gradients_are_there(probe: Probe) -> None:
    with torch.inference_mode(), looking_at(probe.network) as network:
        image = probe.images.float().requires_grad_()
        network(image).sum().backward()
        assert image.grad is not None
        assert image.grad.any()


@pytest.mark.parametrize(("precision", "kind"), [
    ("bf16-mixed", torch.bfloat16), ("32-true", torch.float32),
    # Without a scaled loss, small gradients would be 0 in float16.
    ("16-mixed", torch.float32),
])  # fmt: skip
def test_networks_run_in_the_precision_of_their_training(
    make_network: Callable[..., nn.Sequential],
    images: torch.Tensor,
    precision: str,
    kind: torch.dtype,
) -> None:
    network, kinds = make_network(), []
    expected = network(images).detach()
    network.block2[0].register_forward_hook(lambda module, given, gave: kinds.append(gave.dtype))
    with looking_in(precision), looking_at(network) as seen:
        logits = seen(images)
    assert kinds == [kind]
    assert logits.dtype == torch.float32
    assert torch.equal(logits, expected) == (kind == torch.float32)
    assert torch.allclose(logits, expected, atol=0.02 * float(expected.abs().max()))
    with torch.autocast("cpu", torch.bfloat16), looking_at(network) as seen:
        assert torch.equal(seen(images), expected), "what is on around it does not count"


def test_what_is_optimised_inside_moves(
    make_network: Callable[..., nn.Sequential], images: torch.Tensor
) -> None:
    """Autocast's cache would keep the bfloat16 copy of what is given to a layer, as it was."""
    network, probe = make_network(), nn.Linear(3, 3)
    optimizer = torch.optim.SGD(probe.parameters(), lr=1.0)
    losses = []
    with looking_in("bf16-mixed"), looking_at(network) as seen:
        for _ in range(3):
            loss = probe(seen(images)).float().square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[0] > losses[1] > losses[2]
