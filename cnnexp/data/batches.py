"""Batches straight from the store: one gather each, no worker processes."""

import warnings
from collections.abc import Iterator

import numpy as np
import torch

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Batches:
    """Goes through a split in batches of nearly equal size, in order or shuffled.

    Yields images (B, 3, S, S) uint8 (a view of channels-last memory, which convolutions like best),
    labels (B,) int64, and each image's index in the store (B,) int64. Instead of images it may hold
    what a network's first blocks made of them: (B, C, H, W) or (B, F), floating.

    Batches differ by at most one image, so that no last batch of one image meets batch norm.
    The order is a function of seed and epoch of the run (first_epoch + Lightning's) alone. views:
    `images` holds so many forms of the whole set, one after the other; an epoch goes through one.
    part: (number, of how many): of each batch a process takes its part alone. members: where
    `images` holds a split alone, its images' indices in the store. pin: they lie on the CPU and
    are trained on by a GPU.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        indices: np.ndarray,
        batch_size: int,
        shuffle_seed: int | None = None,
        first_epoch: int = 0,
        views: int = 1,
        part: tuple[int, int] = (0, 1),
        members: np.ndarray | None = None,
        pin: bool = False,
    ) -> None:
        self.images, self.labels = images, labels  # (views * N, S, S, 3) uint8, (N,) int64
        # On the images' device, as all that a batch needs: a copy to a GPU would wait for it.
        self.members = None if members is None else torch.from_numpy(members).to(images.device)
        self.indices = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed
        self.epoch = self.first_epoch = first_epoch
        self.views = views
        self.part, self.pin = part, pin
        self.skip = 0  # so many batches of the next epoch have been gone through before

    def set_epoch(self, epoch: int) -> None:
        """epoch: of the phase, from 0. To be called before each is gone through."""
        self.epoch = self.first_epoch + epoch

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def indices_of(self, number: int) -> torch.Tensor:
        """(B,) int64: in the store, of the epoch's batch, from 0, all processes' parts."""
        chosen = self._order().tensor_split(len(self))[number]
        return self._in_store(chosen.to(self.images.device)).cpu()

    def _in_store(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows of `labels` -> indices in the store."""
        return rows if self.members is None else self.members[rows]

    def _order(self) -> torch.Tensor:
        if self.shuffle_seed is None:
            return self.indices
        generator = np.random.default_rng((self.shuffle_seed, self.epoch))
        return self.indices[torch.from_numpy(generator.permutation(len(self.indices)))]

    def _gathered(self, rows: torch.Tensor) -> torch.Tensor:
        # Whole rows, six times as fast as images[rows], which goes byte by byte.
        if not self.pin:
            return self.images.index_select(0, rows)
        # From pinned memory they are copied to the GPU while it computes.
        room = self.images.new_empty((len(rows), *self.images.shape[1:]), pin_memory=True)
        return torch.index_select(self.images, 0, rows, out=room)

    def __iter__(self) -> Iterator[Batch]:
        view = self.epoch % self.views * len(self.labels)
        skipped, self.skip = self.skip, 0
        number, count = self.part
        order = self._order().to(self.images.device)
        for chosen in order.tensor_split(len(self))[skipped:]:
            where = chosen.tensor_split(count)[number]
            gathered = self._gathered(where + view)
            yield channels_first(gathered), self.labels[where], self._in_store(where)


def channels_first(stored: torch.Tensor) -> torch.Tensor:
    """(B, H, W, C) -> (B, C, H, W), the same memory; (B, F) as it is."""
    return stored.permute(0, 3, 1, 2) if stored.ndim == 4 else stored


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """The same memory, mapped as it is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes
        return torch.from_numpy(images)


def on_device(
    images: torch.Tensor, labels: torch.Tensor, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both on a GPU if a quarter of its free memory is enough, else where they are."""
    if device.type == "cuda" and images.nbytes <= torch.cuda.mem_get_info(device)[0] // 4:
        return images.to(device), labels.to(device)
    return images, labels


def channel_statistics(images: np.ndarray, indices: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel over [0, 1] images; uint8 (N, S, S, 3) in.

    From counts of the 256 values, exact and in bounded memory.
    """
    counts = np.zeros((3, 256), dtype=np.int64)
    for part in np.array_split(indices, max(1, len(indices) // 2048)):
        pixels = images[part]
        for channel in range(3):
            counts[channel] += np.bincount(pixels[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ values
    std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
    # A constant channel would divide by zero; an eight-bit step is the smallest there is.
    return mean.tolist(), np.maximum(std, 1 / 255).tolist()
