"""Frozen blocks run once per image, a test image, too; pictures read what is stored."""

import json
from pathlib import Path

import pytest
import torch

import cnnexp
from cnnexp.visualization import features, neighbours

SHORT = [
    "dataset.per_class=20", "dataset.batch_size=32", "model.widths=[[8],[16]]", "model.dense=[]",
    "trainer.precision=32-true", "optimizer.lr=0.01", "tracking=none", "paths.cache=cache",
]  # fmt: skip


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cache is its own: other tests freeze the same blocks."""
    monkeypatch.chdir(tmp_path)


def test_test_images_too_go_through_frozen_blocks_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []  # the first block of what gives features

    def last_features(network: torch.nn.Sequential, batches: object) -> object:
        ran.append(next(iter(dict(network.named_children()))))
        return known(network, batches)

    known = features.last_features
    for module in (features, neighbours):
        monkeypatch.setattr(module, "last_features", last_features)
    options = [*SHORT, "phases=frozen", "trainer.max_epochs=2"]
    options += ["visualization=[embedding,neighbours]"]
    cached = cnnexp.run(options)
    assert "at hand" not in capsys.readouterr().out
    assert cached.folder is not None
    again = cnnexp.run(["task=evaluate", f"run={cached.folder}", "paths.cache=cache"])
    count = len((cached.folder / "predictions.csv").read_text().splitlines()) - 1
    assert f"outputs of frozen blocks are at hand, {count} of them" in capsys.readouterr().out
    assert again.metrics["test/loss"] == cached.metrics["test/loss"]
    answers = [cached.folder / name for name in ("predictions.csv", "evaluation/predictions.csv")]
    assert answers[0].read_bytes() == answers[1].read_bytes()
    # embedding, then neighbours' training images and queries; three before the training.
    assert ran == ["normalize"] * 3 + ["head", "head", "normalize"]
    plain = cnnexp.run([*options, "training.prefix_cache=false"])
    assert ran[6:] == ["normalize"] * 6
    assert "at hand" not in capsys.readouterr().out
    assert plain.metrics["test/accuracy"] == cached.metrics["test/accuracy"]
    assert plain.folder is not None
    ours, theirs = (
        json.loads((folder / "figures" / "pictures.json").read_text())
        for folder in (cached.folder, plain.folder)
    )
    for name in ("embedding", "neighbours"):
        assert ours[name]["reading"] == theirs[name]["reading"]
    variances = [found["embedding"]["numbers"]["explained_variance"] for found in (ours, theirs)]
    assert variances[0] == pytest.approx(variances[1], rel=1e-3)


def test_pictures_of_a_gpu_s_run_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    """It was trained in 16-mixed, which a CPU is not asked for; pictures are float32 there."""
    folder = cnnexp.run([*SHORT, "trainer.max_epochs=1", "visualization=none"]).folder
    assert folder is not None
    info = json.loads((folder / "run.json").read_text()) | {"precision": "16-mixed"}
    (folder / "run.json").write_text(json.dumps(info))
    config = (folder / "config.yaml").read_text()
    assert "precision: 32-true" in config
    (folder / "config.yaml").write_text(config.replace("precision: 32-true", "precision: 16-mixed"))
    cnnexp.run(["task=visualize", f"run={folder}", "visualization=[gradcam,neighbours]"])
    assert "left out" not in capsys.readouterr().out
    assert (folder / "visualization" / "neighbours.png").is_file()
    cnnexp.run(["task=evaluate", f"run={folder}"])
    said = "it trained in 16-mixed, which this device has not: answers are in 32-true"
    assert said in " ".join(capsys.readouterr().out.split())
