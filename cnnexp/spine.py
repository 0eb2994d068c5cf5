"""What a network is: a chain of named blocks. Found out before a run begins, with two images."""

import copy
import traceback
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnexp.config.instantiate import named_folder
from cnnexp.errors import InputError, first_line
from cnnexp.models.normalize import Normalize

LARGE = 224  # pixels that every usual network can take


def as_spine(chain: Any, target: str) -> nn.Sequential:
    """What a model's function gave, `normalize` in front. target: the function, for errors.

    Raises InputError for what is no chain of blocks that ends in `head`.
    """
    key = f"model._target_={target}"
    if not isinstance(chain, nn.Sequential):  # what another module does in `forward` would be lost
        raise InputError(
            f"{key}: gives a {type(chain).__name__}; it must give a torch.nn.Sequential of named "
            "blocks, the last of them 'head'"
        )
    blocks = OrderedDict(chain._modules)  # named_children() would leave out a second mention
    if list(blocks)[-1:] != ["head"]:
        raise InputError(
            f"{key}: the last block of a network is named 'head', this one's are "
            f"{', '.join(blocks)}"
        )
    first: dict[int, str] = {}
    for name, block in blocks.items():
        if first.setdefault(id(block), name) != name:
            raise InputError(
                f"{key}: its blocks {first[id(block)]} and {name} are one object; make one for "
                "each, or put both uses into one block"
            )
    if "normalize" not in blocks:
        blocks = OrderedDict([("normalize", Normalize()), *blocks.items()])
    if not isinstance(next(iter(blocks.values())), Normalize):
        raise InputError(
            f"{key}: a block named 'normalize' must be the first, and a "
            "cnnexp.models.normalize.Normalize; without one cnnexp puts it there"
        )
    network = nn.Sequential(blocks)
    # What the model itself has fixed: no phase trains it.
    fixed = frozenset(n for n, p in network.named_parameters() if not p.requires_grad)
    vars(network)["fixed"] = fixed  # no parameter, module or buffer
    if not any(True for _ in network.parameters()):
        raise InputError(f"{key}: no block has weights: there is nothing to train")
    return network


def check_layers_known(network: nn.Module) -> None:
    """Raises InputError for layers in a plain list or dictionary: none would train or be saved."""
    known = {id(module) for module in network.modules()}
    for name, module in network.named_modules():
        for attribute, value in vars(module).items():
            inside = value.values() if isinstance(value, dict) else value
            if attribute.startswith("_") or not isinstance(value, dict | list | tuple):
                continue
            if any(isinstance(one, nn.Module) and id(one) not in known for one in inside):
                kind = type(value).__name__
                instead = "nn.ModuleDict" if isinstance(value, dict) else "nn.ModuleList"
                raise InputError(
                    f"model: {name}.{attribute} is a {kind} of layers, which would be neither "
                    f"trained nor saved; put them into an {instead}"
                )


def try_out(network: nn.Sequential, image_size: int, outputs: int) -> None:
    """Raises InputError where two images do not become logits (2, outputs): what would else fail in
    the first batch, or at the test.
    """
    mode = network.training
    try:
        logits = passed(network.eval(), black(image_size))["head"]
    except Refused as problem:
        if any(takes(network, larger) for larger in (2 * image_size, LARGE)):
            raise InputError(
                f"dataset.image_size={image_size}: the network cannot take such images "
                f"({problem}); use larger images or fewer stages"
            ) from None
        raise InputError(f"model: {problem}") from None
    finally:
        network.train(mode)
    if logits.shape != (2, outputs):
        raise InputError(
            f"model: for two images the head gives {tuple(logits.shape)} and not (2, {outputs}); "
            "`outputs` says how many values belong to an image"
        )


