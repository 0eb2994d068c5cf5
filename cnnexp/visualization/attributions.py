"""The same images under several attribution methods, and how far each can be believed."""

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from captum import attr
from torch import Tensor, nn
from torch.nn import functional as F

from cnnexp.config.types import PositiveInt
from cnnexp.errors import Inapplicable, InputError, nearest
from cnnexp.logits import to_probabilities
from cnnexp.reporting.page import MARGIN, Page
from cnnexp.reporting.picture import Picture, picture_name
from cnnexp.reporting.style import house_style
from cnnexp.visualization import faithfulness, projection
from cnnexp.visualization.captions import legend
from cnnexp.visualization.gradcam import gradcam_maps
from cnnexp.visualization.layers import class_scores, default_layer
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.overlay import HEAT
from cnnexp.visualization.probe import Probe, Progress, silently
from cnnexp.visualization.projection import BELOW, GAP, HEAD, SIDE, Rule

BATCH = 16  # images at a time: memory stays bounded
NOISE = 0.15  # of the range of pixels; Smilkov et al. 2017, section 3.2, find 0.1 to 0.2 best
SCALE = 0.99  # of a map's pixels lie on its scale, as there in 3.1: a few leave the others dark
KEY = "visualization.attributions.methods"
CELL = 1.15  # inches

# A method: network (inside looking_at), images (B, 3, H, W) floats in [0, 1], targets (B,) int64,
# samples -> maps (B, H, W) float32 >= 0, of the class's logit, with respect to the image in front
# of `normalize`. samples: how many gradients, or what costs as much, an average is made of.
Attribute = Callable[[nn.Sequential, Tensor, Tensor, int], Tensor]


class ClassScores(nn.Module):
    """images -> (B, K) logits; captum asks for a module where it sets hooks."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return class_scores(self.network)(images)


def in_parts(
    attribute: Callable[[Tensor, Tensor], Tensor], images: Tensor, targets: Tensor, size: int
) -> Tensor:
    """`size` images at a time; copies, for captum sets flags on what it is given."""
    parts = zip(images.split(size), targets.split(size), strict=True)
    return torch.cat([attribute(some.clone(), wanted).detach() for some, wanted in parts])


def mean_colour(image: Tensor) -> Tensor:
    """(B, 3, H, W), one colour each."""
    return image.mean(dim=(2, 3), keepdim=True).expand_as(image)


def by_rule(rule: Rule) -> Attribute:
    """The gradient, or what another backward pass of ReLU makes of it; else Inapplicable."""

    def modified(network: nn.Sequential, images: Tensor, targets: Tensor, samples: int) -> Tensor:
        reason = None if rule == "gradient" else projection.why_not_modified(network, images)
        if reason:
            raise Inapplicable(reason)
        scores = ClassScores(network)
        gradient = in_parts(
            lambda x, t: projection.gradient_by(rule, scores, x, t), images, targets, BATCH
        )
        return gradient.abs().sum(dim=1)

    return modified


def integrated(network: nn.Sequential, images: Tensor, targets: Tensor, samples: int) -> Tensor:
    """Sundararajan et al. 2017, from the image's mean colour; from black, black would not count."""
    method = attr.IntegratedGradients(ClassScores(network))

    def one(image: Tensor, target: Tensor) -> Tensor:
        start = mean_colour(image)
        return method.attribute(image, start, target, n_steps=samples, internal_batch_size=BATCH)

    return in_parts(one, images, targets, 1).sum(dim=1).relu()


def smoothgrad(network: nn.Sequential, images: Tensor, targets: Tensor, samples: int) -> Tensor:
    """Smilkov et al. 2017: the mean gradient over noisy copies; the same noise for all images."""
    method = attr.NoiseTunnel(attr.Saliency(ClassScores(network)))
    options = {"nt_samples": samples, "nt_samples_batch_size": BATCH, "stdevs": NOISE}

    def one(image: Tensor, target: Tensor) -> Tensor:
        with torch.random.fork_rng([image.device] if image.is_cuda else []):
            torch.manual_seed(0)
            return method.attribute(image, target=target, abs=False, **options)

    return in_parts(one, images, targets, 1).abs().sum(dim=1)


