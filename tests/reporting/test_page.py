import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cnnexp.reporting.page import Page, drawn, fitted, text_width, told_apart
from cnnexp.reporting.style import house_style
from cnnexp.visualization.captions import verdict


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


def test_names_that_look_alike_where_they_are_cut_have_their_numbers() -> None:
    names = [f"BMW 3 Series {kind} 2012" for kind in ("Sedan", "Wagon", "Coupe")]
    names += ["Audi A4", "an uncommon name that is long", "Series Wagon 2012"]
    said: list[str] = []
    with told_apart(names, said.append):
        assert ["'BMW 3 Series Sedan 2012' have their numbers" in line for line in said] == [True]
        for width in (0.8, 1.0, 1.2):
            cut = [fitted(name, width, 10) for name in names]
            assert len(set(cut)) == len(names)
            assert [name[:2] for name in cut[:3]] == ["1 ", "2 ", "3 "]
            assert [name[:2] for name in cut[3:]] == ["Au", "an", "Se"]
        assert fitted(f"for {names[1]}", 1.2, 10).startswith("for 2 B")
        assert fitted(names[0], 5, 10) == names[0]
    assert fitted(names[1], 1.0, 10).startswith("BMW")


def test_names_that_no_font_has_have_their_numbers() -> None:
    """Private characters, of which no font of a fallback list knows any."""
    names = ["cat", "\ue123\ue124", "dog\ue125"]
    with told_apart(names):
        assert fitted(names[1], 5, 10) == "2 \ue123\ue124"
        assert drawn(names[2]) == "3 dog\ue125"
        assert fitted(f"for {names[2]}", 5, 10) == "for 3 dog\ue125"
        assert fitted("cat", 5, 10) == "cat"


def test_an_arrow_between_arabic_names_points_as_in_a_line_from_left_to_right() -> None:
    """The Unicode Bidirectional Algorithm, X and N1: what stands between two such names would go
    from right to left with them, the arrow, too.
    """
    true, said = "كلب", "قطة"
    shares = np.array([0.4, 0.6])
    line = verdict(0, shares, [true, said], width=5).text
    assert line == f"✗ {true}\u200e → {said}\u200e (60%)"
    page = Page(5, 1, "")
    assert page.text(0, 0, f"{true}/1.png").get_text() == f"\u200e{true}/1.png"
    assert page.text(0, 0, "cat/1.png").get_text() == "cat/1.png"
