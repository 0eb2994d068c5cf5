"""What a visualiser looks at: a network, and the images that it was trained and tested on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from cnnexp.data.turns import in_turn

Item = TypeVar("Item")
SHOWN = 64  # images that pictures are made of, at most


class Progress(Protocol):
    """Goes through `items` and shows how far it is, under that title."""

    def __call__(self, items: Sequence[Item], title: str) -> Iterable[Item]: ...


def silently(items: Sequence[Item], title: str) -> Iterable[Item]:
    return items


@dataclass(frozen=True)
class Stored:
    """outputs: what the first `blocks` blocks make of N images, (N, C, h, w) or (N, F), on disk."""

    blocks: int
    outputs: torch.Tensor = field(repr=False)


@dataclass(frozen=True)
class Images:
    """N images of a split; the pixels stay in the store, on disk, until they are taken.

    store: (M, S, S, 3) uint8, usually a memory map. rows: (N,) int64, the images' places in it.
    labels: (N,) int64. paths: N names. masks: (M, S, S) bool, true on the object, or None.
    stored: of the network's leading blocks, where they need not run again.
    """

    store: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    paths: tuple[str, ...]
    masks: np.ndarray | None = None
    stored: Stored | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(
        self, places: Sequence[int] | np.ndarray, device: torch.device | str = "cpu"
    ) -> torch.Tensor:
        """Some of the N images: (B, 3, S, S) uint8."""
        pixels = torch.from_numpy(self.store[self.rows[np.asarray(places, dtype=np.int64)]])
        return pixels.permute(0, 3, 1, 2).to(device)


@dataclass(frozen=True)
class Chosen:
    """The images that a person chose to look at; see `Probe`. name: what was typed, or its end."""

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    paths: tuple[str, ...]
    masks: torch.Tensor | None = None


def first_of_each_class(test: Images) -> Chosen:
    """Up to `SHOWN` images: the first of each class, then the second, and so on."""
    places = in_turn(test.labels)[:SHOWN]
    return Chosen(
        "",
        test.take(places),
        torch.from_numpy(test.labels[places]),
        tuple(test.paths[i] for i in places),
        None if test.masks is None else torch.from_numpy(test.masks[test.rows[places]]),
    )


@dataclass(frozen=True)
class Probe:
    """A network, B images that are shown one by one, and the splits for all that needs many.

    network: the spine, an nn.Sequential of named blocks, the first `normalize`, the last `head`;
        uint8 or [0, 1] images (B, 3, H, W) -> logits (B, K), or (B, 1) for a binary problem with
        one logit (class 1 where it is positive). In eval mode, on the images' device.
    images: (B, 3, H, W) uint8, test images class by class in turn, or those that a person chose.
        labels: (B,) int64, -1 where no class is known. paths: B names. masks: (B, H, W) bool, true
        on the object; None where the data set has none.
    chosen: what a person chose them by, for titles and files' names; "": nobody did.
    classes: K names.
    train, test: the splits. probabilities: (N, K), the network's answers on the test images.
    rehearsal: it is tried before the training, for its mistakes: iterate once, not a hundred times.
    progress: wrap what takes longer than a few seconds.
    """

    network: nn.Sequential
    images: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    train: Images
    test: Images
    probabilities: np.ndarray
    masks: torch.Tensor | None = None
    chosen: str = ""
    rehearsal: bool = False
    progress: Progress = field(default=silently, repr=False)

    @property
    def of_chosen(self) -> str:
        """For the end of a title."""
        return f": {self.chosen}" if self.chosen else ""

    @property
    def device(self) -> torch.device:
        return self.images.device
