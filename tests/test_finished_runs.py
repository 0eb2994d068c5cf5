"""A finished run meets its data again: moved, changed, or somebody else's."""

import csv
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import cnnexp
from cnnexp.ancestry import BEFORE
from cnnexp.errors import InputError
from cnnexp.runs import Result
from cnnexp.tasks.evaluate import class_table

SHORT = [
    "dataset=image_folder",
    "dataset.image_size=16",
    "dataset.batch_size=8",
    "model.widths=[[8],[16]]",
    "trainer.max_epochs=3",
    "visualization=[gradcam]",
    "tracking=none",
]


def write_images(folder: Path, name: str, count: int, first: int = 0) -> None:
    """Noise, bright in its left half for one class, in its right half for the other."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        noise = np.random.default_rng((i, len(name))).integers(0, 90, (20, 20, 3), dtype=np.uint8)
        half = np.s_[:, :10] if name == "left" else np.s_[:, 10:]
        noise[half] += 120
        Image.fromarray(noise).save(folder / name / f"{i:03}.png")


def write_photos(folder: Path) -> Path:
    photos = folder / "own photos, ü=1"
    for name in ("left", "right"):
        write_images(photos, name, 40)
    return photos


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_photos(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """A finished run and its images; all that is in their folder lies in `kept`, too."""
    work = tmp_path_factory.mktemp("once") / "work"
    data = write_photos(work)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        result = cnnexp.run([*SHORT, f"dataset.root={data}"])
    shutil.copytree(work, work.with_name("kept"))
    return result, data


@pytest.fixture
def finished(trained: tuple[Result, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Result, Path]:
    """The run and its images, in their place, as they were when it ended."""
    work = trained[1].parent
    shutil.rmtree(work)
    shutil.copytree(work.with_name("kept"), work)
    monkeypatch.chdir(work)
    return trained


def test_moved_data(finished: tuple[Result, Path]) -> None:
    result, data = finished
    new = data.rename(data.parent / "moved")
    run = [f"run={result.folder}", "tracking=none"]
    with pytest.raises(InputError, match="no such file or folder"):
        cnnexp.run(["task=evaluate", *run])
    again = cnnexp.run(["task=evaluate", *run, f"dataset.root={new}"])
    assert again.metrics["test/accuracy"] == result.metrics["test/accuracy"]
    assert again.metrics["test/loss"] == pytest.approx(result.metrics["test/loss"])
    with pytest.raises(InputError, match="model"):
        cnnexp.run(["task=evaluate", *run, f"dataset.root={new}", "model=lenet5"])


def test_images_that_the_run_learned_from_are_not_tested_on(
    finished: tuple[Result, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    result, data = finished
    for name in ("left", "right"):
        write_images(data, name, 10, first=500)
    run = [f"run={result.folder}", "tracking=none"]
    cnnexp.run(["task=evaluate", *run])
    said = " ".join(capsys.readouterr().out.split())
    assert "not those of the run" in said
    assert "are here and are tested on; 20 that it has not seen are left out beside these" in said
    with (result.folder / "splits.csv").open() as file:
        learned = {row["path"] for row in csv.DictReader(file) if row["split"] != "test"}
    with next(result.folder.glob("evaluation_*/predictions.csv")).open() as file:
        tested = {row["path"] for row in csv.DictReader(file)}
    assert tested
    assert not tested & learned


@pytest.mark.parametrize("seen", [[], ["left/903.png"]], ids=["none seen", "one seen before"])
def test_other_images_are_all_tested_on(
    finished: tuple[Result, Path], tmp_path: Path, seen: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A folder that nobody has split: not a part of it, drawn by chance; but for those that a run
    before this one has learned from.
    """
    result, _ = finished
    others = tmp_path / "others"
    for name in ("left", "right"):
        write_images(others, name, 7, first=900)
    learned = [hashlib.sha256((others / name).read_bytes()).hexdigest() for name in seen]
    (result.folder / BEFORE).write_text("\n".join(learned))
    run = [f"run={result.folder}", "tracking=none", f"dataset.root={others}"]
    cnnexp.run(["task=evaluate", *run])
    said = " ".join(capsys.readouterr().out.split())
    if seen:
        assert "of 14 images, 1 were trained or validated on and are left out" in said
    else:
        assert "learned from none of these 14 images" in said
    with next(result.folder.glob("evaluation_*/predictions.csv")).open() as file:
        paths = {row["path"] for row in csv.DictReader(file)}
    assert len(paths) == 14 - len(seen)
    assert not paths & {*seen}


