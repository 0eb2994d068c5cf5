"""A feature map projected back to pixels: what in the image made a channel respond.

Deconvolution: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks".
Guided backpropagation: Springenberg et al. 2015, "Striving for Simplicity". Both are gradients in
which a ReLU passes R on where R > 0 (deconvolution), or where R and the ReLU's input are (guided).
"""

import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple

import torch
from captum.attr import Deconvolution, GuidedBackprop, Saliency
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from cnnexp.config.types import NonNegativeInt, PositiveInt
from cnnexp.errors import InputError
from cnnexp.logits import to_probabilities
from cnnexp.reporting.page import MARGIN, Page, Place, fitted
from cnnexp.reporting.picture import Picture, picture_name
from cnnexp.reporting.style import QUIET, VERMILION, house_style
from cnnexp.visualization.captions import verdict
from cnnexp.visualization.layers import UpTo, default_layer, find_layer
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.overlay import strength
from cnnexp.visualization.probe import Probe

BATCH = 16  # images at a time: memory stays bounded
# Activations and what else cuts off one side, as autograd calls them: these have no such rule.
OTHERS = re.compile(
    "Gelu|Silu|LeakyRelu|Hardtanh|Elu|Celu|Mish|Softplus|Hardswish|RreluWithNoise|PreluKernel|Glu|"
    "(Soft|Hard)shrink|Threshold|Clamp(Min)?|Maximum|Fmax|Where|MaskedFill|LogSigmoid"
)
Rule = Literal["gradient", "deconvolution", "guided"]
RULES: dict[Rule, tuple[Any, dict[str, Any], str]] = {  # and what stands above the column
    "gradient": (Saliency, {"abs": False}, "gradient\nas it is"),
    "deconvolution": (Deconvolution, {}, "deconvolution\nZeiler, Fergus 2014"),
    "guided": (GuidedBackprop, {}, "guided backprop\nSpringenberg et al. 2015"),
}
SIDE, GAP, HEAD, BELOW = 2.0, 0.1, 0.5, 0.26  # inches: captions, between cells, above, below
KEY = "visualization.projection"


class Projections(NamedTuple):
    """For B images. channels, values: (B,) the channel of `block` and its maximum.

    pixels: rule -> (B, 3, H, W) float32, signed. refused: why no rule but the gradient is there.
    """

    block: str
    channels: Tensor
    values: Tensor
    pixels: dict[Rule, Tensor]
    refused: str | None


def why_not_modified(network: nn.Sequential, images: Tensor) -> str | None:
    """Why ReLU's backward pass cannot be replaced in all of `network`; None where it can.

    Captum replaces it in nn.ReLU modules, and is silent about other ReLUs. So autograd's graph is
    read, block by block, which shows all that was called, however it was called: each ReLU in it
    must be the call of a module. What is written as arithmetic, x * (x > 0), is not recognised.
    network: inside looking_at. images: (B, 3, H, W) floats in [0, 1]; one of them is enough.
    """
    owned: list[torch.autograd.graph.Node | None] = []

    def note(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        owned.append(output.grad_fn if len(args) == 1 else None)

    with ExitStack() as hooks:
        for relu in _relus(network):
            hooks.enter_context(relu.register_forward_hook(note))
        values = images[:1]
        for name, block in zip(network._modules, network, strict=True):  # also one that is twice
            start = len(owned)
            values = block(values.detach().requires_grad_().clone())
            if None in owned[start:]:
                return f"{name} calls nn.ReLU in a way that Captum cannot follow"
            for node in _graph(values):
                kind = re.sub(r"Backward\d*$", "", node.name())
                if kind == "Relu" and not any(node is own for own in owned[start:]):
                    return f"{name} calls ReLU as a function, where it must be a module, nn.ReLU"
                if OTHERS.fullmatch(kind):
                    return f"{name} has {kind}, and the rule is one for ReLU alone"
                if isinstance(node, BackwardCFunction):
                    return f"{name} has a function with a gradient of its own, {kind}"
    return None if owned else "the network has no ReLU"


def _relus(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.ReLU)]


def _graph(values: Tensor) -> Iterator[torch.autograd.graph.Node]:
    """All nodes that gave `values`."""
    waiting, seen = [values.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]


