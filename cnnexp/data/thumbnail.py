"""What can still be seen of a file that the gate refused: for a person to look at, not to train."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageFile, ImageOps

from cnnexp.data.gate import FORMATS


def thumbnail(content: bytes | np.ndarray, side: int = 192) -> np.ndarray | None:
    """(h, w, 3) uint8, its longer side at most `side`; None where nothing can be shown.

    As careful as the gate: its formats alone, and no more pixels than Pillow thinks safe. Of a
    truncated file the part that is there, the rest grey or black. To be called inside `quiet`, and
    not while other threads decode: what Pillow makes of truncated files is one switch for all.
    """
    if not isinstance(content, bytes) or not content:
        return None
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image, truncated_allowed():
            width, height = image.size
            if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
                return None
            if image.mode.startswith(("I", "F")):  # values without a known range
                return None
            image.draft("RGB", (side, side))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((side, side))
            return np.asarray(upright)
    except Exception:  # Pillow's parsers raise what they like on hostile bytes
        return None


@contextmanager
def truncated_allowed() -> Iterator[None]:
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
