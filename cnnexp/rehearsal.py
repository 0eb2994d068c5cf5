"""Two images go through a network before a run begins: what would fail in the first batch or at the
test, or train without an error and learn little.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from cnnexp.errors import InputError, first_line
from cnnexp.passing import Refused, black, parts_batch, passed, takes, through
from cnnexp.training.precision import autocast, resolve_precision
from cnnexp.unsaved import check_layers_known, check_saved, leaves, plain_state

LARGE = 224  # pixels that every usual network can take


def try_out(network: nn.Sequential, image_size: int, outputs: int) -> None:
    """Raises InputError where two images do not become logits (2, outputs): what would else fail in
    the first batch, or at the test; and for layers that torch does not know.
    """
    check_layers_known(network)
    mode = network.training
    try:
        logits = passed(network.eval(), black(image_size))
    except Refused as problem:
        if any(takes(network, larger) for larger in (2 * image_size, LARGE)):
            raise InputError(
                f"dataset.image_size={image_size}: the network cannot take such images "
                f"({problem}); use larger images or fewer stages"
            ) from None
        raise InputError(f"model: {problem}") from None
    finally:
        network.train(mode)
    if logits.shape[:1] != (2,) and (block := parts_batch(network, image_size)):
        raise InputError(
            f"model: {block} does not give as many images as it is given: the first dimension is "
            "the batch's, whose size changes; a view or reshape keeps it: x.view(len(x), …)"
        )
    if logits.shape != (2, outputs):
        raise InputError(
            f"model: for two images the head gives {tuple(logits.shape)} and not (2, {outputs}); "
            "`outputs` says how many values belong to an image"
        )


def check_learns(
    network: nn.Sequential, image_size: int, precision: str = "32-true", device: str = "cpu"
) -> None:
    """Before a network's first training. Raises InputError for what trains without an error and
    learns little or is tested wrongly: answers that are not the image's alone, probabilities in
    place of logits; and for what fails in the first step.

    precision: Lightning's, of the training; device: the kind, "cpu" or "cuda".
    """
    unlike = black(image_size)
    unlike[0] = torch.rand(unlike.shape[1:], generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng([]), as_it_was(network):
        logits = steady(network.eval(), unlike)
        before = plain_state(network)
        check_step(network.train(), unlike)
        check_mixed(network, unlike, precision, device)
        check_saved(network, before, unlike)
    last: nn.Module = network
    while isinstance(last, nn.Sequential) and len(last):
        last = last[-1]
    if isinstance(last, nn.Sigmoid) or (logits.shape[1] > 1 and sums_to_one(logits)):
        raise InputError(
            "model: the head gives probabilities and not logits; leave out the sigmoid or softmax "
            "at its end: the loss and the answers apply it"
        )


@contextmanager
def as_it_was(network: nn.Module) -> Iterator[None]:
    """Afterwards. Not a copy, whose hooks and functions would still hold the original's weights."""
    mode = network.training
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        network.train(mode)
        network.zero_grad(set_to_none=True)
        for buffer, before in buffers:  # batch norm's averages
            buffer.data = before


def steady(network: nn.Sequential, images: torch.Tensor) -> torch.Tensor:
    """The logits of two unlike images. Raises InputError where, in eval mode, a block gives an
    image values that are drawn by chance, or depend on the other images of its batch.

    Block by block, each given the same: what one makes of rounding, the next may make larger.
    """
    given = images
    for name, block in network.named_children():
        gives = through(name, block, given.clone())  # it may work in place
        try:
            alone = through(name, block, given[:1].clone())
        except Refused as problem:
            raise InputError(f"model: cannot take one image alone: {problem}") from None
        if not alike(gives[:1], alone) and not alike_in_float64(block, given):
            if not alike(gives, through(name, block, given.clone())):
                raise InputError(
                    f"model: {name} gives other values each time it is evaluated with the same "
                    "images; a dropout by function needs training=self.training (an nn.Dropout "
                    "sees to it itself), and layers are made once, not in forward"
                )
            gave, wanted = size_of(alone), size_of(gives[:1])
            sizes = "" if gave == wanted else f", of size {gave}, not {wanted}"
            raise InputError(
                f"model: {name} gives an image other values alone than beside another{sizes}: the "
                "first dimension is the batch's, which a view, squeeze, softmax or norm must not "
                "mix"
            )
        if all_finite(given) and not all_finite(gives):
            raise InputError(
                f"model: {name} gives nan or inf: a division by 0, a root or logarithm of what is "
                "not positive?"
            )
        given = gives
    return given


