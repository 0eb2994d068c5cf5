"""The main job through the command line, in a working folder of its own."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits

import cnnexp
from cnnexp.__main__ import main
from cnnexp.errors import InputError
from cnnexp.runs import Result

# At ten times the rate so few steps, of so small a network, learn the digits.
SHORT = [
    "trainer.max_epochs=4", "optimizer.lr=0.01", "model.widths=[[16],[32],[64]]", "model.dense=[]",
    "visualization.activations.images=1",
]  # fmt: skip
SMALL = ["model.widths=[[4],[4]]", "model.dense=[]"]
SHAPES = ["dataset=shapes", "dataset.images=160", "dataset.image_size=32"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work with 'quotes' and spaces")


@pytest.fixture(scope="module")
def trained(work: Path) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        return cnnexp.run(SHORT)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_folder_has_everything(trained: Result) -> None:
    folder = trained.folder
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml", "run.json", "splits.csv", "left_out.csv", "metrics.csv", "predictions.csv",
        "log.txt", "anatomy.csv", "checkpoints/train/best.ckpt",
        "checkpoints/train/last.ckpt",
        "figures/confusion_matrix.png", "figures/learning_curves.png", "figures/gradcam.png",
        "figures/gradcam.svg", "figures/reliability.png", "figures/pictures.json", "report.html",
    }  # fmt: skip
    assert not [name for name in names if "/." in f"/{name}"], "a half-written file was left"
    info = json.loads((folder / "run.json").read_text())
    assert (info["status"], len(info["classes"])) == ("FINISHED", 10)
    for picture in (folder / "figures").glob("*.png"):
        Image.open(picture).verify()
    report = (folder / "report.html").read_text()
    assert f"{100 * trained.metrics['test/accuracy']:.1f}%" in report
    assert "finished" in report


def test_predictions_are_what_was_reported(trained: Result) -> None:
    """Accuracy and loss again from predictions.csv, and labels again from the digits themselves."""
    table = rows(trained.folder / "predictions.csv")
    right = [row["prediction"] == row["label"] for row in table]
    assert trained.metrics["test/accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-6)
    shares = torch.tensor([float(row[f"p_{row['label']}"]) for row in table], dtype=torch.float64)
    assert trained.metrics["test/loss"] == pytest.approx(-shares.log().mean().item(), rel=1e-3)
    digits = load_digits()
    splits = {row["path"]: row["split"] for row in rows(trained.folder / "splits.csv")}
    assert all(int(row["label"]) == digits.target[int(row["index"])] for row in table)
    assert {splits[row["path"]] for row in table} == {"test"}
    assert len({row["path"] for row in table}) == len(table)


def test_metrics_file(trained: Result) -> None:
    table = rows(trained.folder / "metrics.csv")
    names = {row["metric"] for row in table}
    assert names >= {
        "train/loss",
        "val/loss",
        "val/accuracy",
        "test/accuracy",
        "lr",
        "train/loss_step",
    }
    accuracy = [float(row["value"]) for row in table if row["metric"] == "val/accuracy"]
    assert len(accuracy) == 4
    assert trained.metrics["best/val/accuracy"] == pytest.approx(max(accuracy))
    assert sum(row["metric"] == "test/accuracy" for row in table) == 1


def test_it_learned(trained: Result) -> None:
    assert trained.metrics["test/accuracy"] > 0.9


def test_mlflow_has_it(trained: Result, work: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work}/mlflow.db")
    info = json.loads((trained.folder / "run.json").read_text())
    run = client.get_run(info["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer.lr"] == "0.01"
    assert run.data.metrics["test/accuracy"] == pytest.approx(trained.metrics["test/accuracy"])
    history = client.get_metric_history(run.info.run_id, "val/accuracy")
    assert len({metric.step for metric in history}) == 4
    epochs = client.get_metric_history(run.info.run_id, "epoch")
    assert {metric.step for metric in history} <= {metric.step for metric in epochs}
    assert {i.path for i in client.list_artifacts(run.info.run_id, "figures")} >= {
        "figures/gradcam.png"
    }
    assert "report.html" in {item.path for item in client.list_artifacts(run.info.run_id)}
    assert len(run.inputs.dataset_inputs) == 3
    assert len(run.outputs.model_outputs) == 1


def test_evaluate_repeats_the_test(
    trained: Result, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    again = cnnexp.run(
        ["task=evaluate", f"run='{trained.folder}'".replace("'quotes'", "\\'quotes\\'")]
    )
    for name, value in again.metrics.items():
        assert value == pytest.approx(trained.metrics[name], abs=1e-6), name
    run_id = json.loads((trained.folder / "run.json").read_text())["mlflow_run_id"]
    assert cnnexp.run(["task=evaluate", f"run={run_id}"]).metrics == again.metrics


def test_predict_files(
    trained: Result, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(work)
    digits = load_digits()
    for i in range(20):
        pixels = (digits.images[i] / 16 * 255).astype("uint8")
        Image.fromarray(pixels).resize((48, 48)).save(work / f"digit{i:02}_{digits.target[i]}.png")
    (work / "digit99_broken.png").write_bytes(b"not an image")
    run_id = json.loads((trained.folder / "run.json").read_text())["mlflow_run_id"]
    assert main(["task=predict", f"run={run_id[:12]}", "input=digit*.png"]) == 0
    said = capsys.readouterr().out
    assert "digit99_broken.png" in said
    assert re.search(r"^next .* task=visualize run=.* 'input=digit\*.png' ", said, re.MULTILINE)
    (written,) = (work / "outputs" / "predict").glob("*.csv")
    table = rows(written)
    assert len(table) == 20
    right = [row["prediction"] == Path(row["path"]).stem[-1] for row in table]
    assert sum(right) >= 16
    assert all(
        sum(float(row[f"p_{k}"]) for k in range(10)) == pytest.approx(1, abs=1e-4) for row in table
    )


def test_visualize_other_pictures(
    trained: Result, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    own = {path: path.read_bytes() for path in (trained.folder / "figures").iterdir()}
    run_id = json.loads((trained.folder / "run.json").read_text())["mlflow_run_id"]
    layer = "visualization.gradcam.layer=block"
    command = ["task=visualize", f"run={run_id}", "visualization=[gradcam]"]
    with pytest.raises(InputError, match="no block 'block9' before the head; did you mean"):
        cnnexp.run([*command, f"{layer}9"])
    assert not (trained.folder / "visualization").exists()
    cnnexp.run([*command, f"{layer}1"])
    other = (trained.folder / "visualization" / "gradcam_block1.png").read_bytes()
    assert other != own[trained.folder / "figures" / "gradcam.png"]
    assert {path: path.read_bytes() for path in own} == own


def test_a_run_is_found_by_the_end_of_its_folders_name(
    trained: Result, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    run = trained.folder.name.rpartition("_")[2]
    again = cnnexp.run(["task=evaluate", f"run={run}", "tracking=none"])
    assert again.metrics["test/accuracy"] == trained.metrics["test/accuracy"]
    again = cnnexp.run(["task=evaluate", f"run={trained.folder.name}", "tracking=none"])
    assert again.folder == trained.folder


def test_the_same_seed_gives_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["dataset.per_class=20", "trainer.max_epochs=2", "tracking=none", "visualization=none",
             "augmentation=crop_flip", "training.mixup=0.2", *SMALL]  # fmt: skip
    first, second = cnnexp.run(short), cnnexp.run(short)
    other = cnnexp.run([*short, "seed=1"])
    text = [(r.folder / "predictions.csv").read_text() for r in (first, second, other)]
    assert text[0] == text[1] != text[2]
    assert (first.folder / "splits.csv").read_text() == (other.folder / "splits.csv").read_text()


# Several at a time; mixup and cutmix as whole numbers, too: torch's Beta takes none.
@pytest.mark.parametrize("settings", [
    [*SMALL, "optimizer=sgd", "scheduler=plateau", "training.ema=0.9",
     "trainer.gradient_clip_val=0.5", "trainer.precision=bf16-mixed"],
    [*SMALL, "optimizer=rmsprop", "scheduler=cosine", "training.cutmix=1", "training.ema=0.9",
     "trainer.accumulate_grad_batches=2"],
    [*SMALL, "optimizer=adam", "scheduler=constant", "training.label_smoothing=0.1",
     "training.early_stopping=1", "training.class_weights=balanced", "training.cutmix=1.0"],
    ["model=lenet5", *SHAPES, "augmentation=trivial_augment", "training.mixup=1",
     "training.monitor=val/loss", "trainer.precision=32-true"],
], ids=["sgd", "rmsprop", "adam", "lenet5"])  # fmt: skip
def test_each_setting_trains(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cnnexp.run(["debug=smoke", "tracking=none", "visualization=none", *settings])
    assert 0 <= result.metrics["test/accuracy"] <= 1
    assert yaml.safe_load((result.folder / "config.yaml").read_text())["name"]


def test_one_logit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["debug=smoke", *SHAPES, "dataset.classes=2", "training.loss=bce", *SMALL,
             "visualization=[gradcam]", "tracking=none"]  # fmt: skip
    result = cnnexp.run(short)
    assert result.network.head[-1].out_features == 1
    table = rows(result.folder / "predictions.csv")
    assert {"p_disc", "p_square"} <= table[0].keys()
    again = cnnexp.run(["task=evaluate", f"run={result.folder}", "tracking=none"])
    assert again.metrics["test/accuracy"] == pytest.approx(result.metrics["test/accuracy"])


def test_f1_chooses_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the validation images' figures those of the epoch are told whose weights were kept."""
    monkeypatch.chdir(tmp_path)
    result = cnnexp.run(
        ["trainer.max_epochs=3", "dataset.per_class=20", *SMALL, "training.monitor=val/f1",
         "tracking=none", "visualization=none"]
    )  # fmt: skip
    assert result.folder is not None
    info = json.loads((result.folder / "run.json").read_text())
    (history,) = (phase["history"] for phase in info["phases"].values())
    best = max(history, key=lambda row: row["val/f1"])
    assert info["metrics"]["best/epoch"] == best["epoch"]
    for name in ("val/f1", "val/accuracy", "val/loss"):
        assert result.metrics[f"best/{name}"] == best[name]
    out = capsys.readouterr().out
    assert "val loss         f1   images/s" in out
    row = next(line for line in out.splitlines() if line.split()[:1] == [f"{best['epoch']}/3"])
    assert f"{best['val/f1']:.4f}" in row


@pytest.mark.slow
def test_overfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = cnnexp.run(["debug=overfit", "tracking=none", "visualization=none"])
    table = rows(result.folder / "metrics.csv")
    assert max(float(row["value"]) for row in table if row["metric"] == "train/accuracy") == 1.0


def test_a_failed_run_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = main(
        [
            "debug=smoke",
            "optimizer=sgd",
            "optimizer.lr=1e30",
            "trainer.max_epochs=3",
            "visualization=none",
        ]
    )
    assert code == 2
    (info,) = Path("outputs/smoke").glob("*/run.json")
    assert json.loads(info.read_text())["status"] == "FAILED"
    from mlflow import MlflowClient

    (run,) = MlflowClient("sqlite:///mlflow.db").search_runs(["1"])
    assert run.info.status == "FAILED"
