"""The layer table of any network: shapes, sizes, parameters, multiply-adds, receptive fields."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
POOLS = {aten.max_pool2d_with_indices.default, aten.max_pool2d.default, aten.avg_pool2d.default}
ADAPTIVE = {aten._adaptive_avg_pool2d.default, aten.adaptive_max_pool2d.default}
TAPS = {"bilinear": 2, "bicubic": 4}  # places that interpolation mixes; else the nearest one
T = TypeVar("T")


@dataclass(frozen=True)
class Layer:
    """One row. shape: (C, H, W) or (features,). multiply_adds: per image. receptive_field: side in
    input pixels that an output value can depend on, borders ignored: it may exceed the image. A
    dense layer is a window as large as its map.
    """

    name: str
    kind: str
    kernel: int | tuple[int, ...] | None
    stride: int | tuple[int, ...] | None
    padding: int | tuple[int, ...] | str | None
    dilation: int | tuple[int, ...] | None
    shape: tuple[int, ...]
    size: int
    parameters: int
    multiply_adds: int
    receptive_field: int


def anatomy(network: nn.Module, image_size: int) -> list[Layer]:
    """Rows in order of execution: layers with parameters, with windows, or that change a shape.

    Activations, dropout and flattening compute nothing that the table counts. A module that is made
    of others has a row of its own for what these leave: attention, a scale or a token it learns.
    Runs on meta tensors: nothing is calculated, any size is quick; a network whose code asks for
    values is run on a black image. The network stays as it was.
    """
    # Of the network itself: on another device weights that two layers share would be two.
    owned = {
        name: {id(weight): weight.numel() for weight in module.parameters()}
        for name, module in network.named_modules()
    }
    return _on_meta_or_here(lambda twin: _rows_of(twin, owned, image_size), network)


class Field(NamedTuple):
    """side: what one place of a map sees, see `Layer`. jump: pixels from one place to the next; 0
    where all see the same, a fraction where a map was made one of another size.
    """

    side: int
    jump: float


def receptive_field(network: nn.Module, layer: str, image_size: int) -> Field:
    """Of what the module of that name gives, when it is called last."""

    def look(twin: nn.Module) -> Field:
        fields, found = _ReceptiveFields(image_size), Field(1, 1)

        def hook(module: nn.Module, inputs: tuple, output: Any) -> None:
            nonlocal found
            found = fields.of(output)

        twin.get_submodule(layer).register_forward_hook(hook)
        with torch.no_grad(), fields:
            _run(twin, image_size)
        return found

    return _on_meta_or_here(look, network)


def _on_meta_or_here(look: Callable[[nn.Module], T], network: nn.Module) -> T:
    """look: at a copy. On meta tensors nothing is calculated; code that asks for values is run."""
    try:
        return look(copy.deepcopy(network).to("meta").eval())
    except (RuntimeError, NotImplementedError, TypeError):
        return look(copy.deepcopy(network).cpu().eval())


def _run(twin: nn.Module, image_size: int) -> None:
    device = next(twin.parameters()).device
    twin(torch.zeros(1, 3, image_size, image_size, device=device))


def _rows_of(
    twin: nn.Module, owned: Mapping[str, Mapping[int, int]], image_size: int
) -> list[Layer]:
    """owned: of each module by its name its weights, by identity, and their sizes."""
    rows: list[Layer] = []
    fields = _ReceptiveFields(image_size)
    counter = FlopCounterMode(display=False)
    before: dict[str, int] = {}
    seen: set[int] = set()
    listed = 0  # operations that have a row

    def enter(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple) -> None:
            before[name] = counter.get_total_flops() - listed

        return hook

    def leave(name: str, alone: bool) -> Any:
        def hook(module: nn.Module, inputs: tuple, output: Any) -> None:
            nonlocal listed
            output = output[0] if isinstance(output, tuple | list) else output
            new = {weight: size for weight, size in owned[name].items() if weight not in seen}
            own = sum(new.values())
            operations = counter.get_total_flops() - listed - before[name]
            changed = alone and tuple(output.shape) != tuple(inputs[0].shape)
            windowed = alone and hasattr(module, "kernel_size")  # pooling of stride 1, too
            if isinstance(module, nn.Flatten | nn.Identity):
                return
            if not (own or operations or changed or windowed):
                return
            seen.update(new)
            listed += operations
            shape = tuple(output.shape[1:])
            rows.append(
                Layer(
                    name=name,
                    kind=type(module).__name__,
                    kernel=_one(getattr(module, "kernel_size", None)),
                    stride=_one(getattr(module, "stride", None)),
                    padding=_one(getattr(module, "padding", None)),
                    dilation=_one(getattr(module, "dilation", None)),
                    shape=shape,
                    size=output[0].numel(),
                    parameters=own,
                    # The counter counts a multiply-add as two operations.
                    multiply_adds=operations // 2,
                    receptive_field=fields.of(output).side,
                )
            )

        return hook

    for name, module in twin.named_modules():
        module.register_forward_pre_hook(enter(name))
        module.register_forward_hook(leave(name, alone=not list(module.children())))
    with torch.no_grad(), counter, fields:
        _run(twin, image_size)
    return rows


def _one(value: Any) -> Any:
    """(3, 3) -> 3: square settings read better as one number."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


