"""Nearest neighbours: what the network holds to be alike, and what is alike pixel by pixel.

Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", figure 4:
training images by the Euclidean distance of their last feature vectors from a test image's.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from annotated_types import Gt, Le

from cnnexp.config.types import PositiveInt
from cnnexp.data.turns import in_turn
from cnnexp.logits import to_probabilities
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture, picture_name
from cnnexp.reporting.style import INK, QUIET, VERMILION, house_style
from cnnexp.visualization.captions import WRONG, verdict
from cnnexp.visualization.features import BATCH, features_of, last_features, stratified
from cnnexp.visualization.probe import Probe

QUERY, TILE, GAP, BETWEEN, ROW = 1.65, 0.95, 0.07, 0.4, 1.47  # inches
NARROWEST = 3.4  # of a block


class Neighbours(NamedTuple):
    """places: (Q, k) int64 in the database, the nearest first. distances: (Q, k) float64."""

    places: torch.Tensor
    distances: torch.Tensor


class Space(NamedTuple):
    """One of the two blocks. labels: (Q, k), the neighbours' classes. unit: a format of numbers."""

    name: str
    found: Neighbours
    labels: np.ndarray
    unit: str


def nearest_neighbours(
    queries: torch.Tensor, database: Iterable[torch.Tensor], k: int
) -> Neighbours:
    """The k of M database vectors with the smallest Euclidean distance to each of (Q, D) queries.

    database: batches (B, D) in main memory. Of equals the first. k or M, the smaller. In float64:
    of whole numbers, as pixels are, the squared distances are exact, and 0 for an equal image only.
    """
    wanted = queries.double()
    squares = wanted.square().sum(dim=1, keepdim=True)  # (Q, 1)
    nearest = torch.empty(len(queries), 0, dtype=torch.float64)
    places = torch.empty(len(queries), 0, dtype=torch.int64)
    seen = 0
    for batch in database:
        some = batch.double()
        distances = squares + some.square().sum(dim=1) - 2 * wanted @ some.T  # (Q, B)
        numbers = torch.arange(seen, seen + len(some)).expand_as(distances)
        seen += len(some)
        nearest = torch.cat([nearest, distances.clamp(min=0)], dim=1)
        nearest, order = nearest.sort(dim=1, stable=True)
        places = torch.cat([places, numbers], dim=1).gather(1, order)[:, :k]
        nearest = nearest[:, :k]
    return Neighbours(places, nearest.sqrt())


def choose_queries(labels: np.ndarray, predictions: np.ndarray, count: int) -> list[int]:
    """Places of up to `count` images: wrongly predicted ones, up to half, and right ones, each of
    another class while there are classes. In order of class.
    """
    chosen: list[int] = []

    def add(places: Iterable[int], most: int, *, new_class: bool) -> None:
        for i in places:
            known = {int(labels[j]) for j in chosen}
            if len(chosen) < most and i not in chosen and not (new_class and labels[i] in known):
                chosen.append(int(i))

    wrong = np.flatnonzero(labels != predictions)
    right = np.flatnonzero(labels == predictions)
    wrong, right = wrong[in_turn(labels[wrong])], right[in_turn(labels[right])]
    half = math.ceil(count / 2)
    add(wrong, half, new_class=True)
    add(wrong, half, new_class=False)
    add(right, count, new_class=True)
    add(wrong, count, new_class=True)
    add([*right, *wrong], count, new_class=False)
    return sorted(chosen, key=lambda i: (labels[i], i))


@house_style
def neighbours(
    probe: Probe,
    *,
    queries: PositiveInt = 6,
    k: Annotated[int, Gt(0), Le(10)] = 5,
    database: PositiveInt = 1000,
) -> dict[str, Picture]:
    """Test images, and the training images nearest to them in feature space and in pixel space."""
    drawn = stratified(probe.train.labels, database)
    k = min(k, len(drawn))
    features, _ = features_of(
        probe.network, probe.train, drawn, probe.device, progress=probe.progress
    )
    images = probe.images.cpu()
    wanted, logits = last_features(probe.network, probe.images.split(BATCH))
    probabilities = to_probabilities(logits).numpy()
    pixels = (
        probe.train.take(drawn[start : start + BATCH]).flatten(1)
        for start in range(0, len(drawn), BATCH)
    )
    alike = nearest_neighbours(images.flatten(1), pixels, k)
    rms = alike._replace(distances=alike.distances / math.sqrt(images[0].numel()))
    classes_at = probe.train.labels[drawn]
    spaces = [
        Space(name, found, classes_at[found.places.numpy()], unit)
        for name, found, unit in (
            ("Feature space", nearest_neighbours(wanted, features.split(1024), k), "{:.3g}"),
            ("Pixel space", rms, "{:.0f} grey levels"),
        )
    ]
    predicted, labels = probabilities.argmax(1), probe.labels.cpu().numpy()
    known = bool((labels >= 0).all())
    labels = np.where(labels < 0, predicted, labels)
    numbers = _numbers(probe, spaces, labels, drawn)
    shown = choose_queries(labels, predicted, queries)
    copies = len(numbers["exact_copies"])
    what = ("" if probe.chosen else "test ") + ("image" if len(labels) == 1 else "images")
    lines = [
        ("Images" if probe.chosen else "Test images")
        + f", and the {k} nearest of {_said(len(drawn), len(probe.train))}."
        + " Where a query's class is not known, the predicted one counts." * (not known),
        f"Feature space: Euclidean distance of the {features.shape[1]:,} inputs of the last layer.",
        "Pixel space: root mean square difference of the values, 0 to 255.",
        f"{WRONG} and dashed: another class than the query's. By chance "
        f"{numbers['chance']:.0%} are of its class.",
    ]
    if copies:
        lines.append(
            f"{copies} of the {len(labels)} {what} {'has' if copies == 1 else 'have'} an "
            "exact copy (0 grey levels) among these training images"
            + (": it was trained on." if probe.chosen else ": a leak.")
        )
    figure = _figure(probe, shown, labels, probabilities, spaces, drawn, lines, numbers).figure
    name = picture_name("neighbours", probe.chosen)
    shares = numbers["agreement"]
    said = (
        f"{_percent(shares['features'])} of the neighbours in feature space and "
        f"{_percent(shares['pixels'])} "
        f"of those in pixel space are of the query's class ({len(labels)} {what}; by chance "
        f"{numbers['chance']:.0%})"
    )
    return {
        name: Picture(
            figure,
            title=f"Nearest neighbours{probe.of_chosen}",
            reading=f"{said}. Images near in pixel space have like colours in like places; near in "
            "feature space is what the classifier can hardly tell apart, so neighbours of another "
            "class show what it mixes up. Of training images the features were fitted to the "
            "labels: they look tidier than those of new images, and distances of two networks "
            "cannot be compared.",
            alt=f"{len(shown)} {what}, each with the {k} nearest training images in feature "
            f"space and the {k} nearest in pixel space; {said}.",
            numbers=numbers,
        )
    }


