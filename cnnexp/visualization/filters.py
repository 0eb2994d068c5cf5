"""Filters seen by what excites them: images made by gradient ascent, and those of the data set."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cnnexp.config.types import NonNegativeInt, PositiveInt
from cnnexp.errors import InputError
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import FAINT, QUIET, VERMILION, house_style
from cnnexp.visualization.excitation import Excitation, excitations
from cnnexp.visualization.fourier_image import colour_basis
from cnnexp.visualization.maximisers import BEST, LAYERS, SEED, Filters, layer_filters
from cnnexp.visualization.probe import Probe
from cnnexp.visualization.responses import find_layers

ACROSS, SIDE, GAP, BETWEEN = 4, 1.3, 0.05, 0.3  # filters per row; inches


@house_style
def filters(
    probe: Probe,
    *,
    layers: Sequence[str] | None = None,
    channels: Sequence[NonNegativeInt] | None = None,
    count: PositiveInt = 12,
    searched: PositiveInt = 500,
    steps: PositiveInt = 24,
) -> dict[str, Picture]:
    """One figure per layer: for each channel the image that excites it most, made and found.

    Found in `searched` training images, drawn without regard to their classes.
    """
    size = (probe.images.shape[-2], probe.images.shape[-1])
    names = find_layers(probe.network, layers, size, LAYERS)
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(probe.train))[:searched])
    found = excitations(
        probe.network, names, probe.train, chosen, probe.device, probe.progress, LAYERS
    )
    colours = colour_basis(probe.train.take(chosen[:: math.ceil(len(chosen) / 256)], probe.device))
    if probe.rehearsal:
        count, steps = 2, 1
    pictures = {}
    for name in names:
        shown = _shown_channels(found[name], name, channels, count)
        if probe.rehearsal:
            shown = shown[:count]
        result = layer_filters(probe, name, found[name], chosen, shown, colours, steps)
        pictures[f"filters_{name.replace('.', '_')}"] = _picture(result, len(chosen), steps)
    return pictures


def _shown_channels(
    excitation: Excitation, layer: str, channels: Sequence[int] | None, count: int
) -> list[int]:
    """Those asked for, else those whose responses differ most from image to image; live ones."""
    total = len(excitation.dead)
    for channel in channels or ():
        if channel >= total:
            raise InputError(
                f"visualization.filters.channels: {layer} has no channel {channel}; "
                f"it has {total}, 0 to {total - 1}"
            )
    spread = excitation.highest.std(dim=0, correction=0)
    order = spread.sort(descending=True, stable=True).indices.tolist()
    wanted = order if channels is None else list(dict.fromkeys(channels))
    live = [channel for channel in wanted if not excitation.dead[channel]]
    return live if channels is not None else live[:count]


def _picture(result: Filters, searched: int, steps: int) -> Picture:
    layer, higher = (
        result.layer,
        sum(made > best for made, best in zip(result.reached, result.best, strict=True)),
    )
    n = len(result.channels)
    return Picture(
        _figure(result, searched),
        title=f"Filters of {layer}",
        reading="Large: the image that gradient ascent made to excite the channel. Small: the "
        f"parts of {searched:,} training images that excite it most. What both show is what the "
        "channel looks for; what the large one alone shows may never occur in an image, and a "
        "channel may look for several things of which it shows one. Orange: the made image excites "
        "its channel no more than the best training image: it may be unfinished, "
        "visualization.filters.steps makes it more.",
        alt=f"{n} of {result.total} channels of {layer}, for each an image made by gradient ascent "
        f"and {BEST} parts of training images; {higher} of the {n} made images excite their "
        f"channel more than any training image, {len(result.dead)} channels are dead.",
        numbers={
            "layer": layer,
            "channels": result.channels,
            "reached": result.reached,
            "best_image": result.best,
            "share_above_best_image": result.share if n else None,
            "images": result.paths,
            "dead": result.dead,
            "steps": steps,
        },
    )


def _figure(result: Filters, searched: int) -> Figure:
    pair = 2 * SIDE + GAP
    cell = SIDE + 0.62
    rows = math.ceil(len(result.channels) / ACROSS)
    width = 2 * MARGIN + ACROSS * pair + (ACROSS - 1) * BETWEEN
    side = result.made.shape[-1]
    dead = ", ".join(f"#{channel}" for channel in result.dead)
    lines = [
        "Large: made by gradient ascent. Small: of "
        f"{searched:,} training images those that excite the channel most.",
        f"Cut to the {side}x{side} pixels that hold 95% of what moves the response. Numbers: the "
        "channel's largest response, before the activation.",
        f"{len(result.dead)} dead, the same value everywhere in all of these: {dead}"
        if dead
        else "No channel is dead.",
    ]
    height, wide = result.size
    page = Page(
        width,
        max(rows * cell, 0.3),
        f"Filters of {result.layer}: {len(result.channels)} of {result.total} channels, "
        f"maps of {height}x{wide}",
        lines,
    )
    for i, channel in enumerate(result.channels):
        x = MARGIN + (i % ACROSS) * (pair + BETWEEN)
        y = (i // ACROSS) * cell + 0.1
        page.text(x, y, f"#{channel}", fontweight="bold")
        y += 0.22
        page.image(x, y, SIDE, SIDE, result.made[i].permute(1, 2, 0).numpy())
        page.frame(
            x, y, SIDE, SIDE, color=FAINT, linewidth=0.8
        )  # white ones would be lost on the page
        small = (SIDE - GAP) / 2
        for place, part in enumerate(result.found[i]):
            left = x + SIDE + GAP + (place % 2) * (small + GAP)
            down = y + (place // 2) * (small + GAP)
            page.image(left, down, small, small, part.permute(1, 2, 0).numpy())
        made, best = result.reached[i], result.best[i]
        style = {"color": QUIET} if made > best else {"color": VERMILION, "fontweight": "bold"}
        said = f"made {made:.3g} {'>' if made > best else '≤'} found {best:.3g}"
        page.text(x, y + SIDE + 0.06, fitted(said, pair, 9, "bold"), fontsize=9, **style)
    return page.figure