class _ReceptiveFields(TorchDispatchMode):
    """Follows (field, jump) of rows and of columns through every operation: branches and functional
    calls count, too.

    A window of f at dilation d over values whose fields are r and whose neighbours lie j apart sees
    r + d (f - 1) j; a stride of s makes the distance s j (Araujo et al. 2019, "Computing receptive
    fields of convolutional neural networks"). Where branches join, the larger field counts.
    """

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.known: Any = WeakTensorKeyDictionary()

    def of(self, tensor: torch.Tensor) -> Field:
        """The larger of the two, where a map's rows and columns differ."""
        field, jump = max(self.known.get(tensor, [(1, 1)]))
        return Field(round(field), jump)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        output = result[0] if isinstance(result, tuple | list) else result
        if not isinstance(output, torch.Tensor):
            return result
        given = [t for a in args for t in (a if isinstance(a, list | tuple) else [a])]
        tensors = [t for t in given if isinstance(t, torch.Tensor)]
        if not tensors:  # torch.full and its like make values that depend on no pixel
            return result
        known = [t for t in tensors if t in self.known]
        axes = [max((self.known[t][axis] for t in known), default=(1.0, 1.0)) for axis in (0, 1)]
        if window := _window(func, args, tensors[0].shape[-2:], output.shape[-2:]):
            axes = [
                (field + (seen - 1) * jump, step * jump)
                for (field, jump), (seen, step) in zip(axes, window, strict=True)
            ]
        elif output.ndim < 3 or output.shape[-2:] == (1, 1):
            largest = max(known or tensors, key=lambda t: t.numel())
            if largest.ndim == 3:  # tokens look at each other
                axes = [(max(field, self.image_size), 0.0) for field, _ in axes]
            elif largest.ndim == 4 and output.shape[:1] == (1,):
                # Flattened, or pooled to one place: a window as large as the map. After it all
                # places see the same, also where a map is multiplied by it.
                sides = largest.shape[-2:]
                axes = [
                    (field + (side - 1) * jump, 0.0)
                    for (field, jump), side in zip(axes, sides, strict=True)
                ]
        for part in result if isinstance(result, tuple | list) else [result]:
            if isinstance(part, torch.Tensor):
                self.known[part] = axes
        return result


# What an operation does to rows and to columns: how many places of its input each of its output
# sees, from the first to the last, and how many the next one is further.
Window = list[tuple[float, float]]


def _window(func: Any, args: Any, before: Sequence[int], after: Sequence[int]) -> Window | None:
    """None where each place sees its own. before, after: (H, W) of the maps."""
    name = func.overloadpacket.__name__
    if func is aten.convolution.default and args[1].ndim == 4:
        reach = [d * (f - 1) + 1 for d, f in zip(args[5], args[1].shape[-2:], strict=True)]
        if args[6]:  # transposed: every stride-th of the window falls on a place
            return [(math.ceil(r / s), 1 / s) for r, s in zip(reach, args[3], strict=True)]
        return list(zip(reach, args[3], strict=True))
    if func in POOLS:
        stride = args[2] if len(args) > 2 and args[2] else args[1]
        dilated = func is not aten.avg_pool2d.default and len(args) > 4
        dilation = args[4] if dilated else [1]
        windows = zip(_two(args[1]), _two(stride), _two(dilation), strict=True)
        return [(d * (f - 1) + 1, s) for f, s, d in windows]
    if func in ADAPTIVE and tuple(after) != (1, 1):
        return [_adapted(b, a) for b, a in zip(before, after, strict=True)]
    if name.startswith(("upsample_", "_upsample_")):
        taps = next((n for kind, n in TAPS.items() if kind in name), 1)
        wider = name.endswith("_aa")  # antialiased: the window grows as the map shrinks
        return [
            (taps * max(1.0, b / a) if wider else taps, b / a)
            for b, a in zip(before, after, strict=True)
        ]
    if name == "pixel_shuffle":
        return [(1, 1 / args[1])] * 2
    if name == "pixel_unshuffle":
        return [(args[1], args[1])] * 2
    return None


def _two(value: Any) -> list[int]:
    return list(value) if len(value) == 2 else [value[0], value[0]]


def _adapted(before: int, after: int) -> tuple[float, float]:
    if after < before:  # windows side by side
        return math.ceil(before / after), before / after
    # Copies: the same first and last place.
    return 1, (before - 1) / (after - 1) if after > before else 1
