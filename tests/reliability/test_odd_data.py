"""Odd data is right, or refused in one line before anything is trained."""

import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnexp
from cnnexp.__main__ import main

SMALL = [
    "dataset=image_folder", "dataset.root=photos", "dataset.image_size=16", "dataset.batch_size=8",
    "model.widths=[[4],[4]]", "model.dense=[]", "trainer.max_epochs=1", "name=odd",
    "visualization=none", "tracking=none",
]  # fmt: skip
# A process between: one begins with the largest size of whoever has started it, here of all tests.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "cnnexp", *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
Maker = Callable[[int], np.ndarray]
pytestmark = pytest.mark.usefixtures("work")


def noise(height: int, width: int, kind: type = np.uint8) -> Maker:
    largest = np.iinfo(kind).max

    def make(number: int) -> np.ndarray:
        shape = (height, width) if kind is np.uint16 else (height, width, 3)
        return np.random.default_rng(number).integers(0, largest, shape, dtype=kind)

    return make


def photos(**classes: tuple[Maker, int]) -> None:
    """A class's images: how one is made, how many there are."""
    for first, (name, (make, count)) in enumerate(classes.items()):
        folder = Path("photos", name)
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(make(1000 * first + number)).save(folder / f"{number}.png")


def left_out(folder: Path) -> str:
    return (folder / "left_out.csv").read_text()


def test_strips_and_sixteen_bits_and_constant_images() -> None:
    photos(
        strips=(noise(2, 900), 10),
        deep=(noise(20, 20, np.uint16), 10),
        constant=(lambda number: np.full((20, 20, 3), number % 256, np.uint8), 10),
        flat=(noise(1, 50), 3),
    )
    for resize in ("crop", "stretch", "pad"):
        assert main([*SMALL, f"dataset.resize={resize}"]) == 2, "none of a class can be used"
    for path in Path("photos/flat").iterdir():
        path.rename(Path("photos/deep", f"flat{path.name}"))
    Path("photos/flat").rmdir()
    for resize in ("crop", "stretch", "pad"):
        result = cnnexp.run([*SMALL, f"dataset.resize={resize}"])
        assert result.folder is not None
        assert np.isfinite(result.metrics["test/loss"])
        assert left_out(result.folder).count("flat") == 3


def test_a_class_without_images_for_a_split(capsys: pytest.CaptureFixture[str]) -> None:
    photos(many=(noise(20, 20), 30), one=(noise(20, 20), 1))
    assert main(SMALL) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'one'" in line
    assert not Path("outputs").exists()


def test_copies_alone(capsys: pytest.CaptureFixture[str]) -> None:
    photos(a=(lambda _: noise(20, 20)(1), 10), b=(lambda _: noise(20, 20)(2), 10))
    assert main(SMALL) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "too few" in line


def test_a_rate_of_zero_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    photos(a=(noise(20, 20), 12), b=(noise(20, 20), 12))
    assert main([*SMALL, "optimizer.lr=0"]) == 2
    assert "optimizer.lr=0: must be a number greater than 0" in capsys.readouterr().err


def test_more_classes_than_columns() -> None:
    photos(**{f"class{number:03d}": (noise(16, 16), 5) for number in range(260)})
    folders = []
    for seed in (0, 1):
        result = cnnexp.run([*SMALL, "dataset.batch_size=64", f"seed={seed}"])
        assert result.folder is not None
        folders.append(result.folder)
        assert 0 <= result.metrics["test/f1"] <= 1
        assert "test/f1/class000" not in result.metrics
        shares = np.load(result.folder / "predictions.npy")
        assert shares.shape == (260, 260)
        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-4)
        assert "class000" in (result.folder / "report.html").read_text()
    compared = cnnexp.run(["task=compare", f"runs=[{folders[0]},{folders[1]}]", "tracking=none"])
    assert compared.metrics["accuracy/odd"] >= 0
    assert main(["task=reproduce", f"run={folders[0]}", "tracking=none"]) == 0


@pytest.mark.slow
def test_a_zip_of_a_hundred_thousand_entries(
    record_property: Callable[[str, object], None],
) -> None:
    """Each is opened and left out with its reason, in bounded time and memory."""
    photos(a=(noise(20, 20), 12), b=(noise(20, 20), 12))
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for number in range(100_000):
            archive.writestr(f"{'ab'[number % 2]}/{number}.jpg", b"no image")
        for path in sorted(Path("photos").rglob("*.png")):
            archive.write(path, path.relative_to("photos"))
    began = time.monotonic()
    command = [sys.executable, "-c", MEASURED, *SMALL, "dataset.root=photos.zip"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    said, _, most_kib = done.stdout.rstrip().rpartition("\n")
    assert done.returncode == 0, said
    assert "left out 100,000 of 100,024 files" in said
    (folder,) = Path("outputs/odd").iterdir()
    assert left_out(folder).count("\n") == 100_001
    assert time.monotonic() - began < 120
    assert int(most_kib) < 2 << 20, "of which libraries take most"
    record_property("zip entries", 100_000)
