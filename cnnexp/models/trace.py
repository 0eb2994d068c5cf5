"""What a library's network does, as a graph of calls; and pieces of that graph as modules."""

import operator
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

PROBE = 128  # pixels: at 32 the last maps of many networks are 1x1, and are not seen to be maps

Shapes = dict[fx.Node, tuple[int, ...]]


class _Whole(nn.Module):
    """Calls the network with one argument: the others keep their defaults while it is traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)


class _Tracer(fx.Tracer):
    def __init__(self, opened: Collection[str]) -> None:
        super().__init__()
        self.opened = {"network", *(f"network.{name}" for name in opened)}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self.opened


def forward_graph(network: nn.Module, opened: Collection[str]) -> fx.Graph | None:
    """The calls of the forward function; of the modules in `opened` their own calls.

    None where they depend on values, or on training or evaluation: a trace holds one of the two.
    """
    graphs = []
    for training in (True, False):
        try:
            graphs.append(_Tracer(opened).trace(_Whole(network).train(training)))
        except Exception:  # somebody's code, run on what is no tensor: anything may happen
            return None
    for graph in graphs:
        for node in graph.nodes:
            if node.op in ("call_module", "get_attr"):
                node.target = node.target.removeprefix("network.")
            elif node.target is F.dropout:  # will be a module, which knows when it trains
                node.kwargs = {**node.kwargs, "training": False}
    return graphs[1] if str(graphs[0]) == str(graphs[1]) else None


class _Recorder(fx.Interpreter):
    """Runs a graph; keeps the shape of each tensor."""

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        super().__init__(network, graph=graph)
        self.shapes: Shapes = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.shapes[n] = tuple(value.shape)
        return value


@torch.no_grad()
def tensor_shapes(network: nn.Module, graph: fx.Graph, image_size: int) -> Shapes | None:
    """For images of at least PROBE pixels, unless the network takes one size only."""
    for size in dict.fromkeys((max(image_size, PROBE), image_size)):
        recorder = _Recorder(network.eval(), graph)
        try:
            recorder.run(torch.zeros(1, 3, size, size))
        except Exception:  # that size does not suit it, or the graph is not what its code does
            continue
        return recorder.shapes
    return None


def as_layers(
    network: nn.Module, nodes: Sequence[fx.Node], given: fx.Node
) -> OrderedDict[str, nn.Module]:
    """What `nodes` do to the tensor of `given`, with the network's own modules and parameters.

    Layers in a row where each takes what the one before gives, else one that runs the nodes.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    value = given
    for node in nodes:
        layer = _layer(network, node)
        if layer is None or node.args[0] is not value:
            return OrderedDict(program=_program(network, nodes, given))
        name = str(node.target).rpartition(".")[2] if node.op == "call_module" else node.name
        layers[node.name if name in layers else name] = layer
        value = node
    return layers


def _program(network: nn.Module, nodes: Sequence[fx.Node], given: fx.Node) -> nn.Module:
    graph = fx.Graph()
    own: dict[str, Any] = {}
    copies = {given: graph.placeholder("given")}
    for node in nodes:
        layer, target = _layer(network, node), str(node.target)
        if layer is not None and node.op != "call_module":
            own[node.name] = layer
            copies[node] = graph.call_module(node.name, (copies[node.all_input_nodes[0]],))
            continue
        if node.op in ("call_module", "get_attr"):
            own[target] = operator.attrgetter(target)(network)
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[nodes[-1]])
    return fx.GraphModule(own, graph, "Program")


def _layer(network: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module that a node is or is as good as: hooks and guided backpropagation see modules."""
    options: Any = node.args[1:]
    named: Any = node.kwargs
    if len(node.all_input_nodes) != 1 or node.args[:1] != (node.all_input_nodes[0],):
        return None
    if node.op == "call_module":
        return None if options or named else network.get_submodule(str(node.target))
    match node.target:
        case F.relu | torch.relu:
            return nn.ReLU()
        case F.dropout:
            return nn.Dropout(named["p"])
        case torch.flatten | "flatten":
            return nn.Flatten(*options, **named)
        case F.adaptive_avg_pool2d:
            return nn.AdaptiveAvgPool2d(*options, **named)
        case "mean" if not named and options in (([2, 3],), ((2, 3),)):
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return None
