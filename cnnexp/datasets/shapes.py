"""Generated shapes, each image with its object's mask: the ground truth for Grad-CAM.

Each image has one object of random colour, place, size and rotation on a textured background with
lines and specks that belong to no class: neither colour, place nor size tells the class.
"""

import hashlib
from collections.abc import Callable
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from cnnexp.datasets.source import Source
from cnnexp.errors import InputError

CHUNK = 40  # images drawn at once; part of what the seed determines
WIDTH = (0.38, 0.55)  # of the object, as a share of the image's width
LINES, SPECKS = 2, 6  # distractors at most, per image
# Chosen so that a small network with global average pooling has 0.97 after 15 epochs of 1,200
# images; with twice as strong patches, three times the tint and smaller objects it has 0.5 to 0.7.
GREY, TINT = (60, 195), 15  # range of the background's brightness, standard deviation of its colour
PATCHES = ((4, 12), (12, 8))  # of the background: how many across, standard deviation
NOISE = 4  # standard deviation of each pixel
CONTRAST = 110  # between object and background, in at least one channel


def shapes(
    image_size: Annotated[int, Ge(24), Le(1024)] = 64,
    classes: Annotated[int, Ge(2), Le(6)] = 4,
    images: Annotated[int, Ge(6)] = 2000,
    seed: Annotated[int, Ge(0)] = 0,
) -> Source:
    """Images (image_size, image_size, 3) uint8 of the first `classes` of SHAPES, equally many."""
    for key, value, low, high in (
        ("image_size", image_size, 24, 1024),
        ("classes", classes, 2, len(SHAPES)),
        ("images", images, 6, 1_000_000),
        ("seed", seed, 0, 2**32),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(
                f"dataset.{key}={value}: shapes takes a whole number from {low} to {high:,}"
            )
    rng = np.random.default_rng([seed, classes, image_size])
    labels = rng.permutation(np.arange(images) % classes)
    pixels = np.empty((images, image_size, image_size, 3), dtype=np.uint8)
    masks = np.empty((images, image_size, image_size), dtype=bool)
    for start in range(0, images, CHUNK):
        part = slice(start, start + CHUNK)
        pixels[part], masks[part] = _draw(labels[part], image_size, rng)
    return Source(
        name="shapes",
        classes=tuple(list(SHAPES)[:classes]),
        paths=[f"shape_{i:04d}" for i in range(images)],
        labels=labels.astype(np.int64),
        read=pixels.__getitem__,
        fingerprint=hashlib.sha256(pixels.data).hexdigest(),
        masks=masks,
    )


def _draw(labels: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n, S, S, 3) uint8 and (n, S, S) bool, true on the object (a ring's hole included)."""
    n = len(labels)
    radius = size * rng.uniform(*WIDTH, n).astype(np.float32) / 2
    centre = rng.uniform(radius + 1, size - 1 - radius, (2, n))  # the object lies inside the image
    angle = rng.uniform(0, 2 * np.pi, n)
    v, u = (np.arange(size, dtype=np.float32) + 0.5 - c[:, None] for c in centre.astype(np.float32))
    u, v = u[:, None, :], v[:, :, None]  # (n, 1, S), (n, S, 1): pixels from the centre
    cos, sin = (f(angle).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    x, y = u * cos + v * sin, v * cos - u * sin  # (n, S, S), turned with the object
    drawn, filled = np.empty((2, n, size, size), dtype=np.float32)
    for label, distance in enumerate(list(SHAPES.values())[: labels.max() + 1]):
        at = labels == label
        if at.any():
            drawn[at], filled[at] = distance(x[at], y[at], radius[at][:, None, None])
    canvas, paint = _background(n, size, rng), _colours(n, rng)
    _distract(canvas, rng)
    inside = (filled < 0).astype(np.float32)
    behind = np.einsum("nhw,nhwc->nc", inside, canvas) / inside.sum((1, 2))[:, None]
    paint = _contrast(paint, behind)
    on = np.nonzero(drawn < 0.5)
    cover = np.minimum(0.5 - drawn[on], 1)[
        :, None
    ]  # antialiased: the distance from the edge in pixels
    light = 1 + 0.15 * (x[on] / radius[on[0]])[:, None]  # shaded across the object
    canvas[on] += cover * (paint[on[0]] * light - canvas[on])
    canvas += NOISE * rng.standard_normal((n, size, size, 1), dtype=np.float32)
    return np.clip(canvas, 0, 255).astype(np.uint8), filled < 0


def _background(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """(n, S, S, 3): a colour with soft patches, coarse and fine."""
    base = rng.uniform(*GREY, (n, 1, 1, 1)) + rng.normal(0, TINT, (n, 1, 1, 3))
    canvas = np.broadcast_to(base.astype(np.float32), (n, size, size, 3)).copy()
    for cells, strength in PATCHES:
        patches = rng.normal(0, strength, (n, cells + 1, cells + 1, 3)).astype(np.float32)
        place = np.linspace(0, cells, size, dtype=np.float32)
        low = np.minimum(place.astype(int), cells - 1)
        part = place - low  # linear interpolation between the patches' middles
        across = part[:, None]
        rows = patches[:, :, low] * (1 - across) + patches[:, :, low + 1] * across
        down = part[:, None, None]
        canvas += rows[:, low] * (1 - down) + rows[:, low + 1] * down  # (n, S, S, 3)
    return canvas


def _distract(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """Draw lines and specks onto (n, S, S, 3), behind the object to come."""
    n, size = canvas.shape[:2]
    grid = np.arange(size, dtype=np.float32) + 0.5
    for _ in range(LINES):
        angle = rng.uniform(0, np.pi, (n,)).astype(np.float32)[:, None, None]
        x0, y0 = rng.uniform(0, size, (2, n, 1, 1)).astype(np.float32)
        half = rng.uniform(0.5, 1.2, (n, 1, 1)).astype(np.float32) * size / 64
        along_x, along_y = grid[None, None, :] - x0, grid[None, :, None] - y0
        far: np.ndarray = np.abs(along_x * np.sin(angle) - along_y * np.cos(angle)) - half
        far[rng.random(n) < 0.4] = np.inf  # not every image has every line
        near = np.nonzero(far < 0.5)
        cover = np.minimum(0.5 - far[near], 1)[:, None]
        canvas[near] += cover * (_colours(n, rng)[near[0]] - canvas[near])
    starts = rng.integers(0, size, (n, SPECKS, 2))
    ends = starts + rng.integers(1, max(2, size // 16) + 1, starts.shape)
    paint = rng.uniform(0, 255, (n, SPECKS, 3)).astype(np.float32)
    counts = rng.integers(SPECKS // 2, SPECKS + 1, (n,))
    for i, boxes in enumerate(np.concatenate([starts, ends], axis=2).tolist()):
        for k, (top, left, bottom, right) in enumerate(boxes[: counts[i]]):
            canvas[i, top:bottom, left:right] = paint[i, k]


def _colours(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(30, 225, (n, 3)).astype(np.float32)


def _contrast(paint: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """`paint` (n, 3), or its opposite where it is hardly to be told from what is behind it."""
    away = np.where(behind > 127, behind - CONTRAST, behind + CONTRAST).astype(np.float32)
    close = np.abs(paint - behind).max(axis=1, keepdims=True) < CONTRAST
    return np.where(close, away, paint)


# Distances in pixels from the edge (negative inside) at (x, y) from the centre, of the drawn object
# and of its filled outline. All shapes fit into the circle of `r`.
Distance = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _disc(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edge = np.hypot(x, y) - 0.9 * r
    return edge, edge


def _square(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edge = np.maximum(np.abs(x), np.abs(y)) - 0.7 * r
    return edge, edge


def _triangle(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edge = (
        _sides(x, y, 3).max(axis=0) - r / 2
    )  # a triangle's sides pass its centre at half the radius
    return edge, edge


def _cross(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    long, short = 0.94 * r, 0.33 * r
    bars = [np.maximum(np.abs(a) - long, np.abs(b) - short) for a, b in ((x, y), (y, x))]
    edge = np.minimum(*bars)
    return edge, edge


def _star(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # A pentagram is what lies inside at least four of its five lines, at cos(72 deg) of the radius.
    edge = np.partition(_sides(x, y, 5), 3, axis=0)[3] - r * np.float32(np.cos(np.pi * 2 / 5))
    return edge, edge


def _ring(x: np.ndarray, y: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    far = np.hypot(x, y)
    return np.abs(far - 0.7 * r) - 0.22 * r, far - 0.92 * r


def _sides(x: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    """(count, n, S, S): how far (x, y) lies along each of `count` even directions."""
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([x * np.float32(np.cos(a)) + y * np.float32(np.sin(a)) for a in angles])


SHAPES: dict[str, Distance] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "ring": _ring,
}