def all_finite(values: torch.Tensor) -> bool:
    return values.layout != torch.strided or bool(torch.isfinite(values).all())


def check_step(network: nn.Sequential, images: torch.Tensor) -> None:
    """Raises InputError where torch refuses a step of training, forward or gradients; and where
    this would need gradients of weights that the network does not know.
    """
    if any(isinstance(module, nn.SyncBatchNorm) for module in network.modules()):
        return  # trains on GPUs alone
    try:
        logits = passed(network, images, gradients=True)
    except Refused as problem:
        raise InputError(f"model: in training, {problem}") from None
    if not logits.requires_grad:
        return
    try:
        logits.sum().backward()
    except RuntimeError as error:
        block = without_gradients(network, images)
        of = f"the gradients of {block}" if block else "its gradients"
        why = first_line(error).partition(" Hint:")[0]
        raise InputError(f"model: {of} cannot be computed: {why}") from None
    own = {id(parameter) for parameter in network.parameters()}
    if foreign := [leaf for leaf in leaves(logits) if id(leaf) not in own]:
        sizes = ", ".join(dict.fromkeys(size_of(leaf) or "a number" for leaf in foreign))
        raise InputError(
            f"model: its answers depend on weights that it does not know as its own ({sizes}), "
            "which would be neither trained nor saved; put layers into an nn.ModuleList or "
            "nn.ModuleDict, tensors into an nn.Parameter"
        )


def check_mixed(network: nn.Sequential, images: torch.Tensor, precision: str, device: str) -> None:
    """Raises InputError where a step that float32 allows fails in mixed precision. Not tried where
    the processor lacks bfloat16: a large network would take a minute. Nor does it tell what the
    processor cannot do and a GPU can.
    """
    here = torch.device("cpu")
    on_gpus_alone = any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())
    if precision == "32-true" or resolve_precision("auto", here) == "32-true" or on_gpus_alone:
        return
    try:
        with autocast("bf16-mixed", here):
            logits = passed(network, images, gradients=True)
        if logits.requires_grad:
            logits.float().sum().backward()
    except (Refused, RuntimeError) as problem:
        mend = "make tensors of the type of what they take (values.new_zeros(…))"
        if "not implemented" in str(problem):
            if device != "cpu":
                return
            mend = "give that operation float32 (values.float())"
        raise InputError(
            f"model: in mixed precision (trainer.precision={precision}), {first_line(problem)}; "
            f"{mend}, or set trainer.precision=32-true"
        ) from None


def without_gradients(network: nn.Sequential, images: torch.Tensor) -> str:
    """The first block whose own gradients torch refuses; none: one works in another's values."""
    given = images
    for name, block in network.named_children():
        leaf = given.detach().requires_grad_(given.is_floating_point() or given.is_complex())
        gives = through(name, block, leaf.clone(), gradients=True)
        given = gives.detach()
        if not gives.requires_grad:
            continue
        try:
            gives.abs().sum().backward()
        except RuntimeError:
            return name
    return ""


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """But for rounding, which depends on a batch's size."""
    if one.shape != other.shape:
        return False
    one, other = (v.to_dense() if v.layout != torch.strided else v for v in (one, other))
    if not one.is_complex():
        one, other = one.double(), other.double()
    largest = float(one.abs().nan_to_num().max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=0, atol=1e-3 * largest, equal_nan=True)


def alike_in_float64(block: nn.Module, given: torch.Tensor) -> bool:
    """Whether an image alone is what it is beside another where rounding is smaller by 10^9: many
    layers in one block may make it large.
    """
    try:
        twin = copy.deepcopy(block).double()
        with torch.no_grad():
            return alike(twin(given.double())[:1], twin(given[:1].double()))
    except Exception:  # a person's own code may raise anything
        return False


def size_of(values: torch.Tensor) -> str:
    return "x".join(map(str, values.shape))


def sums_to_one(values: torch.Tensor) -> bool:
    """Whether each row of (B, K) could be what a softmax gave."""
    sums = values.sum(dim=1)
    return bool((values >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
