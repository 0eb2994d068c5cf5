"""task=doctor as a person meets it: lines, exit code, and nothing written."""

import shlex
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image

import cnnexp
from cnnexp.__main__ import main
from cnnexp.datasets import cats_dogs
from cnnexp.doctor import software
from cnnexp.errors import InputError
from cnnexp.tracking.store import ensure_store

SMALL = ["model=torchvision", "model.name=mobilenet_v3_small", "dataset.image_size=32"]


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Empty caches, and a proxy that nobody listens at for all but this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    urllib.request.install_opener(None)  # it remembers the proxies of its first use
    yield
    urllib.request.install_opener(None)


def doctor(
    capsys: pytest.CaptureFixture[str], *overrides: str
) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """Exit code, and by what was looked at: (state, text)."""
    code = main(["task=doctor", *overrides])
    found: dict[str, list[tuple[str, str]]] = {}
    for line in capsys.readouterr().out.splitlines():
        if line and not line.startswith("so "):
            name, state, text = line.split(maxsplit=2)
            found.setdefault(name, []).append((state, text))
    return code, found


def test_a_healthy_machine_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = doctor(capsys)
    assert code == 0, found
    assert list(found) == [
        "python", "packages", "torch", "gpu", "precision", "cpu", "memory", "shm", "outputs",
        "cache", "runs", "data", "network", "store", "slurm", "container",
    ]  # fmt: skip
    assert found["data"] == [("ok", "digits: 1,797 images, 10 classes")]
    assert found["store"] == [("ok", f"{tmp_path}/mlflow.db: made by the first run")]
    assert not list(tmp_path.iterdir())


def test_data_that_is_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(capsys, "dataset=cifar10", "model=lenet5", "tracking=none")
    assert code == 1
    ((state, text),) = found["data"]
    assert state == "problem"
    assert "cifar10 is not here yet, and cannot be downloaded" in text
    assert text.endswith("python scripts/prefetch.py dataset=cifar10 model=lenet5 tracking=none")
    assert found["network"][0][0] == "ok", "it is looked at all the same"
    assert found["store"][0][1].startswith("none (tracking=none)")
    assert not list(tmp_path.iterdir())


class Answers(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404 if "gone" in self.path else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("file", ["pets.zip", "gone.zip"])
def test_data_that_a_run_will_download(
    server: str,
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cats_dogs, "URL", f"{server}/{file}")
    code, found = doctor(capsys, "dataset=cats_dogs")
    ((state, text),) = found["data"]
    assert (code, state) == (0, "note"), text
    assert "a run will download it; beforehand: python scripts/prefetch.py" in text
    assert not list(tmp_path.iterdir())


def test_data_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    _, found = doctor(capsys, "dataset=image_folder", "dataset.root=photos")
    assert found["data"] == [("ok", "photos: 3 images, 2 classes")]
    shutil.rmtree(tmp_path / "photos" / "dog")
    code, found = doctor(capsys, "dataset=image_folder", "dataset.root=photos")
    assert code == 1
    assert found["data"][0][0] == "problem"
    assert "one class folder (cat)" in found["data"][0][1]


def test_weights_here_or_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(capsys, *SMALL)
    assert code == 1
    ((state, text),) = found["network"]
    assert state == "problem"
    assert "python scripts/prefetch.py model=torchvision model.name=mobilenet_v3_small" in text
    assert not list(tmp_path.iterdir())

    name = torchvision.models.MobileNet_V3_Small_Weights.DEFAULT.url.rpartition("/")[2]
    path = tmp_path / "torch" / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), path)
    code, found = doctor(capsys, *SMALL)
    assert code == 0
    ((state, text),) = found["network"]
    assert state == "ok"
    assert text.endswith("parameters, weights imagenet at hand")

    path.write_bytes(b"half of a file")
    code, found = doctor(capsys, *SMALL)
    assert (code, found["network"][0][0]) == (1, "problem")


def test_stores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(capsys, "tracking.uri=http://127.0.0.1:9")
    assert code == 1
    ((state, text),) = found["store"]
    assert state == "problem"
    assert "no MLflow server answers at http://127.0.0.1:9" in text

    keep = ["tracking.uri=http://127.0.0.1:9", "tracking.if_unreachable=keep"]
    code, found = doctor(capsys, *keep)
    assert (code, found["store"][0][0]) == (0, "note")
    said = found["store"][0][1].partition("afterwards: python -m cnnexp ")[2]
    words = shlex.split(said)
    assert words == ["task=sync", "runs=[outputs/digits_baseline]", keep[0]]
    (tmp_path / "outputs" / "digits_baseline").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no MLflow server answers|no run|holds no"):
        cnnexp.run(words)  # it is one that is taken

    (tmp_path / "text.db").write_text("no database")
    code, found = doctor(capsys, "tracking.uri=sqlite:///text.db")
    assert (code, found["store"][0][0]) == (1, "problem")

    ensure_store("sqlite:///real/mlflow.db")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code, found = doctor(capsys, "tracking.uri=sqlite:///real/mlflow.db")
    assert (code, found["store"]) == (0, [("ok", f"{tmp_path}/real/mlflow.db")])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_look_that_fails_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ImportError("libcudart.so.13: cannot open\nshared object file")

    monkeypatch.setattr(software, "torch", broken)
    code, found = doctor(capsys)
    assert code == 1
    assert found["torch"] == [
        ("problem", "cannot be looked at: ImportError: libcudart.so.13: cannot open shared object "
         "file")
    ]  # fmt: skip
    assert found["data"][0][0] == "ok"
