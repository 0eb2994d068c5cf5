"""scripts/prefetch.py: what a run needs is fetched, or one line says why not."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torchvision

SCRIPT = Path(__file__).parents[1] / "scripts" / "prefetch.py"
NETWORK = ["model=torchvision", "model.name=mobilenet_v3_small"]


@pytest.fixture
def prefetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, with empty caches."""
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("prefetch", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def put_weights(folder: Path) -> Path:
    """A network's file where torch.hub keeps it."""
    name = torchvision.models.MobileNet_V3_Small_Weights.DEFAULT.url.rpartition("/")[2]
    path = folder / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), path)
    return path


def test_says_what_to_copy_and_what_to_set(
    prefetch: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put_weights(tmp_path / "torch")
    (tmp_path / "cache" / "downloads").mkdir(parents=True)
    (tmp_path / "cache" / "downloads" / "images.zip").write_bytes(bytes(3_000_000))
    assert prefetch.main([*NETWORK, "dataset=shapes", "dataset.image_size=32"]) == 0
    text = capsys.readouterr().out
    megabytes = f"{path.stat().st_size / 1e6:,.0f} MB"
    assert f"TORCH_HOME={tmp_path / 'torch'}: its hub/checkpoints, {megabytes}" in text
    assert f"CNNEXP_CACHE={tmp_path / 'cache'}: its downloads, 3 MB" in text
    made = {p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("*") if p.is_file()}
    assert made == {"cache", "torch"}, "nothing was trained"
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["downloads"], "or decoded"


def test_what_is_embedded_needs_no_copy(
    prefetch: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prefetch.main(["dataset=digits", "model=lenet5"]) == 0
    assert "=" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["modle=vgg16"], ["modle=vgg16: unknown key", "did you mean 'model'?"]),
        (["model=torchvision", "model.name=resnet5o"], ["did you mean 'resnet50'?"]),
        (["dataset=image_folder", "dataset.root=nowhere"], ["dataset.root=nowhere"]),
    ],
)
def test_one_line_for_wrong_input(
    prefetch: ModuleType, capsys: pytest.CaptureFixture[str], overrides: list[str], parts: list[str]
) -> None:
    assert prefetch.main(overrides) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert all(part in captured.err for part in parts)


def test_missing_images_do_not_keep_weights_away(
    prefetch: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = [*NETWORK, "dataset=cifar10"]
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert prefetch.main(wanted) == 2
    images, weights = capsys.readouterr().err.splitlines()
    assert images.startswith("error: cannot download")
    assert weights.startswith("error: model.weights=imagenet: cannot download https://")
    assert str(tmp_path / "torch" / "hub" / "checkpoints" / "mobilenet_v3_small-") in weights
    put_weights(tmp_path / "torch")
    assert prefetch.main(wanted) == 2
    assert capsys.readouterr().err.splitlines() == [images]


def test_as_a_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "modle=vgg16"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: modle=vgg16: unknown key")
    assert done.stderr.count("\n") == 1