def _percent(share: float) -> str:
    """No 100% where one is not."""
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _said(drawn: int, count: int) -> str:
    if drawn == count:
        return f"all {count:,} training images"
    return f"{drawn:,} training images, drawn from {count:,} so that each class keeps its share"


def _numbers(
    probe: Probe, spaces: Sequence[Space], labels: np.ndarray, drawn: np.ndarray
) -> dict[str, Any]:
    """agreement: shares of neighbours of the query's class, over all the probe's images. chance:
    that share of images drawn blindly. exact_copies: test path, training path.
    """
    features, pixels = spaces
    share = {
        name: float((space.labels == labels[:, None]).mean())
        for name, space in (("features", features), ("pixels", pixels))
    }
    known = probe.train.labels[drawn]
    copies = np.flatnonzero(pixels.found.distances[:, 0].numpy() == 0)
    return {
        "k": pixels.labels.shape[1],
        "database": len(drawn),
        "queries": len(labels),
        "agreement": share,
        "chance": float(np.mean([(known == label).mean() for label in labels])),
        "exact_copies": [
            [probe.paths[i], probe.train.paths[drawn[pixels.found.places[i, 0]]]] for i in copies
        ],
    }


def _figure(
    probe: Probe,
    shown: Sequence[int],
    labels: np.ndarray,
    probabilities: np.ndarray,
    spaces: Sequence[Space],
    drawn: np.ndarray,
    lines: Sequence[str],
    numbers: dict[str, Any],
) -> Page:
    """A row per query: it and the network's verdict, then a block of neighbours per space."""
    k = numbers["k"]
    block = max(k * (TILE + GAP) - GAP, NARROWEST)
    left, head = MARGIN + QUERY + 0.1, 0.62
    page = Page(
        left + 2 * block + BETWEEN + MARGIN,
        head + len(shown) * ROW,
        f"Nearest neighbours among the training images{probe.of_chosen}",
        lines,
    )
    page.text(MARGIN, 0.1, "Query", fontsize=11, fontweight="bold")
    known = bool((probe.labels >= 0).any())
    meaning = "true → predicted" if known else "→ predicted"
    page.text(MARGIN, 0.31, meaning, fontsize=9, color=QUIET)
    for space, share, x in zip(
        spaces, numbers["agreement"].values(), (left, left + block + BETWEEN), strict=True
    ):
        page.text(x, 0.1, space.name, fontsize=11, fontweight="bold")
        note = f"{_percent(share)} share the query's class, over {numbers['queries']} images"
        page.text(x, 0.31, fitted(note, block, 9), fontsize=9, color=QUIET)
    for row, i in enumerate(shown):
        y = head + row * ROW
        page.image(MARGIN, y, TILE, TILE, probe.images[i].permute(1, 2, 0).cpu().numpy())
        said = verdict(int(probe.labels[i]), probabilities[i], probe.classes, width=QUERY, size=8.5)
        page.text(MARGIN, y + TILE + 0.05, said.text, fontsize=8.5, linespacing=1.3, **said.style)
        for space, start in zip(spaces, (left, left + block + BETWEEN), strict=True):
            places = drawn[space.found.places[i].numpy()]
            tiles = probe.train.take(places).permute(0, 2, 3, 1).numpy()
            for j, tile in enumerate(tiles):
                x = start + j * (TILE + GAP)
                page.image(x, y, TILE, TILE, tile)
                same = space.labels[i, j] == labels[i]
                name = probe.classes[space.labels[i, j]]
                mark = "" if same else f"{WRONG} "
                name = mark + fitted(name, TILE - (0 if same else 0.14), 8.5)
                colour = INK if same else VERMILION
                page.text(x, y + TILE + 0.05, name, fontsize=8.5, color=colour)
                far = space.unit.format(float(space.found.distances[i, j]))
                page.text(x, y + TILE + 0.21, far, fontsize=7.5, color=QUIET)
                if not same:
                    page.frame(x, y, TILE, TILE, color=VERMILION, ls=(0, (4, 2)))
    return page
