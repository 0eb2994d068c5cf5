"""A feature map projected back to pixels: what in the image made a channel respond.

Deconvolution: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks".
Guided backpropagation: Springenberg et al. 2015, "Striving for Simplicity". Both are the gradient
with another backward pass of ReLU, from R above it to: R where R > 0 (deconvolution); R where
R > 0 and the input of the ReLU was > 0 (guided).
"""

import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from captum.attr import Deconvolution, GuidedBackprop, Saliency
from matplotlib.figure import Figure
from torch import nn
from torch.autograd.function import BackwardCFunction

from cnnexp.config.types import NonNegativeInt, PositiveInt
from cnnexp.errors import InputError
from cnnexp.reporting.page import MARGIN, Page, fitted
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import INK, QUIET, VERMILION, house_style
from cnnexp.visualization.captions import RIGHT, verdict
from cnnexp.visualization.layers import HEAD, class_probabilities, default_layer, map_block
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.probe import Probe

BATCH = 16  # images at a time: memory stays bounded
# Activations and what else cuts off one side, as autograd calls them: these have no such rule.
OTHERS = {
    "Gelu", "Silu", "LeakyRelu", "Hardtanh", "Elu", "Celu", "Mish", "Softplus", "Hardswish",
    "RreluWithNoise", "PreluKernel", "Softshrink", "Hardshrink", "Glu", "Threshold", "Clamp",
    "ClampMin", "Maximum", "Fmax", "Where", "MaskedFill", "LogSigmoid",
}  # fmt: skip
Rule = Literal["deconvolution", "guided"]
COLUMNS = {
    "gradient": ("gradient", "ReLU as it is"),
    "deconvolution": ("deconvolution", "Zeiler, Fergus 2014"),
    "guided": ("guided backprop", "Springenberg et al. 2015"),
}
CELL, GAP, SIDE = 1.5, 0.12, 2.1  # inches
KEY = "visualization.projection"


class Projections(NamedTuple):
    """For B images. block: where; channels, values: (B,) the channel and its maximum.

    pixels: name of the rule -> (B, 3, H, W) float32, signed, in units of the response. left_out:
    name -> the reason why a rule is not among them.
    """

    block: str
    channels: torch.Tensor
    values: torch.Tensor
    pixels: dict[str, torch.Tensor]
    left_out: dict[str, str]


