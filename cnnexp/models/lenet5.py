"""LeNet-5, in the form that courses teach."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from cnnexp.config.types import PositiveInt
from cnnexp.errors import InputError
from cnnexp.models.layers import Activation, activation_layer, dense_head


def lenet5(
    image_size: int,
    outputs: int,
    *,
    filters: Sequence[PositiveInt] = (8, 16),
    dense: Sequence[PositiveInt] = (120, 84),
    activation: Activation = "relu",
) -> nn.Sequential:
    """(B, 3, S, S) -> 5x5 convolution, 2x2 pooling, twice -> dense 120, 84 -> (B, outputs).

    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition",
    with max pooling and ReLU in place of scaled averaging and tanh. S = 32 there.
    """
    size, channels = image_size, 3
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for number, width in enumerate(filters, start=1):
        size = (size - 4) // 2
        if size < 1:
            raise InputError(
                f"model=lenet5: block{number} leaves no pixel of images of {image_size} pixels; "
                "dataset.image_size must be at least 16"
            )
        blocks[f"block{number}"] = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=5), activation_layer(activation), nn.MaxPool2d(2)
        )
        channels = width
    blocks["head"] = dense_head(
        channels, size, outputs, reduce="flatten", dense=dense, activation=activation, dropout=0.0
    )
    return nn.Sequential(blocks)
