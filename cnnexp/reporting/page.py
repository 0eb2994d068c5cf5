"""A figure laid out in inches from its top left: nothing overlaps, however many pictures."""

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from cnnexp.reporting.style import FALLBACKS, FONT, MISSING_GLYPH, QUIET

MARGIN = 0.2
Place = tuple[float, float, float, float]  # x, y, width, height in inches, see `Page`
TITLE, LINE = 0.36, 0.21  # the title's and a line's height
ALIKE = 8  # characters; names of which so many are the same, when the others are cut, look alike
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
MARK = "\u200e"  # left-to-right; without it "Arabic → Arabic" is drawn from right to left
WHY = "names are alike where they are cut, or no font here has their characters"
BEFORE = ("", "for ", "not ")  # what figures say before a class's name
# Classes that need their numbers in a figure: name -> number. A context's, as `looking_in` is.
_numbers: ContextVar[Mapping[str, int]] = ContextVar("numbers", default=MappingProxyType({}))


class Page:
    """A figure of `width` inches: a title, quieter lines, and `height` inches below them.

    All positions are inches from the left edge and from below the lines.
    """

    def __init__(self, width: float, height: float, title: str, lines: Sequence[str] = ()) -> None:
        self.top = 0.12 + TITLE + LINE * len(lines) + 0.06
        self.width, self.height = width, self.top + height
        self.figure = Figure(figsize=(self.width, self.height))
        room = width - 2 * MARGIN
        self.text(
            MARGIN, 0.12 - self.top, fitted(title, room, 14, "bold"), fontsize=14, fontweight="bold"
        )
        for number, line in enumerate(lines):
            y = 0.12 + TITLE + LINE * number - self.top
            self.text(MARGIN, y, fitted(line, room, 10), color=QUIET)

    def text(self, x: float, y: float, text: str, **style: Any) -> Text:
        """Text whose top left is there."""
        style = {"va": "top", "fontsize": 10, **style}
        text = MARK + text if RIGHT_TO_LEFT.search(text) else text
        return self.figure.text(x / self.width, 1 - (y + self.top) / self.height, text, **style)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes with that top left and size."""
        return self.figure.add_axes(self._box(x, y, width, height))

    def image(
        self, x: float, y: float, width: float, height: float, pixels: Any, **how: Any
    ) -> AxesImage:
        """pixels: (H, W) or (H, W, 3), as `Axes.imshow` takes them; stretched over the place."""
        extent = (x, x + width, y + height, y)
        return self.canvas.imshow(pixels, extent=extent, aspect="auto", **how)

    @cached_property
    def canvas(self) -> Axes:
        """The whole page in its inches, for all that needs no axes of its own: those take longer
        to make than all else.
        """
        axes = self.figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, self.width), ylim=(self.height - self.top, -self.top))
        axes.set_autoscale_on(False)
        return axes

    def frame(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        """An empty rectangle."""
        left, bottom, w, h = self._box(x, y, width, height)
        style = {"linewidth": 1.5, "fill": False} | style
        self.figure.add_artist(
            Rectangle((left, bottom), w, h, transform=self.figure.transFigure, **style)
        )

    def _box(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        bottom = 1 - (y + self.top + h) / self.height
        return x / self.width, bottom, w / self.width, h / self.height


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Inches that a line of text takes up, at most 5% too much; size in points."""
    points = sum(_advance(character, weight) for character in text)
    return 1.03 * size * points / 72  # drawn, each is rounded to pixels


@cache
def _advance(character: str, weight: str) -> float:
    """Width of a character in units of the font's size."""
    if character == "$":
        character = "S"  # as wide; two of them would be read as a formula
    font = FontProperties(family=FONT, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH)
        # The bars count the empty sides of a character and the space, which have no outline.
        between = TextPath((0, 0), f"|{character}|", size=100, prop=font)
        bars = TextPath((0, 0), "||", size=100, prop=font)
    return float(between.get_extents().width - bars.get_extents().width) / 100


def fitted(text: str, width: float, size: float, weight: str = "normal") -> str:
    """One line of at most `width` inches; the middle goes, for the ends tell names apart."""
    text = drawn(" ".join(text.split()))
    if text_width(text, size, weight) <= width:
        return text
    text = numbered(text)
    low, high = 1, len(text) - 1  # characters kept
    while low < high:
        middle = math.ceil((low + high) / 2)
        if text_width(_shortened(text, middle), size, weight) <= width:
            low = middle
        else:
            high = middle - 1
    return _shortened(text, low)


@contextmanager
def told_apart(classes: Sequence[str], say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Inside, a class has its number, from 1, before its name: where it is cut and another's would
    look the same; and where no font here has its characters. say: is told of such classes.
    """
    names = [" ".join(name.split()) for name in classes]
    cut = Counter(_cut(name) for name in names)
    found = {
        name: number
        for number, name in enumerate(names, start=1)
        if cut[_cut(name)] > 1 or not drawable(name)
    }
    if found and say:
        say(f"classes such as {next(iter(found))!r} have their numbers in figures, from 1: {WHY}")
    before = _numbers.set(found)
    try:
        yield
    finally:
        _numbers.reset(before)


def drawn(text: str) -> str:
    """As it stands in a figure: with its number, if it cannot be read, and in its direction."""
    text = text if drawable(text) else numbered(text)
    return f"{text}{MARK}" if RIGHT_TO_LEFT.search(text) else text


def drawable(text: str) -> bool:
    """Whether the fonts here have all of its characters."""
    return all(_known(character) for character in text if not character.isspace())


def numbered(text: str) -> str:
    """`for cat` -> `for 3 cat`, of a class that `told_apart` has found."""
    for before in BEFORE:
        name = text.removeprefix(before)
        if number := _numbers.get().get(name.removesuffix(MARK)):
            return f"{text[: len(text) - len(name)]}{number} {name}"
    return text


@cache
def _known(character: str) -> bool:
    fonts = (get_font(findfont(FontProperties(family=name))) for name in (FONT, *FALLBACKS))
    return any(font.get_char_index(ord(character)) for font in fonts)


def _cut(name: str) -> str:
    return name if len(name) <= ALIKE else _shortened(name, ALIKE)


def _shortened(text: str, kept: int) -> str:
    back = kept // 2
    return f"{text[: kept - back]}…{text[len(text) - back :]}"
