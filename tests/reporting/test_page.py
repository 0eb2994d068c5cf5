import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cnnexp.reporting.page import Page, fitted, text_width
from cnnexp.reporting.style import house_style


def test_width_of_text_is_what_is_drawn() -> None:
    figure = Figure(figsize=(6, 1), dpi=100)
    canvas = FigureCanvasAgg(figure)
    for weight in ("normal", "bold"):
        text = figure.text(0, 0, "Grad-CAM at block3", fontsize=20, fontweight=weight)
        width = text.get_window_extent(canvas.get_renderer()).width / 100
        assert width <= text_width("Grad-CAM at block3", 20, weight) <= 1.05 * width
    assert text_width("", 10) == 0


def test_fitted() -> None:
    assert fitted("short", 5, 10) == "short"
    assert fitted(" two\nlines ", 5, 10) == "two lines"
    long = "0123456789" * 5
    for width in (0.5, 1.0, 2.0):
        cut = fitted(long, width, 10)
        assert text_width(cut, 10) <= width < text_width(cut, 10) + 0.2
        front, back = cut.split("…")
        assert long.startswith(front)
        assert long.endswith(back)
        assert abs(len(front) - len(back)) <= 1


def test_page_is_measured_from_below_its_lines() -> None:
    page = Page(8, 3, "Title", ["a line", "another"])
    axes = page.axes(2, 1, 4, 2)
    height = page.figure.get_figheight()
    assert height == pytest.approx(page.top + 3)
    assert axes.get_position().bounds == pytest.approx((2 / 8, 0, 4 / 8, 2 / height))
    assert [text.get_text() for text in page.figure.texts] == ["Title", "a line", "another"]


def test_the_style_ends_with_the_drawing() -> None:
    before = dict(matplotlib.rcParams)
    assert house_style(lambda: matplotlib.rcParams["text.parse_math"])() is False
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.rcParams["text.parse_math"] is True
