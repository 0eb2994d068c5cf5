"""Weights from checkpoints; nothing in the files is executed (weights_only)."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import nn

from cnnexp.errors import InputError, first_line
from cnnexp.files import shown_path, whole_file

PREFIX = "network."
LOGGED = "logged_bytes"


class WholeFileIO(TorchCheckpointIO):
    """Checkpoints are whole or absent. Lightning writes to the system's temporary folder and moves,
    which copies where that is another file system, as on a cluster: a process that is killed then
    leaves half a checkpoint in a good one's place.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with whole_file(path, "wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch's words for a write that the disk refused
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise


def network_state(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The network's part of a Lightning checkpoint. Raises InputError where it is not as it was
    written: the file's own checksums are compared, which torch does not.
    """
    try:
        with zipfile.ZipFile(checkpoint) as records:
            damaged = records.testzip()
        if damaged is not None:
            raise ValueError(f"its checksum is wrong, in {damaged}")
        # mmap: what the optimizer remembers, twice as much, is not loaded.
        whole = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        state = whole["state_dict"]
        own = {key[len(PREFIX) :]: state[key] for key in state if key.startswith(PREFIX)}
        if not all(isinstance(value, torch.Tensor) for value in own.values()):
            raise ValueError("it holds more than weights")
        return own
    except Exception as error:  # what is damaged makes zipfile and torch fail in any way
        raise InputError(
            f"{shown_path(checkpoint)} cannot be loaded: {first_line(error)[:200]}"
        ) from None


def load_network(network: nn.Module, checkpoint: Path) -> None:
    """Raises InputError."""
    state = network_state(checkpoint)
    if differences := differing(network.state_dict(), state):
        raise another_network(shown_path(checkpoint), differences)
    network.load_state_dict(state)


def logged_bytes(checkpoint: Path | None) -> int | None:
    """How long metrics.csv was when it was saved; 0 without one, None where it does not say."""
    if checkpoint is None:
        return 0
    return torch.load(checkpoint, weights_only=True, mmap=True).get(LOGGED)


def best_checkpoint(folder: Path, phases: Sequence[str]) -> Path | None:
    """Of the last phase that has one."""
    paths = [folder / "checkpoints" / name / "best.ckpt" for name in reversed(phases)]
    return next((path for path in paths if path.is_file()), None)


def newest_checkpoint(folder: Path, phases: Sequence[str]) -> Path | None:
    """The last epoch's of the last phase that has begun."""
    paths = [folder / "checkpoints" / name / "last.ckpt" for name in reversed(phases)]
    return next((path for path in paths if path.is_file()), None)


def start_from(network: nn.Sequential, state: Mapping[str, torch.Tensor], source: str) -> bool:
    """Take over another run's weights; whether its head came, too.

    A head of another shape, for other classes, stays as it was drawn. Raises InputError, with both
    sides, where any other block differs.
    """
    own = network.state_dict()
    differences = differing(own, state)
    if outside := [line for line in differences if not line.startswith("head.")]:
        raise another_network(source, outside)
    whole = not differences
    taken = {key: state[key] for key in own if whole or not key.startswith("head.")}
    network.load_state_dict(own | taken)
    return whole


def differing(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> list[str]:
    """A line for each tensor that only one side has, or with another shape."""
    return [
        f"{key} is {described(state.get(key))} there, {described(own.get(key))} here"
        for key in [*own, *(key for key in state if key not in own)]
        if key not in own or key not in state or own[key].shape != state[key].shape
    ]


def another_network(source: object, differences: Sequence[str]) -> InputError:
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return InputError(f"{source}: its network is another one: {'; '.join(differences[:3])}{more}")


def described(tensor: torch.Tensor | None) -> str:
    return "absent" if tensor is None else f"({', '.join(map(str, tensor.shape))})"
