"""Any image to a square of the wanted size."""

import numpy as np
from PIL import Image

WAYS = ("crop", "stretch", "pad")


def fit(image: Image.Image, size: int, resize: str, *, smooth: bool = True) -> np.ndarray:
    """`image` as an array (size, size, C) uint8, or (size, size) where it has one channel.

    resize: "crop" keeps the proportions and the middle (the longer side loses its ends), "stretch"
        keeps everything but the proportions, "pad" keeps both and fills up with black.
    smooth: bicubic with antialiasing; False takes the nearest pixel, for masks.
    """
    width, height = image.size
    if (width, height) == (size, size):
        return np.asarray(image)
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    if resize == "stretch":
        return np.asarray(image.resize((size, size), how))
    if resize == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        # The cut is made while resizing: a strip of 2 x 10,000 pixels never grows on the way.
        return np.asarray(image.resize((size, size), how, (left, top, left + side, top + side)))
    scale = size / max(width, height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = Image.new(image.mode, (size, size))
    square.paste(image.resize(inner, how), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return np.asarray(square)
