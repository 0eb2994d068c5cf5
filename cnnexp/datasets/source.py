"""What a dataset hands over: where images and labels are, before checks, splits and decoding."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """N images of K classes as a dataset finds them; nothing is decoded yet.

    name: of the dataset, for people ("cifar10").
    classes: K names; a label is an index into them.
    paths: N unique names ("Cat/17.jpg"), shown in reports and predictions.
    labels: (N,) int64, 0 <= label < K.
    read: i -> the file's bytes, or an array (H, W, 3) or (H, W) uint8 where there is no file.
        Called from several threads at once.
    fingerprint: a digest of the listing that changes when any image would: names, sizes and
        modification times of files, CRCs of zip members, a checksum of arrays.
    given: (N,) of "train", "validation", "test" or "" (to be split); None: nothing was given.
    masks: (N, H, W) bool, true on the object; only where a dataset knows.
    listed: files that were seen and are no images by their place or kind, with the reason:
        ("Cat/Thumbs.db", "not an image file").
    groups: (N,) of names; images with the same one, of one patient, say, stay on one side of a
        split; those with "", None or NaN stand alone. None: nothing is known to belong together.
    """

    name: str
    classes: tuple[str, ...]
    paths: Sequence[str]
    labels: np.ndarray
    read: Callable[[int], bytes | np.ndarray]
    fingerprint: str
    given: np.ndarray | None = None
    masks: np.ndarray | None = None
    listed: tuple[tuple[str, str], ...] = ()
    groups: np.ndarray | None = None

    def listing(self) -> str:
        """A digest, hex, of the images and of all that is said of them: it changes when a label, a
        split or a group was edited, too.
        """
        columns = (self.paths, self.labels.tolist(), self.given, self.groups)
        said = [None if column is None else list(map(str, column)) for column in columns]
        text = json.dumps([self.fingerprint, self.classes, said])
        return hashlib.sha256(text.encode()).hexdigest()
