"""Tasks about a finished run: its own config counts, but for what this command says."""

import copy
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnnexp.config.compose import Composed, compose, resolved
from cnnexp.config.rerun import rerun
from cnnexp.config.saved import saved_config
from cnnexp.config.validate import validate
from cnnexp.errors import InputError
from cnnexp.execution import checked

Run = Callable[..., tuple[int, str, str]]
ID = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """What a run on photographs leaves as its config.yaml."""
    typed = [
        "dataset=image_folder",
        "dataset.root=/where/it/was",
        "dataset.image_size=48",
        "dataset.resize=pad",
        "dataset.batch_size=7",
        "dataset.per_class=5",
        "dataset.split={train: 20, validation: 9, test: 9}",
        "dataset.split_seed=3",
        "model=lenet5",
        "model.dense=[9]",
        "visualization=[gradcam]",
        "trainer.max_epochs=2",
        "name=mine",
        "seed=5",
        "paths.outputs=theirs",
    ]
    return {**validate(resolved(compose(typed).config)), "overrides": typed}


@cache
def command(*typed: str) -> Composed:
    return compose([f"run={ID}", "task=evaluate", *typed])


def again(saved: dict[str, Any], *typed: str) -> dict[str, Any]:
    composed = command(*typed)
    before = copy.deepcopy(saved)
    merged = rerun(saved, resolved(composed.config), composed.overrides)
    assert saved == before, "the run's is left alone"
    assert rerun(saved, merged, merged["overrides"]) == merged, "twice is as good as once"
    return merged


