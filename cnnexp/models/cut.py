"""A library's classifier cut into the chain of blocks that every network is here."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn import functional as F
from torchvision.ops import Permute

from cnnexp.errors import InputError
from cnnexp.models.trace import Shapes, as_layers, forward_graph, tensor_shapes

ENOUGH = 4  # blocks before the head
MOST = 0.5  # of the parameters before the head


def chain(
    network: nn.Module, name: str, image_size: int, *, last: Sequence[str], made_for: int
) -> nn.Sequential:
    """`network`, (B, 3, S, S) -> logits (B, K), as named blocks, the last one `head`.

    torch.fx traces its forward function down to the modules that are to be blocks, so that what
    happens between them is known, none of it guessed; it is cut wherever one tensor is all that
    goes on. Where it cannot be traced there are two blocks, `backbone` and the last layer. The
    blocks are made of the network's own modules, their activations no longer in place.
    last: names of the layers that give the logits. name, made_for: for errors, what a person calls
    the network, and a size that it takes. Raises InputError where it takes no such images, and
    where the logits would change.
    """
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    training = network.training
    images = torch.rand(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    layers = [network.get_submodule(layer) for layer in last]
    try:
        expected = _observed(network, layers, images)
    except Exception as error:  # whatever a library does with images that do not suit it
        text = str(error).strip() or type(error).__name__
        raise InputError(
            f"dataset.image_size={image_size}: {name} cannot take such images "
            f"({text.splitlines()[0][:200]}); use {made_for}"
        ) from None
    for cut in (lambda: _traced(network, image_size), lambda: _in_two(network, last)):
        blocks = cut()
        if blocks is not None and _same(expected, _observed(blocks, layers, images)):
            return blocks.train(training)
    raise InputError(f"model.name={name}: cannot be cut into blocks without changing its logits")


@torch.no_grad()
def _observed(
    network: nn.Module, layers: Sequence[nn.Module], images: torch.Tensor
) -> list[torch.Tensor]:
    """The logits, and what the last layers were given: some libraries draw zeros for a last layer,
    and then all logits are the same.
    """
    seen: list[torch.Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
        for module in layers
    ]
    try:
        return [network.eval()(images), *seen]
    finally:
        for hook in hooks:
            hook.remove()


def _same(expected: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> bool:
    """Up to rounding, and to a thousandth of what tells the two images apart."""
    return len(expected) == len(found) and all(
        a.shape == b.shape
        and bool((a - b).abs().max() <= 1e-5 * a.abs().max() + 1e-3 * (a[0] - a[1]).abs().max())
        for a, b in zip(expected, found, strict=True)
    )


def _in_two(network: nn.Module, last: Sequence[str]) -> nn.Sequential:
    if len(last) != 1:  # their logits are averaged: there is no last layer
        return nn.Sequential(OrderedDict(head=network))
    head = network.get_submodule(last[0])
    network.set_submodule(last[0], nn.Identity())
    return nn.Sequential(OrderedDict(backbone=network, head=head))


def _traced(network: nn.Module, image_size: int) -> nn.Sequential | None:
    """Cut as coarsely as is useful: a module that holds most of the parameters is opened as long as
    there are not ENOUGH blocks or it is several stages. None where the network is not traceable.
    """
    opened: set[str] = set()
    best = cut = _cut(network, image_size, opened)
    while best is not None and cut is not None:
        calls = cut.calls()
        sizes = {name: _count(network.get_submodule(name)) for name in calls}
        largest = max(sizes, key=sizes.__getitem__, default=None)
        if largest is None or sizes[largest] < MOST * sum(sizes.values()):
            break
        if not any(network.get_submodule(largest).children()):
            break  # a single layer
        if len(best.blocks) > ENOUGH and not cut.is_several_stages(calls[largest]):
            break
        opened = opened | {largest}
        cut = _cut(network, image_size, opened)
        best = cut if cut is not None and len(cut.blocks) > len(best.blocks) else best
    return best.build() if best is not None else None


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@dataclass
class _Cut:
    """blocks: their nodes, the head's last. shapes: of what each node gives."""

    network: nn.Module
    blocks: list[list[fx.Node]]
    shapes: Shapes

    def calls(self) -> dict[str, fx.Node]:
        """Modules before the head."""
        nodes = [node for block in self.blocks[:-1] for node in block if node.op == "call_module"]
        return {str(node.target): node for node in nodes}

    def is_several_stages(self, node: fx.Node) -> bool:
        """Whether a call makes the side of its map smaller than half."""
        after = self.shapes.get(node, ())
        maps = [shape for n in node.all_input_nodes if len(shape := self.shapes.get(n, ())) == 4]
        return len(after) == 4 and any(before[2] > 2 * after[2] for before in maps)

    def build(self) -> nn.Sequential:
        """Between its blocks a map is (B, C, H, W), also where the library has channels last."""
        names = [*_names(self.network, self.blocks[:-1]), "head"]
        chain: OrderedDict[str, nn.Module] = OrderedDict()
        given = next(iter(self.blocks[0][0].graph.nodes))
        channels_last = False
        for name, nodes, gives_last in zip(names, self.blocks, self.give_last(), strict=True):
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            if channels_last:
                layers["to_last"] = Permute([0, 2, 3, 1])
            layers |= as_layers(self.network, nodes, given)
            if gives_last:
                layers["to_first"] = Permute([0, 3, 1, 2])
            chain[name] = nn.Sequential(layers) if len(layers) > 1 else next(iter(layers.values()))
            given, channels_last = nodes[-1], gives_last
        return nn.Sequential(chain)

    def give_last(self) -> list[bool]:
        """Whether each block gives (B, H, W, C). Images are square here, and so are maps; where
        C = H = W, as the block after it.
        """
        flags = [False]
        for nodes in reversed(self.blocks[:-1]):
            shape = self.shapes[nodes[-1]]
            alike = len(shape) == 4 and len(set(shape[1:])) == 1
            flags.insert(0, flags[0] if alike else len(shape) == 4 and shape[1] == shape[2])
        return flags


