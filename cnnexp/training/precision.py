"""Which precision pays on this machine."""

from contextlib import AbstractContextManager, nullcontext

import torch

from cnnexp.errors import InputError


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` -> "bf16-mixed" where the hardware multiplies bfloat16 itself, else "32-true"."""
    if precision == "16-mixed" and device.type != "cuda":
        raise InputError(
            f"trainer.precision=16-mixed: needs a GPU, this is {device.type}; "
            "use auto, bf16-mixed or 32-true"
        )
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(_cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})
    return "bf16-mixed" if native else "32-true"


def native_precision(precision: str, device: torch.device) -> str:
    """The same where the device has it; else "32-true": emulated, bfloat16 crawls."""
    if precision == "16-mixed":
        return precision if device.type == "cuda" else "32-true"
    return precision if precision == resolve_precision("auto", device) else "32-true"


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            line = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:  # not Linux
        return set()
    return set(line.partition(":")[2].split())


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """The context in which Lightning's `precision` runs a forward pass."""
    if precision == "32-true":
        return nullcontext()
    kind = torch.float16 if precision.startswith("16") else torch.bfloat16
    return torch.autocast(device.type, dtype=kind)
