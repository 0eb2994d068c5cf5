"""How every figure looks: readable, colour-blind safe, dark on light."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.font_manager import fontManager

# Okabe and Ito 2008, "Color universal design": told apart with any colour vision.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
INK, QUIET, FAINT = "#1F2328", "#59636E", "#D8DEE4"
FONT = "DejaVu Sans"  # comes with matplotlib: the same figure on every machine
INSTALLED = {font.name for font in fontManager.ttflist}
FALLBACKS = [  # for scripts that it lacks, where the machine has one
    name
    for name in (
        "Noto Sans CJK JP",
        "Noto Sans",
        "Hiragino Sans",
        "Microsoft YaHei",
        "Arial Unicode MS",
    )
    if name in INSTALLED
]
# Drawn as a box, which is seen; a warning per character would bury what matters.
MISSING_GLYPH = r"Glyph \d+ .* missing from font"
DOTS_PER_INCH = 150

P = ParamSpec("P")
R = TypeVar("R")

STYLE: Any = {
    "font.family": [FONT, *FALLBACKS],
    "font.size": 10.0,
    "text.color": INK,
    "text.parse_math": False,  # names of classes and files may hold a $
    "axes.titlesize": 11.0,
    "axes.labelsize": 10.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "lines.linewidth": 2.0,
    "image.interpolation": "none",  # pixels are what the network gets: as they are, in an SVG too
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": DOTS_PER_INCH,
}


def house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a function that draws."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled
