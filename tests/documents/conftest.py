"""A working folder as the documents' commands find it: photographs, own code, finished runs."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnexp

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MINE = r"(?:`mine/(\S+?)`[^\n]*\n\n```yaml\n|^```(?:python|yaml)\n# mine/(\S+)\n)(.*?)^```"


def write_photos(folder: Path, count: int) -> None:
    drawn = np.random.default_rng(0)
    for name, colour in (("cat", (200, 120, 60)), ("dog", (60, 120, 200))):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = drawn.normal(colour, 40, (40, 48, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.jpg")


def write_mine(folder: Path) -> None:
    for page in PAGES:
        for above, inside, body in re.findall(MINE, page.read_text(), re.DOTALL | re.MULTILINE):
            name = above or inside
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(body)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/, leaves/, new/, digits/, mine/; in outputs/ two finished runs, one that stopped."""
    folder = tmp_path_factory.mktemp("world")
    write_photos(folder / "photos", 32)  # as many as debug=smoke takes
    shutil.copytree(folder / "photos", folder / "leaves" / "images")
    named = [path.relative_to(folder / "leaves/images") for path in folder.glob("leaves/*/*/*")]
    rows = [f"{path.with_suffix('')},{path.parent}" for path in named]
    (folder / "leaves" / "train.csv").write_text("\n".join(["id,label", *rows]))
    write_mine(folder / "mine")
    for name, kind in (("new", "jpg"), ("digits", "png")):
        (folder / name).mkdir()
        Image.new("RGB", (50, 40), (90, 120, 150)).save(folder / name / f"one.{kind}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in (0, 1):
            cnnexp.run(
                [
                    "dataset=image_folder", "dataset.root=photos", "dataset.image_size=32",
                    "name=photos", "trainer.max_epochs=1", "visualization=none", f"seed={seed}",
                    "model.widths=[[4],[4],[8]]", "model.dense=[8]", "tracking=none",
                ]
            )  # fmt: skip
    stopped = folder / "outputs" / "stopped" / "run"
    shutil.copytree(next(folder.glob("outputs/photos/*")), stopped)
    info = json.loads((stopped / "run.json").read_text())
    (stopped / "run.json").write_text(json.dumps(info | {"status": "KILLED"}))
    return folder


@pytest.fixture
def here(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(world)
    return world
