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
    """Processor time of the best of a few runs: a clock would also count the neighbours."""
    times = []
    for _ in range(REPEATS):
        before = os.times()
        subprocess.run([sys.executable, *argv], capture_output=True, cwd=folder, check=False)
        after = os.times()
        times.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    return min(times)


@pytest.fixture(scope="module")
def hydra_s(tmp_path_factory: pytest.TempPathFactory) -> float:
    return seconds(["-c", "import hydra"], tmp_path_factory.mktemp("hydra"))


@pytest.mark.parametrize(
    "typed", [["--cfg", "job"], ["modle=lenet5"], ["model.kernel_sise=5"], ["--help"]], ids=" ".join
)
def test_quick(typed: list[str], hydra_s: float, tmp_path: Path) -> None:
    taken = seconds(["-m", "cnnexp", *typed], tmp_path)
    assert taken <= 1.2 * hydra_s + 0.5
    if typed == ["--help"]:
        assert taken <= 0.3
