"""Every experiment runs whole: its network, its phases, its augmentation, on generated images."""

from pathlib import Path

import pytest

import cnnexp
from cnnexp.config.compose import compose, resolved
from cnnexp.config.groups import config_folder

EXPERIMENTS = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))
LARGE = ("cifar10_resnet18", "vgg16_finetune", "vgg16_augmented")  # of few images, too
IMAGES = ["dataset=shapes", "dataset.images=200", "dataset.image_size=32", "tracking=none"]


def config(*overrides: str) -> dict:
    return resolved(compose(overrides).config)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in EXPERIMENTS],
)
def test_runs_in_seconds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = [f"experiment={name}"]
    if "weights" in config(*chosen)["model"]:
        chosen.append("model.weights=null")  # none can be downloaded here
    if name.startswith("cifar10"):
        chosen.append("dataset.classes=6")
    if name not in LARGE:
        chosen.append("visualization=[gradcam]")  # the slow ones draw what they draw by default
    result = cnnexp.run([*chosen, *IMAGES, "debug=smoke"])
    phases = list(config(*chosen)["phases"])
    assert 0 <= result.metrics["test/accuracy"] <= 1
    assert result.folder is not None
    assert [path.name for path in sorted((result.folder / "checkpoints").iterdir())] == sorted(
        phases
    )
    assert {path.stem for path in (result.folder / "figures").iterdir()} >= {
        "gradcam", "learning_curves", "confusion_matrix",
    }  # fmt: skip


@pytest.mark.parametrize("model", ["inception", "residual"])
def test_the_networks_of_cifar10_differ_in_their_blocks_alone(model: str) -> None:
    ours, baseline = config(f"experiment=cifar10_{model}"), config("experiment=cifar10_baseline")
    assert {key for key in baseline if ours[key] != baseline[key]} == {"name", "model"}
    own, plain = ours["model"], baseline["model"]
    kept = [number - 1 for number in (1, 2, 3) if number not in own["replace"]]
    assert kept == [0]
    assert own["widths"][0] == plain["widths"][0]
    shared = {k: v for k, v in plain.items() if k not in ("_target_", "widths")}
    assert {key: own[key] for key in shared} == shared


def test_a_model_brings_its_phases_and_a_choice_counts_more() -> None:
    phases = {name: list(config(f"model={name}")["phases"]) for name in ("vgg16", "baseline")}
    assert phases == {"vgg16": ["train"], "baseline": ["train"]}
    assert list(config("model=vgg16_frozen")["phases"]) == ["head"]
    assert list(config("model=vgg16_finetune")["phases"]) == ["head", "finetune"]
    assert list(config("model=vgg16_finetune", "phases=whole")["phases"]) == ["train"]
    assert list(config("experiment=vgg16_finetune", "model=lenet5")["phases"]) == ["train"]
    assert list(config("experiment=vgg16_frozen", "model=vgg16_finetune")["phases"]) == [
        "head", "finetune",
    ]  # fmt: skip
