"""Experiments with convolutional networks on images, driven by configs.

python -m cnnexp --help
cnnexp.run(["model=lenet5", "trainer.max_epochs=3"])
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnexp.runs import Result

__version__ = "0.1.0"
__all__ = ["__version__", "run"]


def run(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> "Result":
    """From Python or a notebook, what `cnnexp <overrides>` does: metrics, run's folder, network;
    of a sweep (sweep=…, suite=…) its folder, which runs= takes, and exit_code 1 where a job failed.

    config_dir: a folder of configs and Python files of your own, as --config-dir.
    Raises cnnexp.errors.InputError where the command line would exit with code 2.
    """
    from cnnexp import command  # Hydra costs 0.2 s, which --help need not pay

    return command.run(overrides, config_dir)
