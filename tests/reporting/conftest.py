from collections.abc import Callable, Iterator

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def drawn(figure: Figure) -> Iterator[Text]:
    """All texts that are seen: titles, notes, ticks, legends."""
    unseen = set()
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            low, high = sorted(limits)
            slack = 1e-6 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                # Ticks beyond the limits are there, but not drawn.
                if not axes.axison or not low - slack <= tick.get_loc() <= high + slack:
                    unseen |= {tick.label1, tick.label2}
    for text in figure.findobj(Text):
        if text not in unseen and text.get_visible() and text.get_text().strip():
            yield text


def assert_legible(figure: Figure) -> None:
    """No text leaves the figure or touches another."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = list(drawn(figure))
    corners = np.array([text.get_window_extent(renderer).extents for text in texts])  # (n, 4)
    x0, y0, x1, y1 = corners.T
    outside = (x0 < 0) | (y0 < 0) | (x1 > figure.bbox.width) | (y1 > figure.bbox.height)
    assert not outside.any(), [t.get_text() for t, out in zip(texts, outside, strict=True) if out]
    wide = np.minimum.outer(x1, x1) - np.maximum.outer(x0, x0)
    high = np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0)
    # The smaller side of what two boxes share; they include room for descenders.
    shared = np.minimum(wide, high) / np.minimum.outer(y1 - y0, y1 - y0).clip(1)
    np.fill_diagonal(shared, 0)
    touching = [(texts[i].get_text(), texts[j].get_text()) for i, j in np.argwhere(shared > 0.25)]
    assert not touching


@pytest.fixture
def legible() -> Callable[[Figure], None]:
    """Fails for a figure whose texts are cut off or touch."""
    return assert_legible
