"""Checkpoints are whole or absent, wherever the system's temporary folder lies."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cnnexp.command import checked
from cnnexp.config.compose import compose
from cnnexp.files import clear_parts
from cnnexp.phases import make_trainer
from cnnexp.training.checkpoints import WholeFileIO


def test_the_trainer_writes_them_beside_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the temporary folder: from there to another file system it is a copy."""
    config: dict[str, Any] = checked(compose([]).config, [])
    writer = make_trainer(config, 1, tmp_path, logger=False).strategy.checkpoint_io
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    path = tmp_path / "checkpoints" / "last.ckpt"
    writer.save_checkpoint({"a": torch.ones(3)}, path)
    assert torch.load(path, weights_only=True)["a"].tolist() == [1, 1, 1]
    assert [one.name for one in path.parent.iterdir()] == ["last.ckpt"]


def test_a_write_that_fails_leaves_the_good_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    WholeFileIO().save_checkpoint({"step": 1}, path)
    with pytest.raises(AttributeError, match="local object"):
        WholeFileIO().save_checkpoint({"step": 2, "bad": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["last.ckpt"]


def test_what_killed_processes_left_is_taken_away(tmp_path: Path) -> None:
    kept = [tmp_path / "a.part", tmp_path / ".gitignore", tmp_path / "b" / "c.csv"]
    left = [tmp_path / ".run.json.x1.part", tmp_path / "b" / ".c.csv.y2.part"]
    for path in (*kept, *left):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    clear_parts(tmp_path)
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