def check_learns(network: nn.Sequential, image_size: int) -> None:
    """Before a network's first training. Raises InputError for what trains without an error and
    learns little or is tested wrongly: layers that torch does not know, answers that are not the
    image's alone, probabilities in place of logits; and for what fails in the first step.
    """
    check_layers_known(network)
    unlike = black(image_size)
    unlike[0] = torch.rand(unlike.shape[1:], generator=torch.Generator().manual_seed(0))
    trial = copy.deepcopy(network).eval()
    with torch.random.fork_rng([]):
        values = passed(trial, unlike)
        check_steady(trial, unlike, values)
        check_step(trial.train(), unlike)
    logits = values["head"]
    last: nn.Module = network
    while isinstance(last, nn.Sequential) and len(last):
        last = last[-1]
    if isinstance(last, nn.Sigmoid) or (logits.shape[1] > 1 and sums_to_one(logits)):
        raise InputError(
            "model: the head gives probabilities and not logits; leave out the sigmoid or softmax "
            "at its end: the loss and the answers apply it"
        )


def check_steady(
    network: nn.Sequential, images: torch.Tensor, values: Mapping[str, torch.Tensor]
) -> None:
    """Raises InputError where, in eval mode, an image's values are drawn by chance, or depend on
    the other images of its batch. values: `passed` of two unlike images.
    """
    try:
        alone = passed(network, images[:1])
    except Refused as problem:
        raise InputError(f"model: cannot take one image alone: {problem}") from None
    block = next((name for name in values if not alike(values[name][:1], alone[name])), None)
    if block is None:
        return
    if not alike(passed(network, images)[block], values[block]):
        raise InputError(
            f"model: {block} gives other values each time it is evaluated with the same images; a "
            "dropout by function needs training=self.training, an nn.Dropout sees to it itself"
        )
    gave, wanted = size_of(alone[block]), size_of(values[block][:1])
    sizes = "" if gave == wanted else f", of size {gave}, not {wanted}"
    raise InputError(
        f"model: {block} gives an image other values alone than beside another{sizes}: the first "
        "dimension is the batch's, which a view, squeeze, softmax or norm must not mix"
    )


def check_step(network: nn.Sequential, images: torch.Tensor) -> None:
    """Raises InputError where torch refuses a step of training: forward, and gradients."""
    try:
        logits = passed(network.train(), images, gradients=True)["head"]
    except Refused as problem:
        raise InputError(f"model: in training, {problem}") from None
    try:
        logits.sum().backward()
    except RuntimeError as error:
        raise InputError(f"model: its gradients cannot be computed: {first_line(error)}") from None


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """But for rounding, which depends on a batch's size."""
    if one.shape != other.shape:
        return False
    largest = float(one.abs().nan_to_num().max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=0, atol=1e-3 * largest, equal_nan=True)


def size_of(values: torch.Tensor) -> str:
    return "x".join(map(str, values.shape))


def sums_to_one(values: torch.Tensor) -> bool:
    """Whether each row of (B, K) could be what a softmax gave."""
    sums = values.sum(dim=1)
    return bool((values >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)


class Refused(Exception):
    """By a block, which torch's words name."""


def black(image_size: int) -> torch.Tensor:
    """Two images."""
    return torch.zeros(2, 3, image_size, image_size)


def passed(
    network: nn.Sequential, images: torch.Tensor, *, gradients: bool = False
) -> dict[str, torch.Tensor]:
    """Block -> what it gives. Raises Refused where torch refuses a block's input."""
    features, values = images, {}
    for name, block in network.named_children():
        given = size_of(features[0])
        try:
            with torch.set_grad_enabled(gradients):
                features = block(features)
        except RuntimeError as error:
            raise Refused(f"{name}, given {given}{own_line(error)}: {first_line(error)}") from None
        except Exception as error:
            error.add_note(f"raised by block {name} of the network, given {given}")
            raise
        if not isinstance(features, torch.Tensor):
            raise InputError(
                f"model: {name} gives a {type(features).__name__}; between blocks, and "
                "from the head, there is one tensor"
            )
        values[name] = features
    return values


def takes(network: nn.Sequential, image_size: int) -> bool:
    """Whether images of this size pass."""
    try:
        passed(network, black(image_size))
    except Exception:  # a person's own code may raise anything
        return False
    return True


def own_line(error: BaseException) -> str:
    """`, dense.py line 12`: the last one of a person's own code that led to the error, else ""."""
    frames = traceback.extract_tb(error.__traceback__)
    folder = named_folder()
    own = [at for at in frames if folder and Path(at.filename).resolve().is_relative_to(folder)]
    return f", {Path(own[-1].filename).name} line {own[-1].lineno}" if own else ""


def has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
