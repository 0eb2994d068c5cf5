"""What is wrong with the place of images is told before torch is imported; it is listed once."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cnnexp
from cnnexp import sources
from cnnexp.config.instantiate import call

WORDS = ["dataset=image_folder", "dataset.image_size=16", "tracking=none", "augmentation=none"]


def photos(folder: Path, count: int) -> Path:
    pixels = np.random.default_rng(count)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = Image.fromarray(pixels.integers(0, 256, (16, 16, 3), np.uint8))
            image.save(folder / name / f"{i}.png")
    return folder


def test_before_torch(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    program = (
        "import sys, cnnexp\n"
        "try: cnnexp.run(sys.argv[1:])\n"
        "except Exception as error: print(type(error).__name__, 'torch' in sys.modules, error)"
    )
    words = [*WORDS, f"dataset.root={tmp_path / 'empty'}"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, text=True, capture_output=True
    )
    assert done.stdout.startswith("InputError False dataset.root="), done.stdout + done.stderr


def test_listed_once_and_anew_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = []

    def counted(node: Any, key: str | None = None, /, **injected: Any) -> Any:
        listed.append(key)
        return call(node, key, **injected)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "call", counted)
    for count in (8, 12):
        root = photos(tmp_path / "photos", count)
        cnnexp.run([*WORDS, "task=data", f"dataset.root={root}"])
        assert listed.pop() == "dataset"
        assert not listed
        assert f"{2 * count} images of 2 classes" in capsys.readouterr().out
