"""VGG16: torchvision's convolution base, block by block, and a head of one's own."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from torch import nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from cnnexp.config.types import Fraction01, PositiveInt
from cnnexp.config.weights import IMAGENET
from cnnexp.errors import InputError
from cnnexp.models.layers import dense_head
from cnnexp.models.normalize import Normalize
from cnnexp.models.weights import cached_file, load_weights, read_weights

TRAINED = VGG16_Weights.IMAGENET1K_V1


def vgg16(
    image_size: int,
    outputs: int,
    *,
    weights: str | None = "imagenet",
    reduce: Literal["flatten", "average"] = "flatten",
    dense: Sequence[PositiveInt] = (256,),
    head_dropout: Fraction01 = 0.5,
) -> nn.Sequential:
    """(B, 3, S, S) -> normalize -> block1 .. block5 (512, S/32, S/32) -> head -> (B, outputs).

    Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image
    recognition", configuration D; each block ends in 2x2 pooling. weights: imagenet, or a file of
    the whole network or of its base (features.*); both stand for images that are normalised by
    ImageNet's mean and standard deviation. None: drawn, and no block normalize.
    """
    if image_size < 32:
        raise InputError(
            f"dataset.image_size={image_size}: model=vgg16 halves images five times; "
            "it needs at least 32"
        )
    features = make_layers(cfgs["D"], batch_norm=False)
    for layer in features:
        if isinstance(layer, nn.Conv2d):  # as torchvision draws them: He et al. 2015, 2.2
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.constant_(layer.bias, 0)  # type: ignore[arg-type]
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    if weights is not None:
        path = cached_file(TRAINED.url) if weights == IMAGENET else weights
        base = nn.ModuleDict({"features": features})
        load_weights(base, read_weights(path), path, "VGG16", without=["classifier"])
        trained_on = TRAINED.transforms()
        blocks["normalize"] = Normalize(trained_on.mean, trained_on.std)
    layers: list[nn.Module] = []
    for layer in features:
        layers.append(nn.ReLU() if isinstance(layer, nn.ReLU) else layer)  # not in place
        if isinstance(layer, nn.MaxPool2d):
            number = sum(name.startswith("block") for name in blocks) + 1
            blocks[f"block{number}"] = nn.Sequential(*layers)
            layers = []
    blocks["head"] = dense_head(
        512,
        image_size // 32,
        outputs,
        reduce=reduce,
        dense=dense,
        activation="relu",
        dropout=head_dropout,
    )
    return nn.Sequential(blocks)
