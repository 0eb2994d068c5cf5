"""A run's folder, weights, caches and data from a stranger: none of what they hide is executed."""

import io
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from cnnexp.__main__ import main
from cnnexp.training.classifier import Classifier

TRACE = "executed"  # in the working folder, when a payload ran


class Payload:
    def __reduce__(self) -> Any:
        return os.makedirs, (TRACE, 0o777, True)


def pickled() -> bytes:
    return pickle.dumps({"state_dict": Payload(), "data": Payload()}, protocol=2)


def checkpoint() -> bytes:
    made = io.BytesIO()
    torch.save({"state_dict": {"network.head.1.bias": Payload()}}, made)
    return made.getvalue()


def array() -> bytes:
    made = io.BytesIO()
    np.save(made, np.array([Payload()], dtype=object), allow_pickle=True)
    return made.getvalue()


PAYLOADS: dict[str, tuple[Callable[[], bytes], Callable[[bytes], Any]]] = {
    "pickle": (pickled, pickle.loads),
    "checkpoint": (checkpoint, lambda c: torch.load(io.BytesIO(c), weights_only=False)),
    "array": (array, lambda c: np.load(io.BytesIO(c), allow_pickle=True)),
    "yaml": (lambda: b"name: !!python/object/apply:os.makedirs [executed]\n", yaml.unsafe_load),
}
# Of a run's files, by what they end with.
KINDS = {
    ".ckpt": ["checkpoint", "pickle"],
    ".yaml": ["yaml"],
    ".json": ["pickle"],
    ".csv": ["pickle"],
}


class Trains(BaseException):
    """At the first step: what is read before has been read."""


@pytest.fixture(autouse=True)
def nothing_was_executed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Asked before monkeypatch leaves the test's folder."""
    yield
    assert not Path(TRACE).exists()


@pytest.mark.parametrize("kind", PAYLOADS)
def test_the_payloads_work(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is careless executes them: the tests below could fail."""
    monkeypatch.chdir(tmp_path)
    make, carelessly = PAYLOADS[kind]
    carelessly(make())
    Path(TRACE).rmdir()


def test_every_file_of_a_run(
    give: Callable[[str], Path],
    command: str,
    commands: dict[str, list[str]],
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One after the other is a payload of the kind that its readers would execute."""
    files = [path for path in give(command).rglob("*") if path.suffix in KINDS]
    assert {"best.ckpt", "config.yaml", "predictions.csv"} <= {path.name for path in files}
    unread = []

    def stop(self: Classifier, *others: object) -> None:
        raise Trains

    for path in files:
        if command == "reproduce" and path.suffix != ".ckpt":
            continue  # it would train: checkpoints are read before
        good = path.read_bytes()
        for kind in KINDS[path.suffix]:
            path.write_bytes(PAYLOADS[kind][0]())
            record_property("payloads", 1)
            with monkeypatch.context() as patch:
                if command == "init_from":
                    patch.setattr(Classifier, "training_step", stop)
                try:
                    assert main(["tracking=none", *commands[command]]) in (0, 2), path
                except Trains:
                    unread.append((path, kind))
            assert not Path(TRACE).exists(), path
        path.write_bytes(good)
    if command == "init_from":  # and once to the end, where all that let it train are payloads
        assert unread
        for path, kind in unread:
            path.write_bytes(PAYLOADS[kind][0]())
        assert main(["tracking=none", *commands[command]]) == 0


# Only .safetensors has a reader of its own: all else is torch's, whatever its name says.
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [*product(PAYLOADS, [".pth", ".safetensors"]), ("pickle", ".bin"), ("array", ".npz")],
)
def test_weights(
    work: Path, kind: str, suffix: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("payloads", 1)
    path = work / f"weights{suffix}"
    path.write_bytes(PAYLOADS[kind][0]())
    few = ["model=vgg16_frozen", "dataset=shapes", "dataset.images=40", "dataset.image_size=32"]
    assert main([*few, f"model.weights={path}", "tracking=none"]) == 2


def test_caches(
    give: Callable[[str], Path],
    runs: Path,
    small: list[str],
    record_property: Callable[[str, object], None],
) -> None:
    """All that lies in the cache is a payload: everything is made anew."""
    give("init_from")
    files = [path for path in (runs / "cache").rglob("*") if path.is_file()]
    assert any(path.suffix == ".npy" for path in files)
    for path in files:
        path.write_bytes(array())
        record_property("payloads", 1)
    assert main(small) == 0


@pytest.mark.parametrize("kind", PAYLOADS)
def test_data(work: Path, kind: str, record_property: Callable[[str, object], None]) -> None:
    content = PAYLOADS[kind][0]()
    for name in ("cifar-10-batches-py", "images/a", "images/b"):
        (work / name).mkdir(parents=True)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (work / "cifar-10-batches-py" / name).write_bytes(content)
    with tarfile.open(work / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(work / "cifar-10-batches-py", "cifar-10-batches-py")
    for name in ("a/1.png", "a/2.npy", "b/1.jpg", "b/2.pt"):
        (work / "images" / name).write_bytes(content)
    for words in (
        ["dataset=cifar10", "dataset.root=cifar-10-batches-py"],
        ["dataset=cifar10", "dataset.root=cifar-10-python.tar.gz"],
        ["dataset=image_folder", "dataset.root=images"],
        ["dataset=cats_dogs", "dataset.root=images"],
    ):
        record_property("payloads", 1)
        assert main([*words, "tracking=none"]) == 2


def test_what_a_config_asks_the_environment_for(
    give: Callable[[str], Path],
    commands: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of one that is typed Hydra resolves it; of one that lies in a run's folder nobody does."""
    monkeypatch.setenv("PRIVATE", "k3y-0f-th3-h0us3")
    asked = [("model", "activation", name) for name in commands]
    asked += product(("dataset",), ("root",), ("evaluate", "resume"))
    asked += product(("training",), ("monitor",), ("evaluate", "resume"))
    for section, key, name in asked:
        path = give(name) / "config.yaml"
        config = yaml.safe_load(path.read_text())
        asks = {**config, section: {**config[section], key: "${oc.env:PRIVATE}"}}
        path.write_text(yaml.safe_dump(asks))
        main(["tracking=none", *commands[name]])
    said = capsys.readouterr()
    assert "k3y-0f" not in said.out + said.err
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert not [path for path in files if b"k3y-0f" in path.read_bytes()]


@pytest.mark.parametrize("asks", ["${oc.env:PRIVATE}", "${", "a ${oc.env:PRIVATE} b"])
def test_a_runs_config_is_shown_as_it_stands(
    asks: str,
    give: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PRIVATE", "k3y-0f-th3-h0us3")
    path = give("visualize") / "config.yaml"
    picture = {"_target_": "cnnexp.visualization.gradcam.gradcam", "layer": asks}
    config = {**yaml.safe_load(path.read_text()), "visualization": {"gradcam": picture}}
    path.write_text(yaml.safe_dump(config))
    shows = ["--cfg", "job", "task=visualize", "run=given"]
    capsys.readouterr()
    assert main(shows) == 0
    whole = yaml.safe_load(capsys.readouterr().out)
    assert whole["visualization"]["gradcam"]["layer"] == asks
    assert main([*shows, "--package", "visualization.gradcam.layer"]) == 0
    assert capsys.readouterr().out == f"{asks}\n"
    assert main([*shows, "--package", "visualization.gradcam"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["layer"] == asks
    assert main([*shows, "--package", "visualization.gradcam.lyer"]) == 2
