"""A picture of a run: the figure, and the words that a report sets beside it."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from cnnexp.files import whole_file
from cnnexp.interrupts import signals_wait
from cnnexp.reporting.style import DOTS_PER_INCH, MISSING_GLYPH

WORDS = "pictures.json"
LONGEST = 160  # bytes of a name: file systems take 255, with what stands before and behind it


@dataclass(frozen=True)
class Picture:
    """figure: in the house style.

    title: a few words. reading: how to read it and how it misleads, in one to three sentences.
    alt: what is to be seen, for a person who cannot see it. numbers: what was measured for it, as
    JSON has it.
    """

    figure: Figure = field(repr=False)
    title: str
    reading: str
    alt: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def wrong(self) -> str:
        """What a report cannot take, and what it takes; "" where nothing is wrong."""
        if not isinstance(self.figure, Figure):
            return f"a {type(self.figure).__name__} as figure; give a matplotlib.figure.Figure"
        for name in ("title", "reading", "alt"):
            if not isinstance(text := getattr(self, name), str):
                return f"a {type(text).__name__} as {name}; give text"
        try:
            json.dumps(dict(self.numbers), default=listed)
        except (TypeError, ValueError) as error:
            return f"numbers that JSON has not ({error}); give numbers, text, lists, dictionaries"
        return ""


def listed(value: Any) -> Any:
    """NumPy's and torch's numbers and arrays, for JSON. Raises TypeError for what is neither."""
    if not hasattr(value, "tolist"):
        raise TypeError(f"a {type(value).__name__}")
    return value.tolist()


def picture_name(kind: str, *parts: Any) -> str:
    """`kind_part_part`, a file's name for what `parts` tell apart; None and "" are no part."""
    said = [re.sub(r"\W+", "_", str(part)).strip("_") for part in parts if part not in (None, "")]
    return "_".join([kind, *said]).encode()[:LONGEST].decode(errors="ignore")


def save_pictures(pictures: Mapping[str, Picture], folder: Path) -> list[Path]:
    """<stem>.png and <stem>.svg of each, and their words in pictures.json; the PNGs' paths.

    Words of other pictures in the folder stay. The same picture gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = read_words(folder)
    for stem, picture in pictures.items():
        save_figure(picture.figure, folder / f"{stem}.png")
        save_figure(picture.figure, folder / f"{stem}.svg")
        texts = ("title", "reading", "alt", "numbers")
        words.pop(stem, None)  # the newest last
        words[stem] = {name: getattr(picture, name) for name in texts}
    with whole_file(folder / WORDS) as file:
        json.dump(words, file, indent=2, ensure_ascii=False, default=listed)
        file.write("\n")
    return [folder / f"{stem}.png" for stem in pictures]


def read_words(folder: Path) -> dict[str, dict[str, Any]]:
    """Stem -> title, reading, alt, numbers of the pictures in a folder, in the order drawn."""
    try:
        return dict(json.loads((folder / WORDS).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG, after the name; no date and no version inside."""
    kind = path.suffix[1:]
    options: dict[str, dict[str, Any]] = {
        # Half of zlib's usual time, for a sixth more bytes.
        "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 2}},
        "svg": {"metadata": {"Date": None}},
    }
    with signals_wait(), whole_file(path, "wb") as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH)
        # Ids that are not drawn anew each time; images that stay apart, each in its own pixels.
        with rc_context({"svg.hashsalt": path.stem, "image.composite_image": False}):
            figure.savefig(file, format=kind, dpi=DOTS_PER_INCH, **options[kind])
