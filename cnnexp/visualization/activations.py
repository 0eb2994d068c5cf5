"""Feature maps: what each block makes of an image."""

import math
from collections.abc import Sequence

import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import nn

from cnnexp.config.types import PositiveInt
from cnnexp.logits import to_probabilities
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture, picture_name
from cnnexp.reporting.style import QUIET, house_style
from cnnexp.visualization.captions import verdict
from cnnexp.visualization.layers import HEAD, block_outputs, find_layer, gives
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.probe import Probe

ACROSS, CELL, GAP, SIDE = 8, 0.95, 0.24, 1.9  # maps per row; inches
BATCH = 16  # images at a time: memory stays bounded
KEY = "visualization.activations.blocks"


def feature_maps(
    network: nn.Sequential, images: torch.Tensor, blocks: Sequence[str] | None = None
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Block -> its output (B, C, h, w) float32 for images (B, 3, H, W); and the logits (B, K or 1).

    blocks: or layers inside one (block3.0), in the order in which they run; None for all blocks
    that give maps, but for `normalize`. Raises InputError for a name that the network lacks, or
    whose output is no map.
    """
    with looking_at(network) as network, torch.no_grad():
        for name in blocks or ():
            find_layer(network, name, KEY)
        with gives(network, blocks or (), KEY) as given:
            outputs = block_outputs(network, images)
    logits = outputs.pop(HEAD)
    if blocks is not None:
        return {name: values.float() for name, values in given.items()}, logits
    return {n: x for n, x in outputs.items() if x.dim() == 4 and n != "normalize"}, logits


def ranked_channels(maps: torch.Tensor) -> list[int]:
    """Channels of (C, h, w): what varies most over the image first, then by mean response."""
    spread = maps.flatten(1).std(dim=1, correction=0).tolist()  # (C,)
    response = maps.flatten(1).mean(dim=1).abs().tolist()
    return sorted(range(len(maps)), key=lambda c: (-spread[c], -response[c], c))


def dead_channels(
    network: nn.Sequential, images: torch.Tensor, blocks: Sequence[str] | None = None
) -> dict[str, torch.Tensor]:
    """Block -> (C,) bool: the same value at all positions of all images; it tells nothing.

    Where there is but one position of one image: the value is 0.
    """
    lowest: dict[str, torch.Tensor] = {}
    highest: dict[str, torch.Tensor] = {}
    seen: dict[str, int] = {}
    for some in images.split(BATCH):
        for name, values in feature_maps(network, some, blocks)[0].items():
            low, high = values.amin(dim=(0, 2, 3)), values.amax(dim=(0, 2, 3))
            lowest[name] = torch.minimum(low, lowest.get(name, low))
            highest[name] = torch.maximum(high, highest.get(name, high))
            seen[name] = seen.get(name, 0) + values[:, 0].numel()
    return {
        name: lowest[name] == highest[name] if seen[name] > 1 else lowest[name] == 0
        for name in lowest
    }


@house_style
def activations(
    probe: Probe,
    *,
    images: PositiveInt = 2,
    channels: PositiveInt = 16,
    blocks: Sequence[str] | None = None,
) -> dict[str, Picture]:
    """One figure per image; dead channels are counted over all images of the probe."""
    maps, logits = feature_maps(probe.network, probe.images[:images], blocks)
    flags = dead_channels(probe.network, probe.images, blocks)
    dead = {name: int(channels_dead.sum()) for name, channels_dead in flags.items()}
    counts = {name: values.shape[1] for name, values in maps.items()}
    probabilities = to_probabilities(logits).cpu().numpy()
    pictures = {}
    for i in range(len(logits)):
        said = verdict(int(probe.labels[i]), probabilities[i], probe.classes, width=8)
        figure = _figure(
            pixels=probe.images[i],
            maps={name: values[i].cpu() for name, values in maps.items()},
            dead=dead,
            channels=channels,
            title=f"Activations for {probe.paths[i]}",
            said=said.lines,
            notes=[
                "true class → predicted class (its probability)"
                if probe.labels[i] >= 0
                else "the predicted class (its probability)",
                "",
                "Below, for each block, the channels that vary most over the image, the most",
                "first, each under its number. One scale per block: equal colours, equal values.",
                f"Dead: the same value everywhere in all {len(probe.images)} images at hand.",
            ],
        )
        pictures[picture_name("activations", i + 1, *(blocks or ()), probe.chosen)] = Picture(
            figure,
            title=f"Activations for {probe.paths[i]}",
            reading="The feature maps of each block, the channels that vary most first. One scale "
            "per block: equal colours are equal values. Early blocks answer to edges and colours, "
            "late ones to parts; a dead channel gives the same value everywhere.",
            alt=f"Feature maps of {len(maps)} blocks for one image, {said.lines[0]}; "
            f"{sum(dead.values())} channels are dead.",
            numbers={"dead_channels": dead, "channels": counts},
        )
    return pictures


def _figure(
    *,
    pixels: torch.Tensor,
    maps: dict[str, torch.Tensor],
    dead: dict[str, int],
    channels: int,
    title: str,
    said: Sequence[str],
    notes: Sequence[str],
) -> Figure:
    """pixels: (3, H, W) uint8. maps: block -> (C, h, w)."""
    rows = {name: math.ceil(min(len(values), channels) / ACROSS) for name, values in maps.items()}
    bands = {name: max(count * (CELL + GAP), 1.3) + 0.15 for name, count in rows.items()}
    left = MARGIN + SIDE
    width = left + ACROSS * CELL + (ACROSS - 1) * 0.06 + MARGIN
    page = Page(width, 1.8 + sum(bands.values()), title)
    page.image(MARGIN, 0.05, 1.45, 1.45, pixels.permute(1, 2, 0).cpu().numpy())
    for line, note in enumerate([*said, *notes]):
        style = {"fontsize": 12, "fontweight": "bold"} if note in said else {"color": QUIET}
        page.text(left, 0.05 + 0.22 * line, note, **style)
    y = 1.8
    for name, values in maps.items():
        shown = ranked_channels(values)[:channels]
        norm, colours = _scale(values[shown])
        page.text(MARGIN, y, fitted(name, SIDE - 0.2, 11, "bold"), fontsize=11, fontweight="bold")
        count, height, wide = values.shape
        some = f"{len(shown)} shown, " if len(shown) < count else ""
        page.text(
            MARGIN,
            y + 0.22,
            f"{count} channels of {height}x{wide}\n{some}{dead[name]} dead",
            fontsize=8.5,
            color=QUIET,
            linespacing=1.4,
        )
        bar = page.axes(MARGIN + 0.05, y + 0.72, SIDE - 0.6, 0.11)
        page.figure.colorbar(ScalarMappable(norm, colours), cax=bar, orientation="horizontal")
        bar.tick_params(labelsize=7.5)
        for place, channel in enumerate(shown):
            x = left + (place % ACROSS) * (CELL + 0.06)
            down = y + (place // ACROSS) * (CELL + GAP)
            page.text(x, down, f"#{channel}", fontsize=7.5, color=QUIET)
            answer = values[channel].numpy()
            page.image(x, down + 0.15, CELL, CELL, answer, cmap=colours, norm=norm)
        y += bands[name]
    return page.figure


def _scale(values: torch.Tensor) -> tuple[Normalize, str]:
    """Zero is the dark end of what is never negative, and the middle of what is."""
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        return Normalize(0, high or 1.0), "magma"
    reach = max(-low, high)
    return Normalize(-reach, reach), "RdBu_r"