def _cut(network: nn.Module, image_size: int, opened: set[str]) -> _Cut | None:
    graph = forward_graph(network, opened)
    shapes = tensor_shapes(network, graph, image_size) if graph is not None else None
    if graph is None or shapes is None:
        return None
    parts = _parts(graph, shapes)
    starts = [i for i, part in enumerate(parts) if any(_weighty(network, node) for node in part)]
    maps = [
        i for i, part in enumerate(parts)
        if _is_map(shapes[part[-1]]) and not _is_global_pool(network, part[-1])
    ]  # fmt: skip
    # The head: all after the last map, and no less than the last layer.
    head = min([max(maps, default=-1) + 1, *starts[-1:]])
    blocks: list[list[fx.Node]] = []
    for i, part in enumerate(parts[:head]):
        if not blocks or (i in starts and i > starts[0]):
            blocks.append([])
        blocks[-1] += part
    return _Cut(network, [*blocks, [node for part in parts[head:] for node in part]], shapes)


def _parts(graph: fx.Graph, shapes: Shapes) -> list[list[fx.Node]]:
    """The nodes, cut after each one whose tensor is all that later ones need."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    needed_until = {node: max((order[user] for user in node.users), default=0) for node in order}
    parts: list[list[fx.Node]] = [[]]
    for node in list(order)[1:-1]:  # all but the input and the output
        parts[-1].append(node)
        alive = [n for n in order if order[n] <= order[node] < needed_until[n]]
        if alive == [node] and node in shapes:
            parts.append([])
    return parts[:-1]  # the last cut is before the output


def _weighty(network: nn.Module, node: fx.Node) -> bool:
    """A convolution, a dense layer, or what holds some: a block begins there.

    Normalisation, whose parameters are vectors, activation and pooling belong to what they follow.
    """
    return node.op == "call_module" and any(
        parameter.ndim > 1 for parameter in network.get_submodule(str(node.target)).parameters()
    )


def _is_map(shape: tuple[int, ...]) -> bool:
    """(B, C, H, W), (B, H, W, C) or tokens (B, N, C), of more than one place."""
    return len(shape) > 2 and sorted(shape[1:])[-2] > 1


def _is_global_pool(network: nn.Module, node: fx.Node) -> bool:
    """Also VGG's, which gives 7x7 whatever it gets."""
    if node.op != "call_module":
        return node.target in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d)
    module = network.get_submodule(str(node.target))
    return isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d)


def _names(network: nn.Module, blocks: Sequence[Sequence[fx.Node]]) -> list[str]:
    """The library's name of what each block begins with: layer1, features_3, denseblock1."""
    names: list[str] = []
    for nodes in blocks:
        path = next((str(node.target) for node in nodes if _weighty(network, node)), "stem")
        short = path.rpartition(".")[2]
        name = re.sub(r"\W+", "_", path if short[0].isdigit() else short).lower().strip("_")
        taken = {*names, "head", "normalize"}
        if name in taken:
            name = re.sub(r"\W+", "_", path).lower().strip("_")
        while name in taken:
            name += "_again"
        names.append(name)
    return names
