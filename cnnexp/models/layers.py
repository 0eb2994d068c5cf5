"""Layers that several models are made of."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

Norm = Literal["batch", "group", "none"]
Activation = Literal["relu", "leaky_relu", "gelu", "silu", "elu"]

# Modules, never functions and never in place: guided backpropagation replaces them, and a hook on
# the layer before must see what that layer gave.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
}


def activation_layer(name: Activation) -> nn.Module:
    return ACTIVATIONS[name]()


def norm_layers(name: Norm, channels: int) -> list[nn.Module]:
    """Batch norm, group norm of at most 32 groups (Wu and He 2018), or no layer."""
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    if name == "group":
        groups = max(g for g in range(1, min(32, channels) + 1) if channels % g == 0)
        return [nn.GroupNorm(groups, channels)]
    return []


def convolution(
    channels: int,
    filters: int,
    kernel_size: int,
    *,
    norm: Norm,
    activation: Activation | None,
    stride: int = 1,
    padding: int | Literal["same", "valid"] = "same",
) -> list[nn.Module]:
    """A convolution, then what there is of normalisation and activation."""
    return [
        # A bias before a normalisation is subtracted again by it.
        nn.Conv2d(channels, filters, kernel_size, stride, padding, bias=norm == "none"),
        *norm_layers(norm, filters),
        *([] if activation is None else [activation_layer(activation)]),
    ]


def dense_head(
    channels: int,
    size: int,
    outputs: int,
    *,
    reduce: Literal["flatten", "average"],
    dense: Sequence[int],
    activation: Activation,
    dropout: float,
) -> nn.Sequential:
    """(B, channels, size, size) -> (B, outputs): flatten or average, dense layers, logits."""
    layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1)] if reduce == "average" else []
    layers.append(nn.Flatten())
    features = channels if reduce == "average" else channels * size * size
    for width in dense:
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [nn.Linear(features, width), activation_layer(activation)]
        features = width
    layers += [nn.Dropout(dropout)] if dropout else []
    layers.append(nn.Linear(features, outputs))
    return nn.Sequential(*layers)
