"""The CNN of the course: stages of convolutions and pooling, then dense layers."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from cnnexp.config.types import Fraction01, PositiveInt
from cnnexp.models.layers import Activation, Norm
from cnnexp.models.stages import staged_network


def baseline(
    image_size: int,
    outputs: int,
    *,
    widths: Sequence[Sequence[PositiveInt]] = ((32, 32), (64, 64), (128, 128)),
    kernel_size: PositiveInt = 3,
    padding: Literal["same", "valid"] = "same",
    norm: Norm = "batch",
    activation: Activation = "relu",
    pool: Literal["max", "average"] = "max",
    dropout: Fraction01 = 0.0,
    reduce: Literal["flatten", "average"] = "flatten",
    dense: Sequence[PositiveInt] = (512,),
    head_dropout: Fraction01 = 0.0,
) -> nn.Sequential:
    """(B, 3, S, S) -> block1 .. blockN -> head -> (B, outputs); each stage ends in 2x2 pooling.

    widths: filters of each convolution, a list per stage. dropout: of whole channels after each
    stage; head_dropout: before each dense layer. Raises InputError where a map would vanish.
    """
    return staged_network(
        image_size,
        outputs,
        widths=widths,
        replaced={},
        kernel_size=kernel_size,
        padding=padding,
        norm=norm,
        activation=activation,
        pool=pool,
        dropout=dropout,
        reduce=reduce,
        dense=dense,
        head_dropout=head_dropout,
    )
