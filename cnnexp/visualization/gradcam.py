"""Grad-CAM: which part of an image spoke for a class.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", equations 1 and 2.
"""

from typing import NamedTuple

import torch
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional as F

from cnnexp.config.types import PositiveInt
from cnnexp.errors import InputError, nearest
from cnnexp.logits import to_probabilities
from cnnexp.models.anatomy import receptive_field
from cnnexp.reporting.picture import Picture, picture_name
from cnnexp.reporting.style import house_style
from cnnexp.visualization.captions import legend
from cnnexp.visualization.layers import (
    SMALLEST_MAP,
    UpTo,
    class_scores,
    default_layer,
    find_layer,
)
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.overlay import heat_overlays
from cnnexp.visualization.probe import Probe

BATCH = 32  # images at a time: memory stays bounded, whatever is asked


class GradCamMaps(NamedTuple):
    """maps: (B, H, W) float32 of the images' size, >= 0, in units of the score; not scaled.

    layer: the block looked at, whose maps are size = (h, w).
    """

    maps: torch.Tensor
    layer: str
    size: tuple[int, int]


def gradcam_maps(
    network: nn.Sequential,
    images: torch.Tensor,
    targets: torch.Tensor,
    layer: str | None = None,
    key: str = "visualization.gradcam.layer",
) -> GradCamMaps:
    """Where in `images` (B, 3, H, W) `layer` speaks for the classes `targets` (B,) int64.

    ReLU of the sum over channels of feature map x mean gradient of the class's logit, enlarged
    bilinearly. A single logit is negated for class 0. layer: a block before the head, or a layer
    inside one, whose output is (B, C, h, w); None: `default_layer`. Raises InputError, naming
    `key`, for another name or output.
    """
    size = (images.shape[-2], images.shape[-1])
    maps = []
    with looking_at(network) as network:
        layer = layer or default_layer(network, size)
        gradcam = LayerGradCam(class_scores(network), find_layer(network, layer, key))
        with torch.no_grad():
            UpTo(network, layer, key)(images[:1])  # what gives no map is refused
        for some, wanted in zip(images.split(BATCH), targets.split(BATCH), strict=True):
            # Copies: captum asks for gradients of the layer's output, which an identity shares with
            # the image, and tensors made in inference mode have none.
            small = gradcam.attribute(some.clone(), target=wanted.clone(), relu_attributions=True)
            small = small.detach().float()
            large = F.interpolate(small, size=size, mode="bilinear", align_corners=False)
            maps.append(large[:, 0])
    height, width = small.shape[-2:]
    return GradCamMaps(torch.cat(maps), layer, (height, width))


@house_style
def gradcam(
    probe: Probe, *, images: PositiveInt = 8, layer: str | None = None, target: str = "predicted"
) -> dict[str, Picture]:
    """The first images with maps over them: for the predicted class, the label or one class."""
    shown, labels = probe.images[:images], probe.labels[:images]
    with looking_at(probe.network) as network, torch.no_grad():
        probabilities = to_probabilities(network(shown))
    targets = _targets(target, probabilities, labels, probe.classes)
    chosen = (
        ""
        if layer
        else f" It is the last block whose map has {SMALLEST_MAP}x{SMALLEST_MAP} places or more."
    )
    asked = (layer, None if target == "predicted" else target, probe.chosen)
    maps, layer, (height, width) = gradcam_maps(probe.network, shown, targets, layer)
    side = min(shown.shape[-2:])
    field = receptive_field(probe.network, layer, side).side
    sees = (
        f"{field} of {side} pixels across: the edges of a bright spot are no sharper than that"
        if field < side
        else "the whole image, or most of it: the edges of a bright spot mean nothing"
    )
    figure = heat_overlays(
        images=shown.cpu().numpy(),
        maps=maps.cpu().numpy(),
        labels=labels.tolist(),
        targets=targets.tolist(),
        probabilities=probabilities.cpu().numpy(),
        classes=probe.classes,
        title=f"Grad-CAM at {layer}, maps of {height}x{width}{probe.of_chosen}",
        lines=[
            "Bright: this part raised the score (logit) of the class named below. One scale.",
            legend(labels.tolist()),
        ],
        unit="evidence for the class",
    )
    right = int((probabilities.argmax(1) == labels).sum())
    known = f", {right} of them predicted right" * bool((labels >= 0).all())
    return {
        picture_name("gradcam", *asked): Picture(
            figure,
            title=f"Grad-CAM at {layer}{probe.of_chosen}",
            reading="Bright: this part of the image raised the score of the class named below it. "
            "All maps share one scale: a faint map means that little in the image speaks for the "
            "class; the answer is sure all the same where nothing speaks for another. Each place "
            f"of the {height}x{width} map sees {sees}.{chosen}",
            alt=f"Heat maps over {len(shown)} image{'s' * (len(shown) != 1)}{known}.",
        )
    }


def _targets(
    target: str, probabilities: torch.Tensor, labels: torch.Tensor, classes: tuple[str, ...]
) -> torch.Tensor:
    if target == "predicted":
        return probabilities.argmax(dim=1)
    if target == "label":
        if (labels < 0).any():
            raise InputError(
                "visualization.gradcam.target=label: not of all files a class is known"
            )
        return labels
    if target not in classes:
        allowed = ("predicted", "label", *classes)
        raise InputError(
            f"visualization.gradcam.target: '{target}' is neither predicted nor label nor a class"
            f"{nearest(target, allowed) or ';'} classes: {', '.join(classes[:20])}"
            f"{', …' if len(classes) > 20 else ''}"
        )
    return torch.full_like(labels, classes.index(target))
