"""task=suite: experiments in order, each for several seeds, then compared."""

from collections.abc import Mapping
from typing import Any

from cnnexp.config.groups import config_folder, listed, read_groups
from cnnexp.errors import InputError


def run(config: Mapping[str, Any]) -> None:
    """Only reached without a suite: with one, `cnnexp.sweeps.sweep` runs its steps."""
    names = sorted(read_groups([config_folder()])["suite"])
    raise InputError(f"task=suite: needs suite=<its name>; there are {listed(names)}")
