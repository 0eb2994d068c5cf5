"""task=reproduce: the same run again is the same to the bit, and what is not is said."""

import re
import shutil
from pathlib import Path

import pytest
import torch

import cnnexp
from cnnexp.__main__ import main
from cnnexp.comparison.reproduction import Part, answers, compare_answers
from cnnexp.reporting.predictions import Predictions
from cnnexp.runs import read_json, write_json

SMALL = [
    "dataset=shapes", "dataset.images=200", "dataset.image_size=24", "model.widths=[[8],[8]]",
    "model.dense=[]", "name=small", "visualization=none", "trainer.max_epochs=2",
    "augmentation=crop_flip", "tracking=none",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run; all that is in the working folder lies in `kept`, too."""
    work = tmp_path_factory.mktemp("once") / "work"
    work.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.setenv("CNNEXP_CACHE", str(work / "cache"))
        done = cnnexp.run(SMALL).folder
    assert done is not None
    shutil.copytree(work, work.with_name("kept"))
    return done


@pytest.fixture
def folder(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run's folder in its place, as it was when the run ended."""
    work = trained.parents[2]
    shutil.rmtree(work)
    shutil.copytree(work.with_name("kept"), work)
    monkeypatch.chdir(work)
    monkeypatch.setenv("CNNEXP_CACHE", str(work / "cache"))
    return trained


def test_the_same_to_the_bit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task=reproduce", f"run={folder.name}", "tracking=none"]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"the same  [\d,]+ weights and statistics after train, \d+ metrics, 40 predictions, "
        r"to the bit\n",
        said,
    )
    assert "differs" not in said
    (again,) = [one for one in folder.parent.iterdir() if one != folder]
    assert read_json(again / "run.json")["reproduces"] == folder.name
    report = (folder / "report.html").read_text()
    assert f"python -m cnnexp task=reproduce run=outputs/small/{folder.name}" in report


def test_one_that_was_interrupted_is_known_for_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cnnexp.tasks.train.train_phases", interrupted)
        assert main(["task=reproduce", f"run={folder}", "tracking=none"]) == 130
    (again,) = [one for one in folder.parent.iterdir() if one != folder]
    assert main([f"resume={again}", "tracking=none"]) == 0
    info = read_json(again / "run.json")
    assert (info["status"], info["reproduces"]) == ("FINISHED", folder.name)
    assert "reproduces" not in (again / "config.yaml").read_text()


def test_what_differs_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "checkpoints" / "train" / "best.ckpt"
    saved = torch.load(path, weights_only=True)
    saved["state_dict"]["network.head.1.bias"][0] += 0.25
    torch.save(saved, path)
    table = (folder / "metrics.csv").read_text()
    loss = re.search(r",train/loss,(.*)", table)
    assert loss is not None
    (folder / "metrics.csv").write_text(table.replace(loss[1], "0.5"))
    answers = (folder / "predictions.csv").read_text().splitlines()
    answers[1] = answers[1].rpartition(",")[0] + ",0.9"
    (folder / "predictions.csv").write_text("\n".join(answers) + "\n")
    info = read_json(folder / "run.json")
    info["environment"]["packages"]["torch"] = "1.0"
    write_json(folder / "run.json", info)
    assert main(["task=reproduce", f"run={folder}", "tracking=none"]) == 1
    said = capsys.readouterr().out
    assert "differs   weights and statistics after train: up to 0.25 apart, in head.1.bias" in said
    assert f": train/loss was 0.5 and is {loss[1]}" in said
    assert re.search(r"differs   predictions: 0 other ones, probabilities up to 0\.\d+ apart", said)
    assert re.search(r"torch +1\.0 +2", said)


def test_other_images_are_said(folder: Path) -> None:
    classes = read_json(folder / "run.json")["classes"]
    table = answers(folder, classes)
    shorter = Predictions(*(column[1:] for column in table))
    assert compare_answers(table, shorter).apart == "of other images"
    assert compare_answers(table, table) == Part("predictions", 40)


def test_other_images_or_another_network_are_refused_before_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*typed: str) -> str:
        assert main(["task=reproduce", f"run={folder}", "tracking=none", *typed]) == 2
        assert len(list(folder.parent.iterdir())) == 1
        return capsys.readouterr().err

    assert "the images are not those that it was trained on" in refused("dataset.images=210")
    path = folder / "config.yaml"
    text = path.read_text()
    path.write_text(re.sub(r"(?s)(widths:).*?(\n  \w)", r"\1 [[8], [16]]\2", text))
    assert "block2.0.weight is (8, 8, 3, 3) there, (16, 8, 3, 3) here" in refused()
    path.write_text(text)
    (folder / "checkpoints" / "train" / "best.ckpt").unlink()
    assert "best.ckpt, to compare with, is not there any more" in refused()


def test_own_code_and_another_place_are_in_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    done = cnnexp.run([*SMALL, "paths.outputs=elsewhere"], config_dir="mine").folder
    assert done is not None
    where = f"elsewhere/small/{done.name}"
    report = (done / "report.html").read_text()
    assert f"python -m cnnexp --config-dir mine task=reproduce run={where}" in report
    assert f"python -m cnnexp --config-dir mine {SMALL[0]}" in report
    assert main(["--config-dir", "mine", "task=reproduce", f"run={where}", "tracking=none"]) == 0


def test_an_unfinished_run_is_not_repeated(folder: Path) -> None:
    write_json(folder / "run.json", read_json(folder / "run.json") | {"status": "KILLED"})
    assert main(["task=reproduce", f"run={folder}"]) == 2
