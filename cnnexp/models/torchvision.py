"""Any image classifier of torchvision, cut into named blocks, with a last layer of one's own."""

import re
from collections import OrderedDict
from typing import Any

import torch
from torch import nn
from torchvision import models

from cnnexp.config.weights import IMAGENET
from cnnexp.errors import InputError, nearest
from cnnexp.models.cut import chain
from cnnexp.models.normalize import Normalize
from cnnexp.models.weights import cached_file, load_weights, read_weights

# No auxiliary classifiers: they help the training from scratch that these networks were made for.
# vit_h_14's weights are for larger images than the network that is built without them.
OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
    "vit_h_14": {"image_size": 518},
}
AUXILIARY = ("aux1", "aux2", "AuxLogits")
# DenseNet's files are older than the rule that names hold no dots (torchvision/models/densenet.py).
OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def torchvision(
    image_size: int, outputs: int, *, name: str = "resnet50", weights: str | None = "imagenet"
) -> nn.Sequential:
    """(B, 3, S, S) -> normalize -> blocks with the library's names -> head -> (B, outputs).

    name: of torchvision.models.list_models(module=torchvision.models). weights: imagenet
    (torchvision's default ones for it), or a file of the network, whose last layer is left out;
    the block normalize is that of the library's weights. None: drawn, and no block normalize.
    """
    names = models.list_models(module=models)
    if name not in names:
        close = nearest(name, names) or f"; it has {', '.join(names)}"
        raise InputError(f"model.name={name}: torchvision has no such classifier{close}")
    trained = models.get_model_weights(name).DEFAULT
    network = models.get_model(name, weights=None, num_classes=outputs, **OPTIONS.get(name, {}))
    with_relu_modules(network)
    last = last_layer(network, outputs)
    if weights is not None:
        path = cached_file(trained.url) if weights == IMAGENET else weights
        state = renamed(read_weights(path))
        load_weights(network, state, path, name, without=[last, *AUXILIARY])
    blocks = chain(network, name, image_size, last=[last], made_for=trained.meta["min_size"][0])
    if weights is None:
        return blocks
    # googlenet and inception_v3 were trained on images in [-1, 1].
    rescaled = hasattr(network, "transform_input")
    mean, std = trained.transforms().mean, trained.transforms().std
    normalize = Normalize([0.5] * 3, [0.5] * 3) if rescaled else Normalize(mean, std)
    return nn.Sequential(OrderedDict([("normalize", normalize), *blocks.named_children()]))


def last_layer(network: nn.Module, outputs: int) -> str:
    """The name of the layer that gives the logits: a dense one, or SqueezeNet's convolution."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and len(module.weight) == outputs
    ][-1]


def with_relu_modules(network: nn.Module) -> None:
    """googlenet and inception_v3 call relu as a function, in place; hooks and guided
    backpropagation see modules only. The weights keep their names.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "BasicConv2d":
                layers = OrderedDict(
                    [*child.named_children(), ("relu", nn.ReLU())]
                )  # conv, bn, relu
                setattr(module, name, nn.Sequential(layers))


def renamed(weights: OrderedDict[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    """Old names as the library has them today: denselayer1.norm.1. -> denselayer1.norm1."""
    for name in list(weights):
        weights[OLD_NAME.sub(r"\1\2", name)] = weights.pop(name)
    return weights
