"""What a step of training does, and what of an epoch is logged."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from cnnexp.training.classifier import Classifier
from cnnexp.training.loss import Diverged, Loss


def step(images: torch.Tensor, **more: Any) -> torch.Tensor:
    """What a training step gives the network."""
    seen: list[torch.Tensor] = []

    def network(given: torch.Tensor) -> torch.Tensor:
        seen.append(given)
        return torch.zeros(len(given), 2, requires_grad=True)

    own = {
        "seed": 0,
        "first_epoch": 0,
        "current_epoch": 0,
        "global_rank": 0,
        "processes": 1,
        "mix": None,
        "augment": lambda x: x,
        "compiled": network,
        "loss": Loss(),
        "_train": [],
    }
    labels = torch.zeros(len(images), dtype=torch.int64)
    Classifier.training_step(SimpleNamespace(**own | more), (images, labels, labels), 3)
    return seen[0]


def test_mixed_images_are_shares() -> None:
    """The network divides bytes alone by 255."""
    white = torch.full((4, 3, 2, 2), 255, dtype=torch.uint8)
    given = step(white, mix=lambda images, labels: (images, labels))
    assert given.is_floating_point()
    assert given.max() == 1


def test_what_is_drawn_depends_on_the_epoch_of_the_run() -> None:
    def drawn(first: int, epoch: int) -> float:
        def noise(images: torch.Tensor) -> torch.Tensor:
            return torch.rand(len(images), 1)

        images = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
        return step(images, augment=noise, first_epoch=first, current_epoch=epoch).item()

    assert drawn(0, 2) == drawn(2, 0), "a second phase goes on where the first ended"
    assert drawn(0, 0) != drawn(2, 0)


def test_the_gradients_norm_is_that_of_all_weights() -> None:
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    weights[0].grad, weights[1].grad = torch.tensor([2.0, 3.0]), torch.tensor([6.0])
    module: Any = SimpleNamespace(
        unreached=set(), global_step=2, every=3, parameters=lambda: weights, _norm=None
    )
    Classifier.on_before_optimizer_step(module, None)
    assert module._norm.item() == pytest.approx(7.0)


def test_validation_loss_is_without_weights_and_smoothing() -> None:
    logged: dict[str, torch.Tensor] = {}
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    module: Any = SimpleNamespace(
        _validation=[(logits, labels)],
        loss=Loss("cross_entropy", 0.2, torch.tensor([3.0, 1.0])),
        classes=2,
        processes=1,
        _log_epoch=logged.update,
    )
    Classifier.on_validation_epoch_end(module)
    assert logged["val/loss"].item() == pytest.approx(Loss()(logits, labels).item())


def test_of_gradients_that_are_added_up_the_optimizers_step_is_said() -> None:
    """Of four batches, two a step, the second has a loss that is no number."""
    steps = [torch.tensor([loss, 0.0, 1.0]) for loss in (1.0, float("nan"), 1.0, 1.0)]
    module: Any = SimpleNamespace(
        _rates=[0.1] * 4, _train=steps, _mean=lambda values: values, global_step=2, first_epoch=0,
        current_epoch=0, batches=SimpleNamespace(indices_of=lambda number: torch.tensor([number])),
        trainer=SimpleNamespace(accumulate_grad_batches=2, num_training_batches=4),
    )  # fmt: skip
    with pytest.raises(Diverged, match=r"nan at step 1 \(epoch 1, batch 2 of 4: images 1 of"):
        Classifier._check_finite(module)


def test_train_loss_is_the_mean_over_images() -> None:
    logged: dict[str, float] = {}
    steps = [torch.tensor([1.0, 0.5, 3.0]), torch.tensor([2.0, 1.0, 1.0])]
    module: Any = SimpleNamespace(
        _train=steps, _mean=lambda v: v, _log_epoch=logged.update, global_step=3, every=3
    )
    Classifier.on_train_epoch_end(module)
    assert logged == pytest.approx({"train/loss": 1.25, "train/accuracy": 0.625})
