"""Any image to a square of the wanted size."""

import numpy as np
from PIL import Image, ImageOps


def fit(image: Image.Image, size: int, resize: str, *, smooth: bool = True) -> np.ndarray:
    """`image` as an array (size, size, C) uint8, or (size, size) where it has one channel.

    resize: "crop" keeps the proportions and the middle (the longer side loses its ends), "stretch"
        keeps everything but the proportions, "pad" keeps both and fills up with black.
    smooth: bicubic with antialiasing; False takes the nearest pixel, for masks.
    """
    if image.size == (size, size):
        return np.asarray(image)
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    if resize == "stretch":
        return np.asarray(image.resize((size, size), how))
    if resize == "crop":
        return np.asarray(ImageOps.fit(image, (size, size), how))
    return np.asarray(ImageOps.pad(image, (size, size), how, color=0))
