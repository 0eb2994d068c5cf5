"""Images ready for training: decoded, checked, split."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LeftOut:
    """A file that is not used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ImageSet:
    """N good images, decoded and resized once, with their splits.

    images: (N, S, S, 3) uint8 RGB, usually a memory map of the store, copy-on-write.
    labels: (N,) int64. paths, sha256: N strings; sha256 of the file's bytes or of the array.
    split: "train", "validation", "test" -> sorted indices into the N images, disjoint;
        not every image is in one: copies and what a subset does not want stay in the store.
    left_out: what the gate refused, duplicates among them. notes: lines that a person should read.
    digest: hex; same digest = same images, labels and splits. content: as that, whichever of them
        train and which validate. listing: of the source.
    masks: (N, S, S) bool or None. groups: (N,) names, equal for images that belong together; None
        where none do.
    """

    name: str
    classes: tuple[str, ...]
    images: np.ndarray
    labels: np.ndarray
    paths: tuple[str, ...]
    sha256: tuple[str, ...]
    split: dict[str, np.ndarray]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    digest: str
    content: str = ""
    listing: str = ""
    masks: np.ndarray | None = None
    groups: np.ndarray | None = None

    def clusters(self, indices: np.ndarray) -> np.ndarray | None:
        """(n,) the groups' names of these images; None where each is of another group."""
        own = None if self.groups is None else self.groups[indices]
        return None if own is None or len(set(own.tolist())) == len(own) else own
