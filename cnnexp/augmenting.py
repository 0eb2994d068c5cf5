"""The configured augmentation, looked over: what no network takes is said, and whose it is."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from cnnexp.config.instantiate import call
from cnnexp.data.batches import as_tensor
from cnnexp.data.image_set import ImageSet
from cnnexp.errors import InputError
from cnnexp.training.randomness import set_generators

COPIES = 4  # of an image, as many times
LOOKED_AT = 10  # batches, on a GPU: to look at values there is to wait for it


class Augmented(nn.Module):
    """Batches (B, 3, S, S) uint8 -> what `augment` makes of them, of the same shape, uint8 or
    float32 in [0, 1]. name: what the config calls it.

    Raises InputError where it makes anything else, of whichever batch: an augmentation acts by
    chance, and what it seldom does, the first batch need not show.
    """

    def __init__(self, augment: Any, name: str) -> None:
        super().__init__()
        if not callable(augment):
            raise InputError(
                f"{name}: gives a {type(augment).__name__}, which cannot be called with images; "
                "name a class with __call__(self, images), or a function that returns one"
            )
        self.augment, self.name, self._batches = augment, name, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        shape = images.shape
        try:
            with torch.autocast(images.device.type, enabled=False):  # as it was tried
                made = self.augment(images)
        except Exception as error:
            error.add_note(f"raised by {self.name}, of images {tuple(shape)}")
            raise
        if not isinstance(made, torch.Tensor):
            raise InputError(f"{self.name}: gives a {type(made).__name__}; it must give a tensor")
        if made.shape != shape:
            raise InputError(
                f"{self.name}: of images {tuple(shape)} it makes {tuple(made.shape)}; the shape "
                "stays"
            )
        if made.dtype not in (torch.uint8, torch.float32):
            raise InputError(
                f"{self.name}: gives {made.dtype}; it must give uint8, or float32 in [0, 1]"
            )
        self._batches += 1
        if made.dtype == torch.float32 and (not made.is_cuda or self._batches <= LOOKED_AT):
            low, high = (float(value) for value in made.aminmax())
            if not (low >= -1e-3 and high <= 1 + 1e-3):  # or not a number
                raise InputError(
                    f"{self.name}: gives float32 from {low:g} to {high:g}; it must lie in [0, 1], "
                    "or be uint8"
                )
        return made


def build_augmentation(config: Mapping[str, Any]) -> Augmented:
    node = config["augmentation"]
    return Augmented(call(node, "augmentation"), f"augmentation._target_={node['_target_']}")


def try_augmentation(config: Mapping[str, Any], images: ImageSet) -> str | None:
    """With the first two training images: most of its mistakes come before the training. A line
    where it draws once for a whole batch, or from what the run's seed does not set.
    """
    rows = images.images[images.split["train"][:2]]
    two = as_tensor(rows).permute(0, 3, 1, 2)
    with isolate_rng(include_cuda=False):
        augment = build_augmentation(config)
        augment(two.clone())
        made = []
        for seed in (0, *range(COPIES)):
            set_generators(seed, "cpu")
            made.append(augment(two[:1].repeat(COPIES, 1, 1, 1)))
    if not torch.equal(made[0], made[1]):
        return (
            f"{augment.name} gives other images with the same seed, and no run can be repeated: it "
            "draws from a generator of its own, or keeps what it saw; draw with torch.rand and the "
            "like, numpy.random or random"
        )
    within = all(bool((batch == batch[:1]).all()) for batch in made)
    if within and any(not torch.equal(batch, made[0]) for batch in made):
        return (
            f"{augment.name} draws once for a whole batch: {COPIES} copies of an image come out "
            "alike, and otherwise each time; draw for each image, with a first dimension of "
            "len(images)"
        )
    return None
