"""A map of the test images in the space of the last features: two axes in place of hundreds.

PCA, the plane in which the features vary most, and t-SNE (van der Maaten and Hinton 2008,
"Visualizing Data using t-SNE"), which keeps near what is near. How t-SNE misleads: Wattenberg et
al. 2016, "How to Use t-SNE Effectively". Trustworthiness: Venna and Kaski 2001.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

from cnnexp.config.types import PositiveFloat, PositiveInt
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import BLUE, GREEN, INK, ORANGE, QUIET, VERMILION, house_style
from cnnexp.visualization.features import features_of, stratified
from cnnexp.visualization.probe import Probe

# Okabe and Ito's, but for yellow, which is hardly seen on white, then violet, brown and grey: ten
# classes have ten colours; markers tell apart what is alike to somebody.
COLOURS = (BLUE, ORANGE, GREEN, VERMILION, "#56B4E9", "#CC79A7", INK, "#7B4FB5", "#8C6D31",
           "#8A8A8A")  # fmt: skip
MARKERS = ("o", "s", "^", "P", "D", "v")
MOST = 10  # classes told apart; of more, those with the most wrong predictions
FEWEST = 8  # images; fewer have no neighbourhoods that t-SNE could keep
NEAR = 10  # neighbours of an image whose trust is measured, at most
DIMENSIONS = 50  # PCA before t-SNE: van der Maaten and Hinton took 30, scikit-learn advises 50
SIDE, LEGEND = 4.3, 2.3  # inches


class Map(NamedTuple):
    """xy: (N, 2). trust: of 1 are the neighbours on the map neighbours in truth; None: too few."""

    xy: np.ndarray
    trust: float | None


class Maps(NamedTuple):
    """explained: the shares of the variance along PCA's two axes. tsne: None where it can't be;
    note: why. perplexity: what was used.
    """

    pca: Map
    explained: tuple[float, float]
    tsne: Map | None
    perplexity: float
    note: str


def maps_of(features: np.ndarray, *, perplexity: float = 30.0, seed: int = 0) -> Maps:
    """Two maps of N images from their features (N, D), finite. Features that are all the same, or
    of fewer than 8 images, have no t-SNE. perplexity: at most (N - 1) / 3, which is taken then.
    """
    values = features.astype(np.float64)
    count = len(values)
    components = min(DIMENSIONS, *values.shape)
    varies = count > 1 and bool(np.ptp(values, axis=0).any())
    if not varies:
        note = "one image only" if count == 1 else "all images have the same features"
        return Maps(Map(np.zeros((count, 2)), None), (0.0, 0.0), None, perplexity, note)
    pca = PCA(components, svd_solver="full").fit(values)
    reduced = np.pad(pca.transform(values), ((0, 0), (0, max(0, 2 - components))))
    ratios = np.pad(pca.explained_variance_ratio_, (0, 1))  # a single feature has one axis
    explained = (float(ratios[0]), float(ratios[1]))
    flat = Map(reduced[:, :2], _trust(values, reduced[:, :2]))
    perplexity = min(perplexity, (count - 1) / 3)
    if count < FEWEST:
        note = f"t-SNE needs {FEWEST} images or more"
        return Maps(flat, explained, None, perplexity, note)
    tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    xy = tsne.fit_transform(reduced).astype(np.float64)
    return Maps(flat, explained, Map(xy, _trust(values, xy)), perplexity, "")


def _trust(features: np.ndarray, xy: np.ndarray) -> float | None:
    near = min(NEAR, (len(xy) - 1) // 2)  # scikit-learn asks for fewer than half of the images
    return float(trustworthiness(features, xy, n_neighbors=near)) if near else None


def told_apart(labels: np.ndarray, predictions: np.ndarray) -> list[int]:
    """Up to 10 classes that are there, in order; of more, those with the most wrong predictions."""
    there, counts = np.unique(labels, return_counts=True)
    wrong = [int((predictions[labels == label] != label).sum()) for label in there]
    order = sorted(range(len(there)), key=lambda i: (-wrong[i], -counts[i], there[i]))
    return sorted(int(there[i]) for i in order[:MOST])


@house_style
def embedding(
    probe: Probe, *, images: PositiveInt = 1000, perplexity: PositiveFloat = 30.0
) -> dict[str, Picture]:
    """Test images as points, by PCA and by t-SNE of their last features, coloured by class."""
    chosen = stratified(probe.test.labels, images)
    values, _ = features_of(
        probe.network, probe.test, chosen, probe.device, progress=probe.progress
    )
    features = values.numpy()
    labels, predictions = probe.test.labels[chosen], probe.probabilities[chosen].argmax(1)
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():  # weights that overflowed
        features, labels, predictions = features[finite], labels[finite], predictions[finite]
    if len(features):
        maps = maps_of(features, perplexity=perplexity)
    else:
        maps = Maps(Map(np.zeros((0, 2)), None), (0.0, 0.0), None, perplexity, "no finite features")
    wrong, ringed = int((labels != predictions).sum()), _ringed(labels, predictions)[1]
    lines = [
        f"{len(labels):,} test images by the {features.shape[1]:,} inputs of the last layer; "
        f"{wrong} are predicted wrong, those predicted {ringed} are ringed.",
        "t-SNE: only who is near whom counts. Sizes of groups, gaps between them, axes: nothing.",
    ]
    if len(finite) > len(labels):
        lines.append(f"{len(finite) - len(labels)} images are left out: features not finite.")
    page = _page(maps, labels, predictions, probe.classes, lines)
    trust = {"pca": maps.pca.trust, "tsne": maps.tsne and maps.tsne.trust}
    numbers: dict[str, Any] = {
        "images": len(labels),
        "wrong": wrong,
        "explained_variance": list(maps.explained),
        "trustworthiness": trust,
        "perplexity": maps.perplexity if maps.tsne else None,
    }
    kept = f"PCA's two axes keep {sum(maps.explained):.0%} of the features' variance"
    return {
        "embedding": Picture(
            page.figure,
            title="Map of the last features",
            reading=f"Each point is a test image; {kept}. t-SNE keeps neighbours and gives up the "
            "rest: the size of a group, the distance between two and an empty place mean nothing, "
            "and it draws groups into pure noise; believe what PCA or another perplexity shows as "
            "well. Trustworthiness is 1 where all neighbours on the map are neighbours in truth, "
            "and about 0.5 for a map drawn at random.",
            alt=f"Two scatter plots of {len(labels)} test images coloured by class, PCA and "
            f"t-SNE{'' if maps.tsne else ' (not drawn: ' + maps.note + ')'}; {kept}; {wrong} "
            f"are predicted wrong, those predicted {ringed} are ringed.",
            numbers=numbers,
        )
    }


def _page(
    maps: Maps,
    labels: np.ndarray,
    predictions: np.ndarray,
    classes: Sequence[str],
    lines: Sequence[str],
) -> Page:
    named = told_apart(labels, predictions)
    page = Page(
        2 * MARGIN + 0.5 + 2 * SIDE + 0.35 + 0.25 + LEGEND,
        0.55 + SIDE + 0.55,
        "Test images in the space of the last features",
        lines,
    )
    left = MARGIN + 0.5
    axes = page.axes(left, 0.55, SIDE, SIDE)
    first, second = maps.explained
    axes.set_xlabel(f"first axis ({first:.0%} of the variance)", color=QUIET)
    axes.set_ylabel(f"second axis ({second:.0%})", color=QUIET)
    axes.set_xticks([])
    axes.set_yticks([])
    _scatter(axes, maps.pca.xy, labels, predictions, named)
    _heading(page, left, "PCA", maps.pca.trust)
    right = left + SIDE + 0.35
    axes = page.axes(right, 0.55, SIDE, SIDE)
    axes.set_xticks([])
    axes.set_yticks([])
    if maps.tsne is None:
        axes.set_axis_off()
        page.text(right, 0.55, f"Not drawn: {maps.note}.", color=QUIET)
        _heading(page, right, "t-SNE", None)
    else:
        axes.set_xlabel("no unit, no direction", color=QUIET)
        _scatter(axes, maps.tsne.xy, labels, predictions, named)
        _heading(page, right, f"t-SNE, perplexity {maps.perplexity:.3g}", maps.tsne.trust)
    _legend(page, right + SIDE + 0.25, labels, predictions, classes, named)
    return page


def _heading(page: Page, x: float, name: str, trust: float | None) -> None:
    page.text(x, 0.08, name, fontsize=11, fontweight="bold")
    if trust is not None:
        page.text(x, 0.29, f"trustworthiness {trust:.3f}", fontsize=9, color=QUIET)


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def _scatter(
    axes: Axes, xy: np.ndarray, labels: np.ndarray, predictions: np.ndarray, named: Sequence[int]
) -> None:
    """In PCA and t-SNE a unit is as long along both axes."""
    axes.set_aspect("equal", adjustable="datalim")
    size = 36 if len(xy) <= 300 else 22  # points squared
    others = ~np.isin(labels, named)
    axes.scatter(xy[others, 0], xy[others, 1], s=size * 0.6, c="#AEB7C0", linewidths=0)
    for place, label in enumerate(named):
        own = labels == label
        axes.scatter(xy[own, 0], xy[own, 1], s=size, alpha=0.8, linewidths=0, **_look(place))
    ringed, _ = _ringed(labels, predictions)
    rings: dict[str, Any] = {"facecolors": "none", "edgecolors": INK, "linewidths": 0.8}
    axes.scatter(xy[ringed, 0], xy[ringed, 1], s=size * 3.5, gid="ringed", **rings)


def _ringed(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, str]:
    """(N,) whether a point has a ring, and which: those predicted wrong, or, where these are most
    of them, and rings would bury the points, those predicted right.
    """
    wrong = labels != predictions
    return (~wrong, "right") if 2 * wrong.sum() > len(wrong) else (wrong, "wrong")


def _legend(
    page: Page,
    x: float,
    labels: np.ndarray,
    predictions: np.ndarray,
    classes: Sequence[str],
    named: Sequence[int],
) -> None:
    wrong = labels != predictions
    rows: list[tuple[str, str, dict[str, Any]]] = []
    for place, label in enumerate(named):
        own = labels == label
        rows.append((classes[label], f"{wrong[own].sum()} of {own.sum()}", _look(place)))
    others = ~np.isin(labels, named)
    if others.any():
        name = f"{len(np.unique(labels[others]))} other classes"
        count = f"{wrong[others].sum()} of {others.sum()}"
        rows.append((name, count, {"color": "#AEB7C0", "marker": "o"}))
    title = "Class (wrong of images)" if not others.any() else "Most mistakes (wrong of images)"
    page.text(x, 0.08, fitted(title, LEGEND, 9), fontsize=9, color=QUIET)
    for row, (name, count, look) in enumerate(rows):
        y = 0.12 + 0.26 * row
        mark = Line2D([x + 0.1], [0.55 + y], linestyle="none", markersize=7, **look)
        page.canvas.add_line(mark)
        room = LEGEND - 0.3 - 0.75
        page.text(x + 0.3, 0.55 + y, fitted(name, room, 9), fontsize=9, va="center")
        page.text(x + LEGEND, 0.55 + y, count, fontsize=9, va="center", ha="right", color=QUIET)
    y = 0.12 + 0.26 * len(rows)
    ring: dict[str, Any] = {"markersize": 10, "mfc": "none", "mec": INK, "mew": 0.8}
    page.canvas.add_line(Line2D([x + 0.1], [0.55 + y], linestyle="none", marker="o", **ring))
    said = f"predicted {_ringed(labels, predictions)[1]}"
    page.text(x + 0.3, 0.55 + y, said, fontsize=9, va="center")
