"""The blocks of a network seen as layers: their names, their maps, what the last one says."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from cnnexp.errors import Inapplicable, InputError, nearest
from cnnexp.visualization.looking import looking_at

HEAD = "head"
SMALLEST_MAP = 4  # pixels a side; below that a heat map says no more than "everywhere"


def block_outputs(network: nn.Sequential, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each block's name -> its float32 output for `images` (B, 3, H, W), the head's logits last.

    Copies: what a later block does in place isn't seen in them.
    """
    outputs = {}
    values = images
    for name, block in network.named_children():
        values = block(values)
        outputs[name] = values.clone().float()
    return outputs


def block_shapes(
    network: nn.Sequential, image_size: int | tuple[int, int]
) -> dict[str, tuple[int, ...]]:
    """Each block before the head -> the shape of its output for one image: (C, H, W), or (C,)."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    device = next((p.device for p in (*network.parameters(), *network.buffers())), None)
    with looking_at(network) as network, torch.no_grad():
        outputs = block_outputs(network, torch.zeros(1, 3, height, width, device=device))
    return {name: tuple(values.shape[1:]) for name, values in outputs.items() if name != HEAD}


def default_layer(network: nn.Sequential, image_size: int | tuple[int, int]) -> str:
    """The last block before the head whose map is at least 4x4, for images of that (height, width).

    A block that enlarges its input (VGG's adaptive pooling on small images) shows no more than the
    block before it, so the smallest map on the way there counts.
    Raises Inapplicable, with all sizes, where no block has such a map.
    """
    chosen, smallest = None, None
    shapes = block_shapes(network, image_size)
    for name, shape in shapes.items():
        if len(shape) != 3:
            break  # no map any more
        side = min(shape[1:])
        smallest = side if smallest is None else min(side, smallest)
        if name != "normalize" and smallest >= SMALLEST_MAP:
            chosen = name
    if chosen is None and not any(
        len(shape) == 3 for name, shape in shapes.items() if name != "normalize"
    ):
        raise Inapplicable("no block of this network gives a map (a transformer's give tokens)")
    if chosen is None:
        sizes = ", ".join(
            f"{name} {'x'.join(map(str, shape[1:])) or 'flat'}" for name, shape in shapes.items()
        )
        raise Inapplicable(
            f"no block before the head has a map of at least {SMALLEST_MAP}x{SMALLEST_MAP} "
            f"(maps: {sizes}); use a larger dataset.image_size, or set visualization.gradcam.layer"
        )
    return chosen


def find_layer(network: nn.Sequential, name: str, key: str) -> nn.Module:
    """The block of that name before the head, or the module inside one by its dotted name
    (block3.0); else InputError naming `key` and what there is.
    """
    names = [block for block, _ in network.named_children() if block != HEAD]
    first = name.partition(".")[0]
    if first not in names:
        raise InputError(
            f"{key}: no block '{first}' before the head{nearest(first, names) or ';'} "
            f"the network has {', '.join(names)}"
        )
    inner = [f"{first}.{path}" for path, _ in network.get_submodule(first).named_modules() if path]
    if name != first and name not in inner:
        raise InputError(
            f"{key}: no layer '{name}'{nearest(name, inner) or ';'} {first} has "
            f"{', '.join(inner[:20]) or 'none inside'}{', …' if len(inner) > 20 else ''}"
        )
    return network.get_submodule(name)


class UpTo(nn.Module):
    """images -> what a layer gives, see `find_layer`; the blocks behind its own do not run."""

    def __init__(self, network: nn.Sequential, layer: str, key: str) -> None:
        super().__init__()
        self.layer, self.key = layer, key
        names = list(network._modules)  # named_children leaves out a block that is there twice
        self.blocks = network[: names.index(layer.partition(".")[0]) + 1]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with gives(self.blocks, [self.layer], self.key) as given:
            self.blocks(images)
        return given[self.layer]


@contextmanager
def gives(network: nn.Module, layers: Sequence[str], key: str) -> Iterator[dict[str, torch.Tensor]]:
    """Filled while the network runs inside: layer -> a copy of its output. On leaving, raises
    InputError, naming `key`, for one that was not called, or gave no map (B, C, h, w).
    """
    given: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            given[name] = output.clone() if isinstance(output, torch.Tensor) else output

        return hook

    with ExitStack() as hooks:
        for name in layers:
            hooks.enter_context(network.get_submodule(name).register_forward_hook(keep(name)))
        yield given
    for name in layers:
        what = "block" if "." not in name else "layer"
        if name not in given:
            raise InputError(f"{key}: {what} '{name}' is not called as a module; choose another")
        if getattr(given[name], "ndim", 0) != 4:
            has = getattr(given[name], "ndim", None)
            shape = "no tensor" if has is None else f"{has}-dimensional"
            raise InputError(
                f"{key}: {what} '{name}' gives no map, its output is {shape}; choose one before it"
            )


def class_scores(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """images -> (B, K) scores; a single logit z is +z for class 1 and -z for class 0."""

    def scores(images: torch.Tensor) -> torch.Tensor:
        logits = network(images)
        return torch.cat([-logits, logits], dim=1) if logits.shape[1] == 1 else logits

    return scores