def differing(new: dict[str, Any], old: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys that are not the same, with the new value; None where it is gone."""
    found: dict[str, Any] = {}
    for key in {**old, **new}:
        ours, theirs = new.get(key), old.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            found |= differing(ours, theirs, f"{prefix}{key}.")
        elif ours != theirs:
            found[prefix + key] = ours
    return found


def changes(saved: dict[str, Any], *typed: str) -> dict[str, Any]:
    """But for what every such command brings."""
    found = differing(again(saved, *typed), saved)
    assert found.pop("run") == ID
    assert found.pop("task.name") == "evaluate"
    assert found.pop("task._target_") == "cnnexp.tasks.evaluate.evaluate"
    assert found.pop("paths.outputs") == "outputs"
    del found["overrides"]
    return found


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ([], {}),
        (["dataset.root=/new"], {"dataset.root": "/new"}),
        (["+dataset.root=null"], {"dataset.root": None}),
        (["dataset.split={test: 4}"], {"dataset.split.test": 4}),
        (["dataset.image_size=48", "dataset.resize=pad"], {}),
        (["visualization.gradcam.layer=block2"], {"visualization.gradcam.layer": "block2"}),
        (["trainer.accelerator=cpu"], {"trainer.accelerator": "cpu"}),
        (["trainer.precision=32-true"], {"trainer.precision": "32-true"}),
        (["tracking.log_model=false"], {"tracking.log_model": False}),
        (["visualization=[gradcam]"], {}),
        (["~visualization.gradcam"], {"visualization.gradcam": None}),
        (["hydra.verbose=true"], {}),
    ],
)
def test_only_what_is_typed_changes(
    trained: dict[str, Any], typed: list[str], expected: dict[str, Any]
) -> None:
    assert changes(trained, *typed) == expected


def test_a_picture_that_the_run_has_not(trained: dict[str, Any]) -> None:
    config = again(trained, "visualization.activations.images=1")
    assert list(config["visualization"]) == ["gradcam", "activations"]
    assert config["visualization"]["gradcam"] == trained["visualization"]["gradcam"]
    assert config["visualization"]["activations"] == {
        "_target_": "cnnexp.visualization.activations.activations",
        "images": 1,
        "channels": 16,
        "blocks": None,
    }
    assert list(again(trained, "visualization=[activations]")["visualization"]) == ["activations"]
    assert again(trained, "visualization=none")["visualization"] == {}


def test_other_pictures_of_a_run_that_has_none(trained: dict[str, Any]) -> None:
    for nothing in ({}, None):
        saved = {**trained, "visualization": nothing}
        assert again(saved)["visualization"] == nothing
        config = again(saved, "visualization.gradcam.images=3")
        assert config["visualization"]["gradcam"]["images"] == 3


def test_other_images_are_cut_to_the_runs_size(trained: dict[str, Any]) -> None:
    config = again(trained, "dataset.root=/new", "dataset=cats_dogs", "dataset.split.test=30")
    own = trained["dataset"]
    assert config["dataset"] == {
        "_target_": "cnnexp.datasets.cats_dogs.cats_dogs",
        "root": "/new",
        "download": True,
        "image_size": 48,
        "resize": "pad",
        "batch_size": 7,
        "per_class": 5,
        "split": {"train": 20, "validation": 9, "test": 30},
        "split_seed": 3,
        "duplicates": own["duplicates"],
        "group_by": None,
        "fold": None,
        "folds": 5,
    }


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("model=baseline", ["model=baseline", "the run's own model", "leave it out"]),
        ("model.dense=[3]", ["model.dense=[3]", "the run's own model"]),
        ("optimizer.lr=0.1", ["optimizer.lr=0.1", "the run's own optimizer"]),
        ("training.ema=0.9", ["training.ema=0.9", "the run's own training"]),
        ("experiment=quickstart", ["experiment=quickstart", "the run's own experiment"]),
        ("seed=1", ["seed=1", "the run's own seed"]),
        ("++visualisation=all", ["visualisation=all: unknown key", "mean 'visualization'?"]),
        ("dataset.image_size=64", ["dataset.image_size=64", "trained with 48"]),
        ("dataset.resize=crop", ["dataset.resize=crop", "trained with pad"]),
        ("dataset.rooot=/new", ["dataset.rooot=/new", "unknown key", "'root'"]),
        ("dataset.split.test=0.5", ["dataset.split", "mixes"]),
        ("visualization.gradcam.layr=a", ["visualization.gradcam.layr=a", "'layer'"]),
        ("trainer.fast_dev_run=true", ["trainer.fast_dev_run=true", "unknown key"]),
    ],
)
def test_refused(trained: dict[str, Any], typed: str, parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        again(trained, typed)
    for part in parts:
        assert part in str(caught.value)
    assert "config.yaml" not in str(caught.value), "it is what was typed"


def test_a_strangers_config(trained: dict[str, Any]) -> None:
    for group, target in [
        ("model", "os.system"),
        ("model", "torch.optim.SGD"),
        ("model", "timm.models.load_checkpoint"),
        ("dataset", "cnnexp.tracking.store.remove"),
        ("augmentation", "cnnexp.models.lenet5.lenet5"),
        ("optimizer", "pytorch_lightning.Trainer"),
        ("scheduler", "torch.optim.SGD"),
        ("trainer", "pytorch_lightning.Trainer.fit"),
        ("trainer", "cnnexp.tasks.train.train"),
        ("model", "cnnexp.models.baseline.__builtins__"),
        ("model", "cnnexp.models._hidden.thing"),
    ]:
        saved = {**trained, group: {**trained[group], "_target_": target}}
        with pytest.raises(InputError, match=rf"its config.yaml: {group}\._target_={target}"):
            again(saved)
    gradcam = trained["visualization"]["gradcam"]
    for bad, said in [
        ({"visualization": {"../../up": gradcam}}, "names files"),
        ({"visualization": {3.5: gradcam}}, "names files"),
        ({"name": "../up"}, "names a folder"),
        ({"more": 1}, "unknown key"),
        ({4: 1}, "unknown key"),
        ({"model": [1]}, "must be a mapping"),
        ({"dataset": None}, "must be a mapping"),
    ]:
        with pytest.raises(InputError, match=said):
            again({**trained, **bad})  # type: ignore[dict-item]
    for ours in ("task", "tracking", "paths"):  # those of this command
        assert again({**trained, ours: {"_target_": "os.system"}}) == again(trained)


@pytest.fixture
def folder(trained: dict[str, Any], work: Path) -> Path:
    path = work / "outputs" / "mine" / "20260101-000000_aaaaaa"
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump(trained))
    return path


def test_the_merged_config_is_checked(folder: Path, work: Path, run_main: Run) -> None:
    """Before torch is imported, and with the images where this command says that they are."""

    def check(*typed: str) -> dict[str, Any]:
        composed = compose([f"run={folder}", *typed])
        return checked(composed.config, composed.overrides)

    with pytest.raises(InputError, match=r"dataset\.root=/where/it/was: no such file"):
        check("task=evaluate")
    with pytest.raises(InputError, match=r"dataset\.image_size=64: the run was trained with 48"):
        check("task=visualize", f"dataset.root={work}", "dataset.image_size=64")
    composed = check("task=evaluate", f"dataset.root={work}")
    assert rerun(trained_of(folder), composed, composed["overrides"])["dataset"]["root"] == str(
        work
    )
    check("task=predict", f"input={work}")  # needs none of the run's images
    code, out, err = run_main(
        "--cfg", "job", "task=evaluate", f"run={folder}", f"dataset.root={work}"
    )
    assert (code, err) == (0, "")
    printed = yaml.safe_load(out)
    assert (printed["model"]["dense"], printed["dataset"]["root"]) == ([9], str(work))


def trained_of(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "config.yaml").read_text())


def test_a_folder_that_is_no_run(work: Path) -> None:
    def check(run: Path) -> None:
        composed = compose([f"run={run}", "task=evaluate"])
        checked(composed.config, composed.overrides)

    with pytest.raises(InputError, match="is not a run's folder"):
        check(work)
    for text in ("a: [1", "- 1", "\x00"):
        (work / "config.yaml").write_text(text)
        with pytest.raises(InputError, match=r"config\.yaml") as caught:
            check(work)
        assert "\n" not in str(caught.value)


def test_a_run_that_is_found_later(work: Path) -> None:
    """Of an id, only what is this command's can be checked yet."""

    def check(*typed: str) -> dict[str, Any]:
        composed = compose([f"run={ID}", "task=evaluate", *typed])
        return checked(composed.config, composed.overrides)

    config = check(f"dataset.root={work}", "dataset.split.test=9")
    assert config["dataset"]["root"] == str(work)
    assert check("visualization.not_here.images=3")["visualization"]["not_here"] == {"images": 3}
    for typed, said in [
        ("model=lenet5", "the run's own model"),
        ("dataset.root=/nowhere", "no such file"),
        ("trainer.precision=64", "trainer.precision=64"),
        ("visualization.gradcam.imagess=3", "unknown key"),
        ("tracking.urii=x", "tracking.urii=x"),
    ]:
        with pytest.raises(InputError, match=said):
            check(typed)


def test_sweeps_over_runs(folder: Path, run_main: Run, work: Path) -> None:
    code, _, err = run_main(
        "-m", "task=evaluate", f"run={folder},{work}", f"dataset.root={work}", "dataset.resize=pad"
    )
    assert (code, err.count("\n")) == (2, 1)
    assert f"run={work}: is not a run's folder" in err, "the first one is right"


def test_torch_is_not_imported(folder: Path, work: Path) -> None:
    code = "import sys; from cnnexp.__main__ import main; code = main(sys.argv[1:]); "
    code += "print('torch' in sys.modules); sys.exit(code)"
    argv = ["task=evaluate", f"run={folder}", "dataset.resize=crop"]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=work, check=False
    )
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr.startswith("error: dataset.resize=crop: the run was trained with pad")


def test_a_folder_of_runs_names_the_newest(tmp_path: Path) -> None:
    for name in ("20260101-000000_aaaaaa", "20260102-000000_bbbbbb"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds 2 runs; name one: run=.*20260102-000000_bbbbbb"):
        saved_config(tmp_path)


def test_a_sweep_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    with pytest.raises(
        InputError, match=r"is a sweep of several runs; .*task=compare 'runs=\[.*\]'"
    ):
        saved_config(tmp_path)


def test_a_run_with_code_of_its_own(trained: dict[str, Any], folder: Path) -> None:
    own = {**trained, "model": {"_target_": "their_dense.dense"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(own))
    (folder / "run.json").write_text('{"config_dir": "/theirs"}')
    for typed in ([f"run={folder}", "task=evaluate"], [f"resume={folder}"]):
        composed = compose(typed)
        said = r"may call.*; the run was made with --config-dir /theirs"
        with pytest.raises(InputError, match=said):
            checked(composed.config, composed.overrides)
