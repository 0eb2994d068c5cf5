"""How the learning rate changes within a phase: torch's classes, or one's own, told its length."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, ReduceLROnPlateau, SequentialLR

from cnnexp.config.instantiate import call, resolve
from cnnexp.config.phases import LENGTHS

Node = Mapping[str, Any]
BATCHES = "step_size_up"  # CyclicLR's, which torch counts in batches


def by_epoch(node: Node) -> bool:
    """Whether it goes on once per epoch, as torch's documents have it, and not with each step:
    what takes no length that counts steps.
    """
    takes = inspect.signature(resolve(node["_target_"])).parameters
    return not any(key in takes for key in (*LENGTHS, BATCHES))


def build_scheduler(
    node: Node, optimizer: Optimizer, length: int, warmup: int = 0
) -> LRScheduler | ReduceLROnPlateau:
    """length: of the phase, in steps, or in epochs where it goes `by_epoch`; for the first `warmup`
    of them the rate rises: 1/(warmup + 1) of it, 2/(warmup + 1), …
    """
    warmup = min(warmup, length - 1)
    length -= warmup
    options = {key: value for key, value in node.items() if key not in LENGTHS or value is not None}
    takes = inspect.signature(resolve(node["_target_"])).parameters
    if "pct_start" in takes and "max_lr" in takes:
        # OneCycleLR divides by pct_start * steps - 1, which a short phase makes 0; its second of
        # three phases is as long as the first.
        length = max(length, 4)
        most = 0.5 if options.get("three_phase") else 1.0
        given = options.get("pct_start", takes["pct_start"].default)
        options["pct_start"] = min(max(given, 1.5 / length), most)
        options["max_lr"] = [group["lr"] for group in optimizer.param_groups]
    known = {key: length for key in LENGTHS if key in takes and key not in options}
    schedule = call(options, "scheduler", optimizer=optimizer, **known)
    if not warmup:
        return schedule
    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rise, schedule], milestones=[warmup])
