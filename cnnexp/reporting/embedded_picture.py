"""Pictures inside an HTML file: as data URIs that follow the page's light or dark theme.

They are shown by <img>: what is in an SVG there runs no script and loads nothing.
"""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from PIL import Image

from cnnexp.reporting.style import DOTS_PER_INCH, FAINT, INK, QUIET

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
LARGE = 600_000  # bytes; beyond, pixels are smaller than outlines
WIDEST = 1600  # pixels of a picture that is encoded anew
PAPER = "#ffffff"
# Light: as drawn. Dark: the same roles on the report's dark page.
THEME = {INK: "#e4e9ee", QUIET: "#a3aeb9", FAINT: "#333c46", PAPER: "#12161b"}
NAMES = {INK: "ink", QUIET: "quiet", FAINT: "faint", PAPER: "paper"}
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
Box = tuple[float, float, float, float]  # left, top, right, bottom


class Embedded(NamedTuple):
    """source: a data URI. width, height: its own, CSS pixels. themed: it has a dark form."""

    source: str
    width: int
    height: int
    themed: bool


def embed(picture: Path) -> Embedded | None:
    """<stem>.svg beside or in place of `picture` where that is small enough, else the PNG, else a
    smaller WebP of it; None where neither can be read.
    """
    svg, png = picture.with_suffix(".svg"), picture.with_suffix(".png")
    try:
        if svg.is_file() and svg.stat().st_size <= LARGE:
            text, width, height = themed(svg.read_text(encoding="utf-8"))
            return Embedded(_uri("image/svg+xml", text.encode()), width, height, True)
    except (OSError, ValueError, ElementTree.ParseError):
        pass  # the PNG shows the same
    try:
        with Image.open(png) as image:
            image.load()
        pixels = png.read_bytes()
    except (OSError, ValueError, SyntaxError):  # SyntaxError: Pillow's word for a broken PNG
        return None
    width, height = (side * 96 // DOTS_PER_INCH for side in image.size)  # a CSS inch has 96
    if len(pixels) <= LARGE:
        return Embedded(_uri("image/png", pixels), width, height, False)
    image.thumbnail((WIDEST, 8 * WIDEST))
    smaller = io.BytesIO()
    image.convert("RGB").save(smaller, "WEBP", quality=85)
    return Embedded(_uri("image/webp", smaller.getvalue()), width, height, False)


def themed(text: str) -> tuple[str, int, int]:
    """A matplotlib SVG whose house colours follow prefers-color-scheme; its size in CSS pixels.

    Photographs, heat maps and what lies upon them stay: a dark number on a bright cell is to
    remain dark. Raises ElementTree.ParseError or ValueError where it is no such SVG.
    """
    root = ElementTree.fromstring(text)
    sides = [re.fullmatch(rf"({NUMBER})pt", root.get(s, "")) for s in ("width", "height")]
    width, height = (round(float(side[1]) * 96 / 72) if side else 0 for side in sides)
    if not width or not height or root.tag != f"{{{SVG}}}svg":
        raise ValueError("not a figure of matplotlib's")
    bright = list(_image_boxes(root))
    for element, over in _with_place(root, bright):
        style = element.get("style", "")
        if over or not style:
            continue
        for colour, name in NAMES.items():
            if colour != PAPER:
                style = re.sub(rf"(?i){colour}\b", f"var(--{name})", style)
        element.set("style", style)
    for group in root.iter(f"{{{SVG}}}g"):
        # The figure's and the axes' own ground: their first patch. Other white stays white.
        if re.fullmatch(r"(figure|axes)_\d+", group.get("id", "")) and len(group):
            for path in group[0].findall(f"{{{SVG}}}path"):
                white = path.get("style", "")
                if group[0].get("id", "").startswith("patch_"):
                    path.set("style", re.sub(rf"(?i){PAPER}\b", "var(--paper)", white))
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    sheet = ElementTree.Element(f"{{{SVG}}}style")
    light, dark = (
        "".join(f"--{NAMES[colour]}:{shade};" for colour, shade in pairs)
        for pairs in (zip(NAMES, NAMES, strict=True), THEME.items())
    )
    sheet.text = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    root.insert(0, sheet)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, encoding="unicode"), width, height


def _image_boxes(root: ElementTree.Element) -> Iterator[Box]:
    for image in root.iter(f"{{{SVG}}}image"):
        x, y, w, h = (float(image.get(name, 0)) for name in ("x", "y", "width", "height"))
        a, d, e, f = _scale_and_shift(image.get("transform", ""))
        left, right = sorted((a * x + e, a * (x + w) + e))
        top, bottom = sorted((d * y + f, d * (y + h) + f))
        yield left, top, right, bottom


def _with_place(
    root: ElementTree.Element, boxes: list[Box]
) -> Iterator[tuple[ElementTree.Element, bool]]:
    """Every element, and whether it is a text (or in one) that begins upon one of the boxes."""
    waiting = [(root, False)]
    while waiting:
        element, over = waiting.pop()
        place = element.get("transform", "")
        if not over and place.startswith("translate") and element.tag != f"{{{SVG}}}image":
            _, _, x, y = _scale_and_shift(place.partition(")")[0] + ")")
            over = any(l <= x <= r and t <= y <= b for l, t, r, b in boxes)  # noqa: E741
        yield element, over
        waiting += [(child, over) for child in element]


def _scale_and_shift(transform: str) -> tuple[float, float, float, float]:
    """(a, d, e, f) of x' = a x + e, y' = d y + f; turns and shears are left out."""
    a, d, e, f = 1.0, 1.0, 0.0, 0.0
    for name, inside in re.findall(r"(\w+)\(([^)]*)\)", transform):
        n = [float(value) for value in re.findall(NUMBER, inside)]
        sx, sy, tx, ty = 1.0, 1.0, 0.0, 0.0
        if name == "translate":
            tx, ty = n[0], n[1] if len(n) > 1 else 0.0
        elif name == "scale":
            sx, sy = n[0], n[-1]
        elif name == "matrix" and len(n) == 6:
            sx, sy, tx, ty = n[0], n[3], n[4], n[5]
        e, f, a, d = a * tx + e, d * ty + f, a * sx, d * sy
    return a, d, e, f


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
