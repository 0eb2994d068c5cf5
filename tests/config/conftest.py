"""Commands in a working folder of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cnnexp.__main__ import main

Run = Callable[..., tuple[int, str, str]]

EXPERIMENT = """# @package _global_
# Somebody's own.
defaults:
  - override /model: lenet5
  - override /optimizer: sgd
name: mine
seed: 7
optimizer:
  lr: 0.5
model:
  dense: [20]
"""

# A task that says what it was given, and fails where it is told to.
SAY = """
import json
from pathlib import Path
from cnnexp.errors import InputError

class Said:
    def __init__(self, metrics):
        self.metrics = metrics

def say(config: dict) -> Said:
    if config["seed"] == 13:
        raise InputError("seed=13: no luck; take another")
    if config["seed"] == 14:
        raise KeyError("a bug")
    if config["seed"] == 15:
        raise KeyboardInterrupt
    Path(f"said_{config['seed']}_{config['model']['dense'][0]}.json").write_text(json.dumps(config))
    return Said({"best/val/accuracy": 0.1 * config["seed"]})
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def run_main(work: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: (exit code, stdout, stderr)."""

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(argv))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's folder whose path has everything that needs quoting."""
    folder = tmp_path / "my 'own' \"configs\", ü=1"
    for group in ("experiment", "task"):
        (folder / group).mkdir(parents=True)
    (folder / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    (folder / "task" / "say.yaml").write_text("# Says it.\n_target_: say.say\nname: say\n")
    (folder / "say.py").write_text(SAY)
    return folder
