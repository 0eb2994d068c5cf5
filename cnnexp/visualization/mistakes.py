"""The most confident wrong answers and the least confident right ones, and what spoke for them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from cnnexp.config.types import PositiveInt
from cnnexp.errors import Inapplicable
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import QUIET, house_style
from cnnexp.visualization.captions import LEGEND, percent, verdict
from cnnexp.visualization.gradcam import gradcam_maps
from cnnexp.visualization.overlay import heat_over, heat_scale, strength
from cnnexp.visualization.probe import Probe

SIDE, GAP, BETWEEN, BAR, LINE = 1.45, 0.05, 0.35, 1.0, 0.19  # inches
NARROWEST = 2.2  # of a card


class Extremes(NamedTuple):
    """Places in the test split. wrong: the most confident first; right: the least confident first.

    wrong_total, right_total: how many there are.
    """

    wrong: list[int]
    right: list[int]
    wrong_total: int
    right_total: int


class Card(NamedTuple):
    """An image of the figure. pixels: (H, W, 3) uint8. maps: classes, and a map (H, W) for each."""

    place: int
    pixels: np.ndarray
    maps: list[tuple[int, np.ndarray]]


def extremes(labels: np.ndarray, probabilities: np.ndarray, wrong: int, right: int) -> Extremes:
    """labels: (N,). probabilities: (N, K). wrong, right: at most so many; of equals the first."""
    predictions, sure = probabilities.argmax(1), probabilities.max(axis=1)
    missed = np.flatnonzero(predictions != labels)
    hit = np.flatnonzero(predictions == labels)
    return Extremes(
        missed[np.argsort(-sure[missed], kind="stable")][:wrong].tolist(),
        hit[np.argsort(sure[hit], kind="stable")][:right].tolist(),
        len(missed),
        len(hit),
    )


@house_style
def mistakes(probe: Probe, *, wrong: PositiveInt = 8, right: PositiveInt = 6) -> dict[str, Picture]:
    """Two figures: the most confident wrong test images, and the least confident right ones."""
    labels, predictions = probe.test.labels, probe.probabilities.argmax(1)
    found = extremes(labels, probe.probabilities, wrong, right)
    # Of what was predicted, and where that was wrong, of what would have been right.
    wanted = [(i, k) for i in found.wrong for k in (int(predictions[i]), int(labels[i]))]
    wanted += [(i, int(predictions[i])) for i in found.right]
    cards, where = _cards(probe, wanted)
    numbers = {
        name: [
            {
                "path": probe.test.paths[i],
                "label": probe.classes[labels[i]],
                "prediction": probe.classes[predictions[i]],
                "probability": float(probe.probabilities[i, predictions[i]]),
            }
            for i in places
        ]
        for name, places in (("wrong", found.wrong), ("right", found.right))
    }
    total = found.wrong_total + found.right_total
    missed = _figure(
        probe,
        [cards[i] for i in found.wrong],
        "The most confident mistakes",
        [f"{found.wrong_total:,} of {total:,} test images are predicted wrong. {where}", LEGEND],
        "No mistake: all test images are predicted right.",
        across=2,
    )
    doubtful = _figure(
        probe,
        [cards[i] for i in found.right],
        "The least confident right answers",
        [f"{found.right_total:,} of {total:,} test images are predicted right. {where}", LEGEND],
        "No test image is predicted right.",
        across=3,
    )
    return {
        "mistakes": Picture(
            missed,
            title="The most confident mistakes",
            reading="The wrong test images of which the network was surest, the surest first. Look "
            "for wrong labels, for two objects in one image, for what the two classes share. They "
            "are the extreme cases: how often which classes are confused is in the confusion "
            "matrix. What is bright in both maps of an image does not tell its two "
            "classes apart.",
            alt=_told("wrongly predicted test images", numbers["wrong"], found.wrong_total),
            numbers={"total": found.wrong_total, "images": numbers["wrong"]},
        ),
        "least_confident": Picture(
            doubtful,
            title="The least confident right answers",
            reading="Predicted right, but only just, the least sure first: a slightly different "
            "image, or another seed, may tip them. They are often small, cut off or unusual "
            "objects; more images like them are worth more than more of the easy ones.",
            alt=_told("rightly predicted test images", numbers["right"], found.right_total),
            numbers={"total": found.right_total, "images": numbers["right"]},
        ),
    }


def _cards(probe: Probe, wanted: Sequence[tuple[int, int]]) -> tuple[dict[int, Card], str]:
    """Place -> its card, with a map for each class asked for (place, class); and a line on them.

    A network without a map for Grad-CAM (a transformer) has cards without maps, and a line why.
    """
    places = [place for place, _ in wanted]
    images = probe.test.take(places)
    pixels = images.permute(0, 2, 3, 1).numpy()
    cards = {place: Card(place, pixels[n], []) for n, place in enumerate(places)}
    if not wanted:
        return cards, ""
    targets = torch.tensor([target for _, target in wanted], device=probe.device)
    try:
        found = gradcam_maps(probe.network, images.to(probe.device), targets)
    except Inapplicable:
        return cards, "No Grad-CAM: no block gives a map of at least 4x4."
    for (place, target), heat in zip(wanted, found.maps.cpu().numpy(), strict=True):
        cards[place].maps.append((target, heat))
    return cards, f"Maps: Grad-CAM at {found.layer} for the class below; each image has its scale."


def _figure(
    probe: Probe,
    cards: Sequence[Card],
    title: str,
    lines: Sequence[str],
    none: str,
    *,
    across: int,
) -> Figure:
    """Cards in rows: the verdict, the image and its maps, the path."""
    if not cards:
        page = Page(7.5, 0.6, title)
        page.text(MARGIN, 0.1, none)
        return page.figure
    tiles = 1 + len(cards[0].maps)
    across = min(across, len(cards))
    width = max(tiles * (SIDE + GAP) - GAP, NARROWEST)
    said = [
        verdict(int(probe.test.labels[c.place]), probe.probabilities[c.place], probe.classes,
                width=width)
        for c in cards
    ]  # fmt: skip
    above = 0.12 + LINE * max(len(one.lines) for one in said)
    cell = above + SIDE + 0.55
    page = Page(
        max(2 * MARGIN + across * (width + BETWEEN) + BAR - BETWEEN / 2, 7.5),
        math.ceil(len(cards) / across) * cell,
        title,
        lines,
    )
    for n, (card, caption) in enumerate(zip(cards, said, strict=True)):
        x, y = MARGIN + (n % across) * (width + BETWEEN), (n // across) * cell + above
        page.text(x, y - 0.08, caption.text, va="bottom", **caption.style)
        page.image(x, y, SIDE, SIDE, card.pixels)
        most = max((float(heat.max()) for _, heat in card.maps), default=0.0) or 1.0
        for m, (target, heat) in enumerate(card.maps, start=1):
            at = x + m * (SIDE + GAP)
            heat_over(page, (at, y, SIDE, SIDE), card.pixels, heat, Normalize(0, most))
            name = fitted(f"for {probe.classes[target]}", SIDE, 9)
            page.text(at, y + SIDE + 0.07, name, fontsize=9)
            page.text(at, y + SIDE + 0.24, strength(float(heat.max())), fontsize=8, color=QUIET)
        path = fitted(probe.test.paths[card.place], SIDE if card.maps else width, 8)
        page.text(x, y + SIDE + 0.08, path, fontsize=8, color=QUIET)
    if cards[0].maps:
        bar = page.axes(MARGIN + across * (width + BETWEEN), above, 0.14, SIDE)
        heat_scale(bar, Normalize(0, 1), "of the image's maximum")
    return page.figure


def _told(what: str, images: Sequence[dict[str, Any]], total: int) -> str:
    if not images:
        return f"There are no {what}."
    first = images[0]
    return (
        f"{len(images)} of {total} {what} with Grad-CAM maps; the first is a {first['label']} "
        f"predicted as {first['prediction']} ({percent(first['probability'])})."
    )