@pytest.mark.parametrize("folder", ["", "test/"])
def test_a_handful_of_images(
    folder: str, finished: tuple[Result, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too few for a split, which nothing wants here; of another class there is none."""
    result, _ = finished
    for name, count in (("left", 1), ("right", 2)):
        write_images(tmp_path / "few" / folder, name, count, first=900)
    where = f"dataset.root={tmp_path / 'few'}"
    run = [f"run={result.folder}", "tracking=none"]
    cnnexp.run(["task=evaluate", *run, where])
    said = " ".join(capsys.readouterr().out.split())
    assert "learned from none of these 3" in said
    with next(result.folder.glob("evaluation_*/predictions.csv")).open() as file:
        assert len(list(csv.DictReader(file))) == 3
    write_images(tmp_path / "few" / folder, "up", 2, first=900)
    with pytest.raises(InputError, match=r"classes are left, right, up, .*: task=predict input="):
        cnnexp.run(["task=evaluate", *run, where])


def test_an_image_that_is_gone_takes_no_other_with_it(finished: tuple[Result, Path]) -> None:
    result, data = finished
    run = [f"run={result.folder}", "tracking=none"]
    with (result.folder / "splits.csv").open() as file:
        tested = [row["path"] for row in csv.DictReader(file) if row["split"] == "test"]
    (data / tested[0]).unlink()
    cnnexp.run(["task=evaluate", *run])
    with next(result.folder.glob("evaluation_*/predictions.csv")).open() as file:
        assert {row["path"] for row in csv.DictReader(file)} == set(tested[1:])
    (result.folder / "splits.csv").unlink()
    with pytest.raises(InputError, match=r"splits\.csv cannot be read"):
        cnnexp.run(["task=evaluate", *run])


def test_an_edited_config_is_said(
    finished: tuple[Result, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    result, _ = finished
    config = result.folder / "config.yaml"
    cnnexp.run(["task=evaluate", f"run={result.folder}"])
    assert "it was edited" not in capsys.readouterr().out
    config.write_text(config.read_text().replace("resize: crop", "resize: stretch"))
    cnnexp.run(["task=evaluate", f"run={result.folder}"])
    assert "config.yaml is not what the run began with: it was edited" in capsys.readouterr().out


def test_a_finished_run_without_checkpoints_is_not_sent_in_circles(
    finished: tuple[Result, Path],
) -> None:
    result, _ = finished
    shutil.rmtree(result.folder / "checkpoints")
    with pytest.raises(InputError, match=r"its checkpoints are gone .*task=reproduce run="):
        cnnexp.run(["task=evaluate", f"run={result.folder}"])


def test_an_unfinished_run_is_called_so(
    finished: tuple[Result, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """One that diverged would again: it is not sent to resume=, which sends it back."""
    result, _ = finished
    assert result.folder is not None
    info = json.loads((result.folder / "run.json").read_text())
    (result.folder / "run.json").write_text(json.dumps({**info, "status": "KILLED"}))
    cnnexp.run(["task=evaluate", f"run={result.folder}"])
    said = "note      the run is not finished: these are its best weights so far; to go on: python"
    assert said in capsys.readouterr().out
    for path in result.folder.rglob("*.ckpt"):
        path.unlink()
    with pytest.raises(InputError, match=r"no checkpoint yet .* train it on with: .*resume="):
        cnnexp.run(["task=evaluate", f"run={result.folder}"])
    problem = "InputError: the training loss is nan at step 3: training diverged; lower it"
    failed = {**info, "status": "FAILED", "problem": problem}
    (result.folder / "run.json").write_text(json.dumps(failed))
    with pytest.raises(InputError, match=r"is nan at step 3: .*; lower it, and begin it anew$"):
        cnnexp.run(["task=evaluate", f"run={result.folder}"])


def test_other_classes_are_refused(finished: tuple[Result, Path]) -> None:
    result, data = finished
    shutil.move(data / "left", data / "zebra")
    with pytest.raises(InputError, match="classes are right, zebra, the run learned left, right"):
        cnnexp.run(["task=evaluate", f"run={result.folder}", "tracking=none"])


def test_a_strangers_config_calls_nothing(finished: tuple[Result, Path]) -> None:
    result, _ = finished
    path = result.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for target in ("os.system", "subprocess.run", "torch.load", "cnnexp.tasks.train.train"):
        config["dataset"]["_target_"] = target
        path.write_text(yaml.safe_dump(config))
        with pytest.raises(InputError, match="_target_"):
            cnnexp.run(["task=evaluate", f"run={result.folder}", "tracking=none"])


def test_a_strangers_checkpoint_is_not_unpickled(finished: tuple[Result, Path]) -> None:
    import torch

    result, data = finished
    bait = data.parent / "executed"

    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (bait,))

    torch.save({"state_dict": Trap()}, result.folder / "checkpoints" / "train" / "best.ckpt")
    with pytest.raises(InputError, match="cannot be loaded"):
        cnnexp.run(["task=evaluate", f"run={result.folder}", "tracking=none"])
    assert not bait.exists()


def test_a_mistake_in_a_picture_comes_before_the_training(data: Path) -> None:
    with pytest.raises(InputError, match="blok2"):
        cnnexp.run([*SHORT, f"dataset.root={data}", "visualization.gradcam.layer=blok2"])
    assert not (data.parent / "outputs").exists()


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_few_steps(data: Path, batches: int) -> None:
    """One-cycle's own arithmetic fails at 4 steps; 48 training images in 1, 2 or 4 batches."""
    size = 48 // batches
    result = cnnexp.run(
        [*SHORT, f"dataset.root={data}", f"dataset.batch_size={size}", "trainer.max_epochs=1",
         "dataset.split={train: 0.6, validation: 0.2, test: 0.2}", "visualization=none"]
    )  # fmt: skip
    assert result.metrics["best/epoch"] == 1


def test_classes_have_rows_where_they_have_figures() -> None:
    """Of more than 256 classes the metrics have none of their own."""
    metrics = {f"test/{kind}/a": 0.5 for kind in ("precision", "recall", "f1")}
    assert class_table(metrics, ["a", "b"]).row_count == 1
    assert class_table({"test/accuracy": 0.1}, [str(k) for k in range(300)]).row_count == 0


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode there")
def test_a_name_that_is_no_utf8_is_answered_as_others_are(
    finished: tuple[Result, Path], tmp_path: Path
) -> None:
    result, data = finished
    image = (data / "left" / "000.png").read_bytes()
    Path(os.fsdecode(bytes(tmp_path / "caf") + b"\xe9.png")).write_bytes(image)
    cnnexp.run(["task=predict", f"run={result.folder}", f"input={tmp_path}"])
    (table,) = Path("outputs/predict").glob("*.csv")
    with table.open(encoding="utf-8", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [f"{tmp_path}/caf\\udce9.png"]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("run.json", "[" * 100_000, "run.json cannot be read"),
        ("run.json", "[]", "run.json cannot be read"),
        ("run.json", {"classes": 5}, "its run.json has no classes as cnnexp writes them"),
        ("run.json", {"classes": [0, 1]}, "its run.json has no classes as cnnexp writes them"),
        ("run.json", {"precision": None}, "its run.json has no precision as cnnexp writes them"),
        ("config.yaml", "x: " + "[" * 5000, "its config.yaml cannot be read"),
        ("config.yaml", "zz: &z [*z]", "its config.yaml cannot be read"),
    ],
    ids=str,
)
def test_a_strangers_run_is_refused_in_one_line(
    finished: tuple[Result, Path], file: str, content: str | dict[str, object], said: str
) -> None:
    result, data = finished
    path = result.folder / file
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(said)):
        cnnexp.run(["task=predict", f"run={result.folder}", f"input={data}"])