def gradient_by(rule: Rule, scores: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Gradient of the targets' scores by that rule: (B, 3, H, W), for images of that shape.

    scores: images -> (B, K), a network that `why_not_modified` has nothing against, unless the rule
    is the plain gradient. targets: (B,) int64.
    """
    method, options, _ = RULES[rule]
    with ExitStack() as hooks, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks")
        # Captum changes the whole gradient of the ReLU's input, also what comes by a shortcut: a
        # copy has nothing but the ReLU's. It also sorts out a ReLU that is used several times.
        for relu in _relus(scores):
            copy = relu.register_forward_pre_hook(lambda _, args: args[0].clone(), prepend=True)
            hooks.enter_context(copy)
        images = images.detach().clone().requires_grad_()
        return method(scores).attribute(images, target=targets, **options).detach()


def project(
    network: nn.Sequential, images: Tensor, block: str | None = None, channel: int | None = None
) -> Projections:
    """From the place where `channel` of `block` responds most, back to images (B, 3, H, W).

    block: or a layer inside one. None: Grad-CAM's block, the channel that responds most in each
    image. Raises InputError for one without maps, and for a channel that it lacks.
    """
    images = images if images.is_floating_point() else images.float() / 255
    with looking_at(network) as network:
        block = block or default_layer(network, (images.shape[-2], images.shape[-1]))
        find_layer(network, block, f"{KEY}.block")
        front = UpTo(network, block, f"{KEY}.block")
        flat = nn.Sequential(front, nn.Flatten())
        reason = why_not_modified(front.blocks, images)
        found: list[list[Tensor]] = []
        for some in images.split(BATCH):
            with torch.no_grad():
                maps = front(some.clone()).float()
            if channel is not None and channel >= maps.shape[1]:
                last = maps.shape[1] - 1
                raise InputError(f"{KEY}.channel={channel}: {block} has channels 0 to {last}")
            area, first = maps[0, 0].numel(), channel or 0
            chosen = maps if channel is None else maps[:, first : first + 1]
            values, places = chosen.flatten(1).max(dim=1)
            places = places + area * first  # in all channels
            rules: list[Rule] = [r for r in RULES if reason is None or r == "gradient"]
            pixels = [gradient_by(rule, flat, some, places) for rule in rules]
            found.append([places // area, values, *pixels])
    channels, values, *pixels = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Projections(block, channels, values, dict(zip(rules, pixels, strict=True)), reason)


def reach(pixels: Tensor) -> tuple[int, int, int, int] | None:
    """Left, top, width, height of what is not zero in (3, H, W); None where all is."""
    places = (pixels != 0).any(dim=0).nonzero()
    if not len(places):
        return None
    (top, left), (bottom, right) = places.amin(dim=0).tolist(), places.amax(dim=0).tolist()
    return left, top, right + 1 - left, bottom + 1 - top


@house_style
def projection(
    probe: Probe,
    *,
    images: PositiveInt = 6,
    block: str | None = None,
    channel: NonNegativeInt | None = None,
) -> dict[str, Picture]:
    """The first images, and beside each what in it made one channel respond."""
    shown = probe.images[: 1 if probe.rehearsal else images]
    with looking_at(probe.network) as network, torch.no_grad():
        shares = to_probabilities(network(shown))
    found = project(probe.network, shown, block, channel)
    cell, title = 1.5, f"What made channels of {found.block} respond{probe.of_chosen}"
    heads = ["image\nbox: what is reached", *(RULES[rule][2] for rule in found.pixels)]
    width = 2 * MARGIN + SIDE + len(heads) * (cell + GAP)
    lines = ["From the place of a channel's strongest response back to the image."]
    if found.refused:
        lines += textwrap.wrap(f"No deconvolution, no guided: {found.refused}.", int(width / 0.09))
    page = Page(width, HEAD + len(shown) * (cell + BELOW), title, lines)
    notes = [f"channel {c}, response {v:.3g}" for c, v in zip(*found[1:3], strict=True)]
    draw_rows(page, cell, heads, shown, probe.labels, shares, probe.classes, notes)
    for row in range(len(shown)):
        if box := reach(found.pixels["gradient"][row]):
            x, y = _corner(cell, row, 0)
            left, top, wide, high = (cell * side / shown.shape[-1] for side in box)
            for colour, lw in (("white", 3.5), (VERMILION, 1.5)):  # seen on any image
                page.frame(x + left, y + top, wide, high, color=colour, linewidth=lw)
        for column, pixels in enumerate(found.pixels.values(), start=1):
            most = float(pixels[row].abs().max())
            shades = 0.5 + pixels[row].cpu().permute(1, 2, 0).numpy() / (2 * most or 1.0)
            place = draw_strength(page, cell, row, column, most)
            page.image(*place, shades.clip(0, 1))
    reading = (
        "Each row starts from the one place where the channel responds most (the box: what that "
        "place sees and is moved by). Grey is zero, a colour says which way the pixel speaks; each "
        "cell has its own scale. Deconvolution and guided backpropagation follow the image's edges "
        "whatever the network has learned: judge by the gradient beside them."
    )
    alt = f"What moved a channel in {len(shown)} images, by {', '.join(found.pixels)}."
    numbers = found._asdict() | {"channels": found.channels.tolist()}
    numbers |= {"values": found.values.tolist(), "pixels": list(found.pixels)}
    name = picture_name("projection", block, channel, probe.chosen)
    return {name: Picture(page.figure, title, reading, alt, numbers)}


def draw_rows(
    page: Page, cell: float, heads: Sequence[str], images: Tensor, labels: Tensor,
    shares: Tensor, classes: Sequence[str], notes: Sequence[str] = (),
) -> None:  # fmt: skip
    """Heads of the columns, of two lines; and for each row what was said of the image, and it.

    images: (B, 3, H, W) uint8, in cells of that many inches. shares: (B, K) probabilities.
    """
    for column, head in enumerate(heads):
        x, (name, note) = _corner(cell, 0, column)[0], (head + "\n").split("\n")[:2]
        page.text(x, 0.03, fitted(name, cell + GAP / 2, 9, "bold"), fontsize=9, fontweight="bold")
        page.text(x, 0.23, fitted(note, cell + GAP / 2, 8), fontsize=8, color=QUIET)
    for row, (image, label) in enumerate(zip(images.cpu(), labels.tolist(), strict=False)):
        x, y = _corner(cell, row, 0)
        said = verdict(label, shares[row].cpu().numpy(), classes, width=SIDE - 0.1)
        page.text(MARGIN, y, said.text, **said.style)
        for note in notes[row : row + 1]:
            page.text(MARGIN, y + 0.5, fitted(note, SIDE - 0.1, 9), fontsize=9, color=QUIET)
        page.image(x, y, cell, cell, image.permute(1, 2, 0).numpy())


def draw_strength(page: Page, cell: float, row: int, column: int, largest: float) -> Place:
    """Print a map's largest value below its cell. The cell's place, see `Page.image`."""
    x, y = _corner(cell, row, column)
    page.text(x, y + cell + 0.03, strength(largest), fontsize=8, color=QUIET)
    return x, y, cell, cell


def _corner(cell: float, row: int, column: int) -> tuple[float, float]:
    return MARGIN + SIDE + column * (cell + GAP), HEAD + row * (cell + BELOW)
