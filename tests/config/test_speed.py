"""Answers without training come at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("counts the children's processor time", allow_module_level=True)

REPEATS = 3


def seconds(argv: list[str], folder: Path) -> float:
    """Processor time: a clock would also count the neighbours."""
    before = os.times()
    subprocess.run([sys.executable, *argv], capture_output=True, cwd=folder, check=False)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


@pytest.mark.parametrize(
    "typed", [["--cfg", "job"], ["modle=lenet5"], ["model.kernel_sise=5"], ["--help"]], ids=" ".join
)
def test_quick(typed: list[str], tmp_path: Path) -> None:
    """Beside the import of Hydra alone, in turns, for a machine is not always as fast. (Importing
    torch, too, is more than twenty times that.)
    """
    ratios = [
        seconds(["-m", "cnnexp", *typed], tmp_path) / seconds(["-c", "import hydra"], tmp_path)
        for _ in range(REPEATS)
    ]
    assert min(ratios) <= (1 if typed == ["--help"] else 8), ratios
