"""Look at a network and leave it as it was found."""

import copy
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

HOOK_TABLES = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_pre_hooks",
    "_backward_hooks",
)
# A context's, as autocast itself is: pictures are many functions deep, and all have the same.
_precision: ContextVar[str] = ContextVar("precision", default="32-true")


@contextmanager
def looking_in(precision: str) -> Iterator[None]:
    """`looking_at` runs networks in the precision of their training, one of Lightning's names.

    In float16, without a loss that is scaled, small gradients are 0: float32 stands for 16-mixed.
    """
    before = _precision.set(precision)
    try:
        yield
    finally:
        _precision.reset(before)


@contextmanager
def looking_at(network: nn.Sequential) -> Iterator[nn.Sequential]:
    """The network ready to be looked at: eval mode, float32 weights, frozen, nothing in place.

    Inside, gradients are on (with respect to feature maps and images; the weights are frozen and
    have no .grad), inference mode is off, and in-place activations give new tensors, so that a
    feature map stays what its block gave. Inside `looking_in("bf16-mixed")` convolutions and
    products are in bfloat16, and so are the blocks' outputs; the network's are float32.
    On leaving, also by an exception, each module's mode, hooks and `inplace` and each parameter's
    requires_grad and .grad are what they were.
    A network with weights of another precision is copied: its own weights are never touched.
    """
    floating = [p for p in (*network.parameters(), *network.buffers()) if p.is_floating_point()]
    with torch.inference_mode(False), torch.enable_grad(), _autocast(floating):
        if any(p.dtype != torch.float32 or p.is_inference() for p in floating):
            network = copy.deepcopy(network).float()
        flags = [
            (module, name, vars(module)[name])
            for module in network.modules()
            for name in ("training", "inplace", "_is_full_backward_hook")
            if name in vars(module)
        ]
        hooks = [(m, t, OrderedDict(getattr(m, t))) for m in network.modules() for t in HOOK_TABLES]
        parameters = [(p, p.requires_grad, p.grad) for p in network.parameters()]
        try:
            network.eval()
            for module, name, value in flags:
                if name == "inplace" and value is True:
                    setattr(module, name, False)
            for parameter, _, _ in parameters:
                parameter.requires_grad_(False)
                parameter.grad = None
            network.register_forward_hook(_in_float32)
            yield network
        finally:
            for module, name, value in flags:
                setattr(module, name, value)  # one by one: a frozen part may be in eval mode alone
            for module, table, before in hooks:
                # The same dictionary, for a handle of a hook removes from the one that it knows.
                getattr(module, table).clear()
                getattr(module, table).update(before)
            for parameter, requires_grad, grad in parameters:
                parameter.requires_grad_(requires_grad)
                parameter.grad = grad


def _autocast(tensors: list[torch.Tensor]) -> torch.autocast:
    """As `looking_in` says, whatever a caller has turned on."""
    device = tensors[0].device.type if tensors else "cpu"
    enabled = _precision.get() == "bf16-mixed"
    # Without its cache: a picture may optimise what it gives to a block, and would not see it move.
    return torch.autocast(device, torch.bfloat16, enabled=enabled, cache_enabled=False)


def _in_float32(network: nn.Module, given: Any, logits: torch.Tensor) -> torch.Tensor:
    return logits.float()
