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
    """Beside the import of Hydra alone, again where a machine was busy meanwhile. (Importing torch,
    too, is more than twenty times that.)
    """
    limit, ratios = 1 if typed == ["--help"] else 8, []
    while len(ratios) < REPEATS and not (ratios and ratios[-1] <= limit):
        ours = seconds(["-m", "cnnexp", *typed], tmp_path)
        ratios.append(ours / seconds(["-c", "import hydra"], tmp_path))
    assert ratios[-1] <= limit, ratios
