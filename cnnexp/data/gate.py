"""The gate: a file's bytes become an RGB image, or the reason why they cannot; nothing raises."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from cnnexp.errors import one_line

# What Pillow decodes by itself. EPS is not among them: that starts another program, Ghostscript.
FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "WEBP",
    "TIFF",
    "PPM",
    "MPO",
    "JPEG2000",
    "AVIF",
    "ICO",
    "TGA",
)

SMALLEST = 2  # pixels on a side; trackers and placeholders are 1x1

# EXIF 2.32, tag 0x0112: how the stored rows and columns are to be turned for the eye.
ORIENTATION = 0x0112
TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# How a file that is no image begins (at an offset), for the reason that a person reads.
LOOKS_LIKE = (
    (0, b"<!doctype html", "an HTML page"),
    (0, b"<html", "an HTML page"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"%pdf", "a PDF"),
    (0, b"%!ps", "PostScript"),
    (0, b"pk\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\xd0\xcf\x11\xe0", "a Windows thumbnail cache or Office file"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
    (4, b"ftypheic", "a HEIC photograph: convert it to JPEG"),
    (4, b"ftypmif1", "a HEIF photograph: convert it to JPEG"),
    (4, b"ftyp", "a video"),
    (0, b"\xff\xd8\xff", "a JPEG that is cut off or damaged in its head"),
    (0, b"\x89png", "a PNG that is cut off or damaged in its head"),
    (0, b"\x1aE\xdf\xa3".lower(), "a video"),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's warnings (broken EXIF, many pixels) are not shown: the gate has its own answers.

    To be entered by the main thread, around all reading: warning filters belong to the process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def read(content: bytes | np.ndarray, side: int | None = None) -> Image.Image | str:
    """An RGB image (upright, 8 bits, transparent parts on white), or the reason for leaving it out.

    content: a file's bytes, or an array (H, W, 3) or (H, W) uint8.
    side: the square that the image will be resized to. JPEGs are then decoded at 1/2, 1/4 or 1/8
        where both sides stay at least twice as long: much faster for large photographs, and hardly
        to be told from the whole (PSNR 62 dB on average at 64 pixels; at once as long, 39 dB).
    """
    if isinstance(content, np.ndarray):
        return _from_array(content)
    if not content:
        return "empty file"
    try:
        image = Image.open(io.BytesIO(content), formats=_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return "too many pixels (a decompression bomb?)"
    except Exception:  # Pillow's parsers raise what they like on hostile bytes
        return f"not an image ({_looks_like(content)})"
    with image:
        width, height = image.size
        if min(width, height) < SMALLEST:
            return f"{width}x{height} pixels: too small to show anything"
        if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
            return f"{width}x{height} pixels: too many (a decompression bomb?)"
        try:
            if side and image.format in ("JPEG", "MPO"):
                image.draft(None, (2 * side, 2 * side))
            image.load()
        except Exception as error:
            cut = "truncated" in str(error) or isinstance(error, (EOFError, IndexError))
            return "truncated: the file ends too early" if cut else f"damaged: {one_line(error)}"
        try:
            turn = TURN.get(_orientation(image))
            upright = image.transpose(turn) if turn is not None else image
            return _rgb(upright)
        except Exception as error:
            return f"cannot be converted to RGB: {one_line(error)}"


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _from_array(array: np.ndarray) -> Image.Image | str:
    if array.dtype != np.uint8 or not (
        array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    ):
        return f"an array of {array.dtype} {array.shape} is not (H, W, 3) or (H, W) uint8"
    if min(array.shape[:2]) < SMALLEST:
        return f"{array.shape[1]}x{array.shape[0]} pixels: too small to show anything"
    image = Image.fromarray(array)
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken EXIF beside good pixels: the pixels count
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode of Pillow's as RGB."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)  # "I" is how some versions open 16-bit grey
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit values without a known range; save it with 8 or 16 bits")
        return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point values without a known range; save it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode == "La":  # Pillow has no direct way from here to RGBA
            image = image.convert("LA")
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _looks_like(content: bytes) -> str:
    head = content[:512]
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for offset, mark, kind in LOOKS_LIKE:
        if start[offset : offset + len(mark)] == mark:
            return f"it looks like {kind}"
    if not any(head):
        return "it is all zeros"
    try:
        text = head.decode("utf-8", "strict" if len(content) <= 512 else "ignore")
    except UnicodeDecodeError:
        return "unknown format"
    return (
        "it looks like text"
        if all(c.isprintable() or c.isspace() for c in text)
        else "unknown format"
    )
