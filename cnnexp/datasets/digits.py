"""scikit-learn's handwritten digits (Alpaydin and Kaynak 1998): embedded, no download."""

import hashlib

import numpy as np

from cnnexp.datasets.source import Source


def digits() -> Source:
    """1,797 grey images of 8x8 pixels, uint8."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), 0..16 -> 0..255
    return Source(
        name="digits",
        classes=tuple("0123456789"),
        paths=[f"digit_{i:04d}" for i in range(len(images))],
        labels=data.target.astype(np.int64),
        read=images.__getitem__,
        fingerprint=hashlib.sha256(images.tobytes()).hexdigest(),
    )
