"""Made runs: folders as a training leaves them, with answers that a test chooses."""

import csv
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnnexp.config.compose import compose, resolved
from cnnexp.config.validate import validate

MakeRun = Callable[..., Path]
CLASSES = ["cat", "dog", "owl"]


def write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


@pytest.fixture(scope="session")
def base() -> dict[str, Any]:
    return validate(resolved(compose(["dataset=shapes", "tracking=none"]).config))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def make_run(work: Path, base: dict[str, Any]) -> MakeRun:
    return maker(work, base)


@pytest.fixture(scope="session")
def make_run_in(base: dict[str, Any]) -> Callable[[Path], MakeRun]:
    """For a folder that several tests read."""
    return partial(maker, base=base)


def maker(work: Path, base: dict[str, Any]) -> MakeRun:
    """outputs/<name>/<time>_<id>: 30 test images, 10 of each class, of which `wrong` (numbers) are
    taken for the next class. keys: of the config, dotted. Each run is newer than those before.
    """
    count = 0

    def make(
        name: str = "made", seed: int = 0, wrong: Sequence[int] = (), *,
        classes: Sequence[str] = CLASSES, images: Sequence[int] = range(30),
        learned: Sequence[int] = range(100, 160), status: str = "FINISHED", epochs: int = 3,
        digest: str = "d" * 64, content: str = "c" * 64, overrides: Sequence[str] = (),
        metrics: dict[str, Any] | None = None, **keys: Any,
    ) -> Path:  # fmt: skip
        nonlocal count
        folder = work / "outputs" / name / f"20260101-0000{count:02d}_{count:06x}"
        count += 1
        (folder / "figures").mkdir(parents=True)
        config = json.loads(json.dumps(base)) | {"name": name, "seed": seed}
        config["overrides"] = [*overrides, f"seed={seed}"]
        for key, value in keys.items():
            *path, last = key.split("__")
            node = config
            for part in path:
                node = node[part]
            node[last] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        k = len(classes)
        rows: list[Sequence[Any]] = [("path", "sha256", "class", "split")]
        rows += [(f"new, {i}.png", f"{i:064x}", classes[i % k], "test") for i in images]
        rows += [(f"old/{i}.png", f"{i:064x}", classes[i % k], "train") for i in learned]
        write_csv(folder / "splits.csv", rows)
        said = {i: (i + (i in set(wrong))) % k for i in images}
        head = ("path", "index", "label", "prediction", *(f"p_{c}" for c in classes))
        write_csv(folder / "predictions.csv", [head, *(
            (f"new, {i}.png", i, classes[i % k], classes[said[i]],
             *(0.8 if c == said[i] else 0.2 / (k - 1) for c in range(k)))
            for i in images
        )])  # fmt: skip
        accuracy = 1 - len(set(wrong) & set(images)) / len(images)
        history = [
            {"epoch": e, "val/accuracy": accuracy * e / epochs, "train/accuracy": accuracy,
             "val/loss": 1.0, "train/loss": 1.0} for e in range(1, epochs + 1)
        ]  # fmt: skip
        info = {
            "name": name, "status": status, "started": "2026-01-01T00:00:00+0000",
            "classes": list(classes),
            "data": {"name": "made", "digest": digest, "content": content},
            "precision": "32-true",
            "environment": {"python": "3.11.7", "cpu": "A CPU", "usable_cores": 2, "gpus": {},
                            "platform": "Linux", "packages": {"torch": "2.9", "cnnexp": "0.1.0"},
                            "git": {"commit": "c" * 40, "branch": "main", "dirty": False}},
            "phases": {"train": {"history": history, "best_epoch": epochs, "train_s": 60.0}},
            "metrics": {"test/accuracy": accuracy, "test/loss": 0.5, "test/f1": accuracy,
                        "test/accuracy_low": accuracy - 0.1, "test/accuracy_high": accuracy + 0.1,
                        "best/val/accuracy": accuracy, "best/epoch": float(epochs),
                        "train_s": 60.0, "images_per_s": 100.0, "parameters": 1000.0,
                        "multiply_adds": 50000.0, **(metrics or {})},
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(info))
        return folder

    return make


@pytest.fixture
def command(base: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """The config of task=compare runs=[…], as the task is given it."""

    def make(*runs: Path | str) -> dict[str, Any]:
        return {**base, "runs": [str(run) for run in runs], "overrides": []}

    return make