def why_not_modified(network: nn.Sequential, images: torch.Tensor) -> str | None:
    """Why ReLU's backward pass cannot be replaced in all of `network`; None where it can.

    Captum replaces it in nn.ReLU modules, and is silent about other ReLUs. So autograd's graph is
    read, block by block, which shows all that was called, however it was called: each ReLU in it
    must be the call of a module. What is written as arithmetic, x * (x > 0), is not recognised.
    network: inside looking_at. images: (B, 3, H, W) floats in [0, 1]; one of them is enough.
    """
    owned: list[torch.autograd.graph.Node | None] = []

    def note(module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        owned.append(output.grad_fn if len(args) == 1 else None)

    relus = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    handles = [module.register_forward_hook(note) for module in relus]
    values = images[:1]
    try:
        for name, block in network.named_children():
            start = len(owned)
            values = block(values.detach().clone().requires_grad_())
            if None in owned[start:]:
                return f"{name} calls nn.ReLU in a way that Captum cannot follow"
            for node in _graph(values):
                kind = re.sub(r"Backward\d*$", "", node.name())
                if kind == "Relu" and not any(node is own for own in owned[start:]):
                    return f"{name} calls ReLU as a function, where it must be a module, nn.ReLU"
                if kind in OTHERS:
                    return f"{name} has {kind}, and the rule is one for ReLU alone"
                if isinstance(node, BackwardCFunction):
                    return f"{name} has a function with its own gradient, {kind}"
    finally:
        for handle in handles:
            handle.remove()
    return None if owned else "the network has no ReLU"


def _graph(values: torch.Tensor) -> Iterator[torch.autograd.graph.Node]:
    """All nodes that gave `values`."""
    waiting = [values.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]


def modified_gradient(
    rule: Rule, scores: nn.Module, images: torch.Tensor, targets: Any
) -> torch.Tensor:
    """Gradient of the targets' scores by that rule: (B, 3, H, W), for images of that shape.

    scores: images -> (B, …), a network that `why_not_modified` has nothing against. targets: as
    captum has them, one per image.
    """
    method = {"deconvolution": Deconvolution, "guided": GuidedBackprop}[rule]
    # Captum changes the gradient of the ReLU's input, with all that comes from elsewhere, as from a
    # shortcut: a copy has none. It also sorts out the calls of a ReLU that is used several times.
    handles = [
        module.register_forward_pre_hook(lambda _, args: args[0].clone(), prepend=True)
        for module in scores.modules()
        if isinstance(module, nn.ReLU)
    ]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Setting backward hooks")
            start = images.detach().clone().requires_grad_()
            return method(scores).attribute(start, target=targets).detach()
    finally:
        for handle in handles:
            handle.remove()


def project(
    network: nn.Sequential,
    images: torch.Tensor,
    block: str | None = None,
    channel: int | None = None,
) -> Projections:
    """From the place where `channel` of `block` responds most, back to images (B, 3, H, W).

    block: None for Grad-CAM's; channel: None for the one that responds most in each image. Raises
    InputError for a block without maps, and for a channel that it lacks.
    """
    if not images.is_floating_point():
        images = images.float() / 255
    with looking_at(network) as network:
        block = block or default_layer(network, (images.shape[-2], images.shape[-1]))
        map_block(network, block, f"{KEY}.block")
        blocks = [name for name, _ in network.named_children()]
        front = network[: blocks.index(block) + 1]
        reason = why_not_modified(front, images)
        found: list[tuple[torch.Tensor, ...]] = []
        for some in images.split(BATCH):
            with torch.no_grad():
                maps = front(some.clone())
            _check_map(maps, block, channel)
            few, _, height, width = maps.shape
            if channel is not None:
                maps = maps[:, channel : channel + 1]
            values, places = maps.flatten(1).max(dim=1)
            area = height * width
            channels = places // area if channel is None else torch.full_like(places, channel)
            targets = torch.stack([channels, places % area // width, places % width], 1).tolist()
            targets = [tuple(target) for target in targets]
            start = some.detach().clone().requires_grad_()
            gradient = Saliency(front).attribute(start, target=targets, abs=False).detach()
            rules: Sequence[Rule] = () if reason else ("deconvolution", "guided")
            modified = [modified_gradient(rule, front, some, targets) for rule in rules]
            found.append((channels, values, gradient, *modified))
    channels, values, *pixels = (torch.cat(parts) for parts in zip(*found, strict=True))
    left_out = dict.fromkeys(("deconvolution", "guided"), reason) if reason else {}
    return Projections(
        block, channels, values, dict(zip(COLUMNS, pixels, strict=False)), left_out
    )


def _check_map(maps: torch.Tensor, block: str, channel: int | None) -> None:
    if maps.dim() != 4:
        raise InputError(
            f"{KEY}.block: block '{block}' gives no map, its output is {maps.dim()}-dimensional; "
            "choose a block before it"
        )
    if channel is not None and channel >= maps.shape[1]:
        raise InputError(
            f"{KEY}.channel={channel}: block '{block}' has channels 0 to {maps.shape[1] - 1}"
        )


def reach(pixels: torch.Tensor) -> tuple[int, int, int, int] | None:
    """Left, top, width, height of what is not zero in (3, H, W); None where all is."""
    rows, columns = (pixels != 0).any(dim=0).nonzero(as_tuple=True)
    if not len(rows):
        return None
    left, top = int(columns.min()), int(rows.min())
    return left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top
