"""What the gate lets in, and what it says about the rest."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnnexp.data.gate import quiet, read

RNG = np.random.default_rng(0)
SMOOTH = np.asarray(
    Image.fromarray(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((80, 60))
)  # (60, 80, 3): survives JPEG


def saved(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(content: bytes | np.ndarray, side: int | None = None) -> np.ndarray:
    image = read(content, side)
    assert isinstance(image, Image.Image), image
    assert image.mode == "RGB"
    return np.asarray(image)


def reason(content: bytes | np.ndarray) -> str:
    answer = read(content)
    assert isinstance(answer, str), answer
    assert "\n" not in answer
    return answer


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_lossless_formats_come_out_as_they_went_in(kind: str) -> None:
    np.testing.assert_array_equal(pixels(saved(SMOOTH, kind)), SMOOTH)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_come_out_nearly_so(kind: str) -> None:
    difference = pixels(saved(SMOOTH, kind, quality=95)).astype(int) - SMOOTH
    assert np.abs(difference).mean() < 4


def test_grey_has_three_equal_channels() -> None:
    grey = SMOOTH[..., 0]
    np.testing.assert_array_equal(pixels(saved(grey, "PNG")), np.dstack([grey] * 3))


def test_one_bit() -> None:
    image = Image.fromarray(np.array([[0, 255, 0], [255, 0, 255]], np.uint8)).convert("1")
    expected = np.array([[0, 255, 0], [255, 0, 255]])
    np.testing.assert_array_equal(pixels(saved(image, "PNG"))[..., 0], expected)


def test_sixteen_bits_keep_their_upper_byte() -> None:
    grey = np.array([[0, 257], [128 * 257, 65535]], dtype=np.uint16)
    np.testing.assert_array_equal(pixels(saved(grey, "PNG"))[..., 1], [[0, 1], [128, 255]])
    np.testing.assert_array_equal(pixels(saved(grey, "TIFF"))[..., 1], [[0, 1], [128, 255]])


def test_cmyk() -> None:
    # Full cyan takes away all red: (255, 0, 0, 0) in CMYK is (0, 255, 255) in RGB.
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    np.testing.assert_allclose(
        pixels(saved(image, "JPEG", quality=95))[8, 8], [0, 255, 255], atol=3
    )


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),  # all transparent: the white below
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (255, 0, 0, 51), (255, 204, 204)),  # a fifth of red over white: 255 - 51
        ("LA", (0, 51), (204, 204, 204)),
    ],
)
def test_transparent_parts_lie_on_white(mode: str, colour: tuple, expected: tuple) -> None:
    found = pixels(saved(Image.new(mode, (4, 4), colour), "PNG"))
    np.testing.assert_allclose(found[2, 2], expected, atol=1)


def test_palette_with_a_transparent_entry() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50])
    image.putpixel((3, 3), 2)
    content = saved(image, "PNG", transparency=1)
    assert pixels(content)[0, 0].tolist() == [255, 255, 255]
    assert pixels(content)[3, 3].tolist() == [200, 100, 50]
    content = saved(image, "PNG", transparency=bytes([255, 51, 255]))  # one alpha per entry
    np.testing.assert_allclose(pixels(content)[0, 0], [206, 208, 210], atol=1)  # 0.2 c + 0.8 * 255


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(content)[4, 4].tolist() == [255, 0, 0]


# EXIF 2.32, 4.6.5: which side of the upright image the stored row 0 and column 0 are.
STORED = {
    1: lambda up: up,
    2: lambda up: up[:, ::-1],  # row 0: top, column 0: right
    3: lambda up: up[::-1, ::-1],  # bottom, right
    4: lambda up: up[::-1],  # bottom, left
    5: lambda up: up.swapaxes(0, 1),  # left, top
    6: lambda up: up[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda up: up[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda up: up[::-1].swapaxes(0, 1),  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_photographs_stand_upright(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](SMOOTH))
    found = pixels(saved(stored, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {})))
    assert found.shape == SMOOTH.shape
    assert np.abs(found.astype(int) - SMOOTH).mean() < 4


def test_broken_exif_does_not_cost_the_image() -> None:
    content = saved(SMOOTH, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05rubbish")
    with quiet():
        assert pixels(content).shape == SMOOTH.shape


def test_arrays() -> None:
    np.testing.assert_array_equal(pixels(SMOOTH), SMOOTH)
    np.testing.assert_array_equal(pixels(SMOOTH[..., 0])[..., 2], SMOOTH[..., 0])
    assert "float64 (4, 4)" in reason(np.zeros((4, 4)))
    assert "(4, 4, 2)" in reason(np.zeros((4, 4, 2), np.uint8))
    assert "1x9 pixels" in reason(np.zeros((9, 1), np.uint8))


def test_large_jpegs_are_decoded_small_and_look_the_same() -> None:
    large = np.asarray(Image.fromarray(SMOOTH).resize((800, 600), Image.Resampling.BICUBIC))
    content = saved(large, "JPEG", quality=95)
    small = pixels(content, side=75)
    assert small.shape == (150, 200, 3)  # a quarter; an eighth would be 75 high, not twice the side
    mean = large.reshape(150, 4, 200, 4, 3).mean((1, 3))
    assert np.abs(small - mean).mean() < 2
    assert pixels(content, side=200).shape == (600, 800, 3)


def claiming(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"  <!DOCTYPE HTML><p>not found", "HTML page"),
        (b"\xef\xbb\xbf<html>", "HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"PK\x03\x04" + b"\0" * 30, "zip archive"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 30, "Windows thumbnail cache"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "video"),
        (b"\0" * 5000, "all zeros"),
        (b"class,count\ncat,3\n", "text"),
        (b"\x93\x01\xff\xfe" * 200, "unknown format"),
        (saved(SMOOTH, "JPEG")[:-400], "truncated"),
        (saved(SMOOTH, "PNG")[:-400], "truncated"),
        (saved(SMOOTH, "GIF")[:-400], "truncated"),
        (saved(SMOOTH, "BMP")[:-400], "truncated"),
        (saved(Image.new("RGB", (1, 1)), "PNG"), "1x1 pixels"),
        (saved(Image.new("RGB", (90, 1)), "GIF"), "90x1 pixels"),
        (claiming(50_000, 50_000), "decompression bomb"),
        (claiming(10_000, 10_000), "decompression bomb"),
        (saved(np.ones((4, 4), np.float32), "TIFF"), "floating-point"),
        (saved(np.full((4, 4), 70_000, np.int32), "TIFF"), "32-bit"),
    ],
)
def test_reasons(content: bytes, words: str) -> None:
    assert words in reason(content)


KINDS = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]
WHOLE = {kind: saved(SMOOTH, kind) for kind in KINDS}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.binary(min_size=1, max_size=9))
def test_damage_never_raises(kind: str, place: int, noise: bytes) -> None:
    content = bytearray(WHOLE[kind])
    place %= len(content)
    content[place : place + len(noise)] = noise
    answer = read(bytes(content))
    assert isinstance(answer, str) or (answer.mode == "RGB" and min(answer.size) >= 2)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_no_image(content: bytes) -> None:
    assert isinstance(read(content), str)
