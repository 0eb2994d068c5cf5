"""Checkpoints are whole or absent, wherever the system's temporary folder lies."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cnnexp.config.compose import compose
from cnnexp.errors import InputError
from cnnexp.execution import checked
from cnnexp.files import clear_parts
from cnnexp.train_phase import make_trainer
from cnnexp.training.checkpoints import WholeFileIO, load_network, network_state


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


def saved(path: Path, **state: Any) -> bytes:
    WholeFileIO().save_checkpoint({"state_dict": state}, path)
    return path.read_bytes()


def test_a_damaged_one_is_refused_in_one_line(tmp_path: Path) -> None:
    """Of a changed weight torch says nothing: the file's own checksum does."""
    path = tmp_path / "best.ckpt"
    weights = {"network.weight": torch.full((2, 3), 1.5), "network.bias": torch.zeros(2)}
    good = saved(path, **weights, other=torch.ones(1))
    assert network_state(path).keys() == {"weight", "bias"}
    at = good.index(torch.full((1,), 1.5).numpy().tobytes())
    changed = good[: at + 1] + b"\x11" + good[at + 2 :]
    path.write_bytes(changed)
    assert not torch.load(path, weights_only=True)["state_dict"]["network.weight"].eq(1.5).all()
    for content in (changed, good[: len(good) // 2], good[300:], b"", b"noise" * 100):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"best\.ckpt cannot be loaded: .") as refused:
            load_network(nn.Linear(3, 2), path)
        assert "\n" not in str(refused.value)


def test_another_networks_and_what_is_no_weight(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    another = r"best\.ckpt: its network is another one: "
    for state, said in (
        ({"weight": torch.ones(2, 3)}, rf"{another}bias is absent there, \(2\) here"),
        (
            {"weight": torch.ones(4), "bias": torch.ones(2)},
            rf"{another}weight is \(4\) there, \(2, 3\) here",
        ),
        ({"weight": 5, "bias": torch.ones(2)}, r"best\.ckpt cannot be loaded: it holds more than"),
    ):
        saved(path, **{f"network.{name}": value for name, value in state.items()})
        with pytest.raises(InputError, match=said) as refused:
            load_network(nn.Linear(3, 2), path)
        assert "\n" not in str(refused.value)
