"""Explanations that check themselves: how far a map can be believed.

Maps are (B, H, W) float32, >= 0: how much each pixel mattered for the class `targets` (B,) int64.
"""

import copy
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

from cnnexp.logits import to_probabilities
from cnnexp.reporting.page import MARGIN, Page
from cnnexp.reporting.style import BLUE, FAINT, INK, QUIET, VERMILION
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.probe import Progress, silently

SQUARES = 8  # a side: as many regions as a coarse map has places, so that none is favoured
STEPS = 8
RANDOM_ORDERS = 2  # per image; their mean is the reference
CLEAR = 0.05  # worse than the reference by less is noise, with a handful of images
SAME = 0.5  # rank correlation; a map that agrees so well with that of random weights fails


class Curves(NamedTuple):
    """Probability of the class, (B, steps + 1), as more and more of the image is removed, or put
    back; from nothing of it to all of it, in equal steps.
    """

    deletion: torch.Tensor
    insertion: torch.Tensor

    def areas(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Under each curve, by trapezoids: (B,), (B,) in [0, 1]."""
        width = 1 / (self.deletion.shape[1] - 1)
        return torch.trapezoid(self.deletion, dx=width), torch.trapezoid(self.insertion, dx=width)


def removal_curves(
    network: nn.Sequential,
    images: torch.Tensor,
    targets: torch.Tensor,
    maps: torch.Tensor,
    *,
    ends: torch.Tensor | None = None,
    steps: int = STEPS,
    side: int | None = None,
) -> Curves:
    """What happens to the class as the most important squares are removed, or put in, first.

    Deletion and insertion of Petsiuk et al. 2018, "RISE", section 4.1, by squares and not by single
    pixels, as Samek et al. 2017, "Evaluating the Visualization of What a Deep Neural Network Has
    Learned": single pixels make a noise that any network stumbles over, in whatever order.
    Deleted squares get the image's mean colour; insertion starts from the blurred image, for
    sharp squares on one colour would be evidence of their own. Equal squares come in random order.
    images: (B, 3, H, W) floats in [0, 1]. ends: of `curve_ends`, which all maps share; None: run
    here. side: of a square, in pixels; None: 1/SQUARES of H.
    """
    height, width = images.shape[-2:]
    side = side or max(1, height // SQUARES)
    ranks = _ranks(F.avg_pool2d(maps[:, None], side, ceil_mode=True, count_include_pad=False)[:, 0])
    ranks = ranks.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, :height, :width]
    count = int(ranks.max()) + 1
    mean = images.mean(dim=(2, 3), keepdim=True)
    soft = blurred(images)
    whole, flat, blurry = curve_ends(network, images, targets) if ends is None else ends
    curves = [torch.stack([whole, blurry])]
    with looking_at(network) as network, torch.no_grad():
        for step in range(1, steps):
            taken = (ranks < round(count * step / steps))[:, None]  # (B, 1, H, W)
            both = [torch.where(taken, mean, images), torch.where(taken, images, soft)]
            shares = to_probabilities(network(torch.cat(both)))
            curves.append(shares.gather(1, targets.repeat(2)[:, None]).view(2, -1))
    deletion, insertion = torch.stack([*curves, torch.stack([flat, whole])], dim=-1)
    return Curves(deletion, insertion)


def curve_ends(network: nn.Sequential, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(3, B) probabilities of the targets: images as they are, their mean colours, blurred."""
    flat = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    # Blurred out here, in float32: in bfloat16 that takes minutes.
    given = torch.cat([images, flat, blurred(images)])
    with looking_at(network) as network, torch.no_grad():
        shares = to_probabilities(network(given))
    return shares.gather(1, targets.repeat(3)[:, None]).view(3, -1)


def blurred(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) by a Gaussian whose standard deviation is an eighth of the smaller side."""
    sigma = min(images.shape[-2:]) / 8
    return gaussian_blur(images, 2 * math.ceil(2 * sigma) + 1, sigma)


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """(B, h, w) -> int64, 0 for each image's highest value; equal values in random order."""
    flat = values.flatten(1)
    generator = torch.Generator().manual_seed(0)
    order = torch.stack([torch.randperm(flat.shape[1], generator=generator) for _ in flat])
    order = order.to(flat.device)
    order = order.gather(1, flat.gather(1, order).argsort(dim=1, descending=True, stable=True))
    return order.argsort(dim=1).view(values.shape)


def randomised(network: nn.Sequential, seed: int = 7_919_000_001) -> nn.Sequential:
    """A copy whose weights are drawn anew, as the layers draw them at first; on the same device.
    Batch norm's statistics begin anew, too; filters that whiten stay: they are of the images.

    seed: one that no run has, else these could be the weights that the network started from.
    """
    network = copy.deepcopy(network)
    devices = sorted({p.device.index or 0 for p in network.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(seed)
        for module in network.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                spread = float(parameter.std(correction=0))
                parameter.normal_(float(parameter.mean()), spread)
    return network


def rank_correlations(maps: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Spearman's, image by image: (B,) in [-1, 1]; 0 where a map is the same everywhere."""
    found = []
    for pair in zip(maps.cpu().numpy(), others.cpu().numpy(), strict=True):
        first, second = (rankdata(values) - (values.size + 1) / 2 for values in map(np.ravel, pair))
        size = math.sqrt(float(first @ first) * float(second @ second))
        found.append(float(first @ second) / size if size > 0 else 0.0)
    return torch.tensor(found)


def pointing_hits(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Whether a map's maximum lies on the object: (B,) in [0, 1].

    Zhang et al. 2018, "Top-Down Neural Attention by Excitation Backprop", with no tolerance. Of
    several maxima their share that does; 0 for a map that is zero everywhere.
    """
    highest = (maps == maps.amax(dim=(1, 2), keepdim=True)) & (maps > 0)
    return (highest & masks).sum(dim=(1, 2)) / highest.sum(dim=(1, 2)).clamp(min=1)


def mass_inside(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The share of a map's sum that lies on the object: (B,) in [0, 1]; 0 for a map of zeros.

    The energy-based pointing game of Wang et al. 2020, "Score-CAM", section 4.3.
    """
    return (maps * masks).sum(dim=(1, 2)) / maps.sum(dim=(1, 2)).clamp(min=1e-30)


class Scores(NamedTuple):
    """Means over images. deletion, insertion: areas, see Curves. randomised: rank correlation with
    the map of random weights (Adebayo et al. 2018, "Sanity Checks for Saliency Maps"). hits,
    inside: pointing_hits, mass_inside; None without masks.
    """

    deletion: float
    insertion: float
    randomised: float
    hits: float | None = None
    inside: float | None = None


def measure(
    network: nn.Sequential,
    images: torch.Tensor,
    targets: torch.Tensor,
    maps: Mapping[str, torch.Tensor],
    attribute: Callable[[nn.Sequential, str], torch.Tensor],
    *,
    masks: torch.Tensor | None = None,
    steps: int = STEPS,
    progress: Progress = silently,
) -> tuple[dict[str, Scores], dict[str, Scores]]:
    """The scores of each method's maps of B images; and what they must beat: of a random order,
    and on the object of the same method with random weights, for the image alone draws some there.

    attribute: a network and a method's name -> its maps of them. masks: (B, H, W) bool, true on
    the object.
    """
    ends = curve_ends(network, images, targets)

    def areas(ranking: torch.Tensor) -> tuple[float, float]:
        curves = removal_curves(network, images, targets, ranking, ends=ends, steps=steps)
        deletion, insertion = curves.areas()
        return float(deletion.mean()), float(insertion.mean())

    def on_object(values: torch.Tensor) -> tuple[float, float] | tuple[()]:
        if masks is None:
            return ()
        on = masks[: len(values)].to(values.device)
        return float(pointing_hits(values, on).mean()), float(mass_inside(values, on).mean())

    generator = torch.Generator().manual_seed(1)
    draws = [
        areas(torch.rand(images[:, 0].shape, generator=generator).to(images.device))
        for _ in range(RANDOM_ORDERS)
    ]
    deletion, insertion = (sum(draw) / RANDOM_ORDERS for draw in zip(*draws, strict=True))
    other = randomised(network)
    scores, references = {}, {}
    for name in progress(list(maps), "their scores"):
        values, again = maps[name], attribute(other, name)
        same = float(rank_correlations(values, again).mean())
        scores[name] = Scores(*areas(values), same, *on_object(values))
        references[name] = Scores(deletion, insertion, 0.0, *on_object(again))
    return scores, references


def fails(score: Scores) -> bool:
    """The randomisation test: the map, or its reverse, hardly depends on what the network learned.
    Of the figure as it is shown, with two decimals.
    """
    return round(abs(score.randomised), 2) >= SAME


# Score -> its name, what is good, and +1 where more is better, -1 where less is.
ROWS = {
    "deletion": ("Deletion", "less than random order is good", -1),
    "insertion": ("Insertion", "more than random order is good", 1),
    "randomised": ("Same with random weights", f"near 0 is good, ±{SAME} fails", 0),
    "hits": ("Maximum on the object", "more than random weights' is good", 1),
    "inside": ("Share on the object", "more than random weights' is good", 1),
}
ROW_HEIGHT = 0.52  # inches


def rows_of(references: Mapping[str, Scores]) -> list[str]:
    """Of `ROWS` those that were measured: without masks there is no object."""
    return [
        row for row in ROWS if all(getattr(one, row) is not None for one in references.values())
    ]


def scores_height(references: Mapping[str, Scores]) -> float:
    """Inches that draw_scores takes."""
    return ROW_HEIGHT * len(rows_of(references))


def draw_scores(
    page: Page, y: float, places: Mapping[str, float], width: float,
    scores: Mapping[str, Scores], references: Mapping[str, Scores],
) -> None:  # fmt: skip
    """A row per score from y on: its name, and at each method's x a bar of that width for 0 to 1.

    A line across the bar is its reference; a score that is clearly worse has a cross.
    """
    shared = next(iter(references.values()))
    for number, row in enumerate(rows_of(references)):
        top = y + number * ROW_HEIGHT
        name, good, sign = ROWS[row]
        page.text(MARGIN, top, name, fontweight="bold")
        of_all = row in ("deletion", "insertion")
        note = f"{good}: {getattr(shared, row):.2f}" if of_all else good
        page.text(MARGIN, top + 0.2, note, fontsize=8, color=QUIET)
        for method, x in places.items():
            value = float(getattr(scores[method], row))
            reference = float(getattr(references[method], row))
            bad = fails(scores[method]) if sign == 0 else sign * (value - reference) < -CLEAR
            colour = VERMILION if bad else BLUE
            said = f"{value:.2f}".replace("-", "−")
            page.text(x, top, f"{said}{' ✗' if bad else ''}", fontsize=9)
            page.canvas.barh(top + 0.25, width, 0.1, left=x, color=FAINT)
            page.canvas.barh(top + 0.25, width * min(abs(value), 1), 0.1, left=x, color=colour)
            mark = x + width * (SAME if sign == 0 else reference)
            page.canvas.vlines(mark, top + 0.2, top + 0.3, color=INK, lw=1.5)
