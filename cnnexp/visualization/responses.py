"""What the channels of a layer respond with: their values before the layer's last activation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from cnnexp.errors import Inapplicable, InputError
from cnnexp.visualization.layers import block_shapes, find_layer

# Names of torch's functions: a module calls one of them, too.
ACTIVATIONS = {
    *("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "prelu"),
    *("elu", "elu_", "selu", "selu_", "celu", "celu_", "gelu", "silu", "mish", "softplus"),
    *("hardswish", "sigmoid", "tanh"),
}
# What may follow the last activation without making other channels of its maps.
PASSED_ON = {
    *("max_pool2d", "avg_pool2d", "adaptive_max_pool2d", "adaptive_avg_pool2d"),
    *("dropout", "dropout2d", "cat", "concat", "concatenate", "permute"),
}


class BeforeActivation(TorchFunctionMode):
    """While it is on, remembers for what an activation gives what it was given.

    Pooling, dropout and concatenation go on with both, so that a block [conv, norm, ReLU, pool],
    a residual block and an inception block have, each channel, a value before the last activation;
    one that an activation does not end (pre-activation) has none. Functions count as modules do.
    """

    def __init__(self) -> None:
        super().__init__()
        # By identity; the tensor stays in the value, for an id is used again once it is gone.
        self._before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in ACTIVATIONS:
            in_place = name.endswith("_") or named.get("inplace")
            given = args[0].clone() if in_place else args[0]
            gave = func(*args, **named)
            self._before[id(gave)] = (gave, given)
            return gave
        gave = func(*args, **named)
        if name in PASSED_ON and isinstance(gave, torch.Tensor):
            before = tuple(self._swapped(argument) for argument in args)
            if any(a is not b for a, b in zip(args, before, strict=True)):
                self._before[id(gave)] = (gave, func(*before, **named))
        return gave

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """`values` as they would be without the activation that they come from."""
        return self._before[id(values)][1] if id(values) in self._before else values

    def _swapped(self, argument: Any) -> Any:
        if isinstance(argument, torch.Tensor):
            return self(argument)
        if isinstance(argument, list | tuple) and any(
            id(part) in self._before for part in argument
        ):
            return [self._swapped(part) for part in argument]
        return argument


class Response(NamedTuple):
    """before: (B, C, h, w) before the layer's last activation. after: what the layer gives. Both
    float32.
    """

    before: torch.Tensor
    after: torch.Tensor


def layer_responses(
    network: nn.Sequential, layers: Sequence[str], images: torch.Tensor, key: str
) -> dict[str, Response]:
    """Of `images` (B, 3, H, W); layers: as in `find_layers`. The blocks behind them do not run.

    Raises InputError, naming `key`, where a layer gives no map.
    """
    found: dict[str, Response] = {}
    mode = BeforeActivation()

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, given: Any, gave: Any) -> None:
            if not isinstance(gave, torch.Tensor) or gave.dim() != 4:
                said = f"is {gave.dim()}-dimensional" if hasattr(gave, "dim") else "is no tensor"
                raise InputError(f"{key}: layer '{name}' gives no map, its output {said}")
            # Copies: what comes later may work in place.
            before, after = mode(gave).clone(), gave.detach().clone()
            found[name] = Response(before.float(), after.float())

        return hook

    handles = [
        network.get_submodule(name).register_forward_hook(keep(name))
        for name in dict.fromkeys(layers)
    ]
    try:
        left = {name.partition(".")[0] for name in layers}
        values = images
        for name, block in network.named_children():
            with mode if name in left else nullcontext():
                values = block(values)
            left.discard(name)
            if not left:
                break
    finally:
        for handle in handles:
            handle.remove()
    missing = [name for name in layers if name not in found]
    if missing:
        raise InputError(f"{key}: layer '{missing[0]}' is not called as a module; choose another")
    return found


def find_layers(
    network: nn.Sequential, layers: Sequence[str] | None, size: tuple[int, int], key: str
) -> list[str]:
    """Blocks, or modules inside one by their dotted name (block3.0).

    None: the first, the middle and the last block that hold a convolution and give maps of images
    of that (height, width); Inapplicable where there is none. Raises InputError, naming `key`, for
    what is not there.
    """
    if layers is None:
        names = [
            name
            for name, shape in block_shapes(network, size).items()
            if len(shape) == 3 and has_convolution(network.get_submodule(name))
        ]
        if not names:
            raise Inapplicable("no block before the head has a convolution and gives maps")
        places = (0, (len(names) - 1) // 2, len(names) - 1)
        return list(dict.fromkeys(names[place] for place in places))
    for name in layers:
        find_layer(network, name, key)
    return list(dict.fromkeys(layers))


def has_convolution(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) for part in module.modules())