def occlusion(network: nn.Sequential, images: Tensor, targets: Tensor, samples: int) -> Tensor:
    """Zeiler and Fergus 2014: how far the score falls, on average over the windows that hide a
    pixel with the image's mean colour. As many windows as take the time of `samples` gradients.
    """
    across = math.ceil(math.sqrt(2 * samples))
    sides = images.shape[-2:]
    window = [max(math.ceil(side / across), side // 4) for side in sides]
    free = [math.ceil((side - w) / (across - 1)) for side, w in zip(sides, window, strict=True)]
    strides = [min(w, max(1, step)) for w, step in zip(window, free, strict=True)]
    method = attr.Occlusion(ClassScores(network))

    def one(image: Tensor, target: Tensor) -> Tensor:
        start = mean_colour(image)
        return method.attribute(
            image, (3, *window), (3, *strides), start, target, perturbations_per_eval=BATCH
        )

    # Differences of scores: in bfloat16 the small ones, of random weights, say, would all be 0.
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        maps = in_parts(one, images, targets, 1)
    return maps[:, 0].relu()  # a window hides all colours: the same in each


def hirescam(network: nn.Sequential, images: Tensor, targets: Tensor, samples: int) -> Tensor:
    """Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM": gradient x map, place by place,
    summed over channels; Grad-CAM's mean of the gradient forgets where it was.
    """
    size = (images.shape[-2], images.shape[-1])
    block = network.get_submodule(default_layer(network, size))
    method = attr.LayerGradientXActivation(ClassScores(network), block)
    maps = in_parts(lambda x, t: method.attribute(x, t), images, targets, BATCH)
    maps = maps.float().sum(dim=1, keepdim=True).relu()
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)[:, 0]


GRADIENT, PART = "|gradient|", "positive part"
METHODS: dict[str, tuple[Attribute, str, str]] = {  # and what stands above the column
    "saliency": (by_rule("gradient"), "saliency", GRADIENT),  # Simonyan et al. 2014
    "integrated_gradients": (integrated, "integrated gr.", PART),
    "smoothgrad": (smoothgrad, "SmoothGrad", GRADIENT),
    "guided_backprop": (by_rule("guided"), "guided BP", GRADIENT),
    "deconvolution": (by_rule("deconvolution"), "deconvolution", GRADIENT),
    "occlusion": (occlusion, "occlusion", PART),
    "gradcam": (lambda n, x, t, samples: gradcam_maps(n, x, t).maps, "Grad-CAM", PART),
    "hirescam": (hirescam, "HiResCAM", PART),
}
LINES = (
    "Bright: what mattered for the predicted class, logit; each map has its own scale, up to its "
    "99th percentile. |gradient|: how far a change of the pixel moves the score, summed over "
    "colours. Positive part: what the place adds to the score.",
)
READING = (
    "Bright: what mattered for the predicted class, each map on its own scale, which ends "
    "at its 99th percentile; below, its maximum. The bars say how far a method can be believed "
    "here: when squares of an eighth of the side get the mean colour, or are put into a blurred "
    "copy, in its order, the area under the class's probability must beat that of a random order "
    "(the line), and with random weights its map must change. Where the object is known, the line "
    "is the same method's with random weights. A cross marks what is worse than the line by more "
    f"than {faithfulness.CLEAR}: less may be luck, on few images. A sharp map that fails shows the "
    "image's edges, not what the network has learned."
)


def scale_end(values: np.ndarray) -> float:
    """Where the scale of a map (H, W) ends: above 99% of it, or at its maximum; 1 for zeros."""
    return float(np.quantile(values, SCALE) or values.max() or 1.0)


def attribution_maps(
    network: nn.Sequential,
    images: Tensor,
    targets: Tensor,
    methods: Sequence[str] = tuple(METHODS),
    *,
    samples: int = 16,
    progress: Progress = silently,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Method -> its maps (B, H, W) for images (B, 3, H, W) and classes (B,); method -> the reason
    why it is left out. Raises InputError for an unknown method; Inapplicable where all are
    left out.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        close = nearest(unknown[0], METHODS)
        raise InputError(f"{KEY}: no method '{unknown[0]}'{close}; there is {', '.join(METHODS)}")
    images = images if images.is_floating_point() else images.float() / 255
    maps, left_out = {}, {}
    with looking_at(network) as network:
        for name in progress(list(dict.fromkeys(methods)), "attributions"):
            try:
                maps[name] = METHODS[name][0](network, images, targets, samples)
            except Inapplicable as error:
                left_out[name] = str(error)
    if not methods:
        raise InputError(f"{KEY}: none is named; there is {', '.join(METHODS)}")
    if not maps:
        raise Inapplicable("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return maps, left_out


@house_style
def attributions(
    probe: Probe,
    *,
    images: PositiveInt = 4,
    methods: Sequence[str] = tuple(METHODS),
    samples: PositiveInt = 16,
) -> dict[str, Picture]:
    """The first images, for the class that the network says, under each method; and the scores."""
    steps = faithfulness.STEPS
    if probe.rehearsal:
        images = samples = steps = 1
    shown = probe.images[:images].float() / 255
    with looking_at(probe.network) as network, torch.no_grad():
        shares = to_probabilities(network(shown))
    targets = shares.argmax(dim=1)
    maps, left_out = attribution_maps(
        probe.network, shown, targets, methods, samples=samples, progress=probe.progress
    )

    def again(network: nn.Sequential, name: str) -> Tensor:
        return attribution_maps(network, shown, targets, [name], samples=samples)[0][name]

    scores, references = faithfulness.measure(
        probe.network, shown, targets, maps, again, masks=probe.masks, steps=steps,
        progress=probe.progress,
    )  # fmt: skip
    failing = [name for name in maps if faithfulness.fails(scores[name])]
    failed = (
        f"Random weights give much the same map by {', '.join(METHODS[one][1] for one in failing)}:"
        " on these images it has little to do with what was learned."
    )
    said = legend(probe.labels[:images].tolist()).replace("Above", "At the left")
    lines = [*LINES, said, *([failed] if failing else [])]
    lines += [f"Left out: {name}: {reason}." for name, reason in left_out.items()]
    width = 2 * MARGIN + SIDE + (1 + len(maps)) * (CELL + GAP)
    lines = [part for line in lines for part in textwrap.wrap(line, int(width / 0.085))]
    title = f"Attribution{probe.of_chosen}"
    bars = HEAD + len(shown) * (CELL + BELOW) + 0.15
    page = Page(width, bars + faithfulness.scores_height(references), title, lines)
    heads = ["image", *("\n".join(METHODS[name][1:]) for name in maps)]
    pixels = probe.images[:images]
    projection.draw_rows(page, CELL, heads, pixels, probe.labels, shares, probe.classes)
    for column, name in enumerate(maps, start=1):
        for row, values in enumerate(maps[name].cpu().numpy()):
            place = projection.draw_strength(page, CELL, row, column, float(values.max()))
            grey = shown[row].mean(dim=0).cpu().numpy()
            page.image(*place, grey, cmap="gray", vmin=-0.5, vmax=1.1)
            page.image(*place, values, cmap=HEAT, vmin=0, vmax=scale_end(values))
    places = {name: MARGIN + SIDE + (CELL + GAP) * i for i, name in enumerate(maps, start=1)}
    faithfulness.draw_scores(page, bars, places, CELL, scores, references)
    alt = f"Attribution maps of {len(shown)} images by {', '.join(maps)}; below, their scores."
    numbers: dict[str, Any] = {"scores": {name: score._asdict() for name, score in scores.items()}}
    numbers["references"] = {name: score._asdict() for name, score in references.items()}
    numbers |= {"left_out": left_out, "failing": failing}
    reading = f"{READING} {failed}" if failing else READING
    name = picture_name("attributions", probe.chosen)
    return {name: Picture(page.figure, title, reading, alt, numbers)}
