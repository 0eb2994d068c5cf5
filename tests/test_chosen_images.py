"""task=visualize run=… input=…: pictures of the images that a person chose."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnexp
from cnnexp.errors import InputError

TYPED = ["task=visualize", "tracking=none", "trainer.precision=32-true"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 12 images, red and blue, of 16 pixels."""
    root = tmp_path_factory.mktemp("data") / "photos"
    draws = np.random.default_rng(0)
    for kind, channel in (("red", 0), ("blue", 2)):
        (root / kind).mkdir(parents=True)
        for number in range(12):
            pixels = draws.integers(0, 60, (16, 16, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(root / kind / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(photos: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(photos.parent)
        options = ["dataset=image_folder", f"dataset.root={photos}", "dataset.image_size=16"]
        network = ["model.widths=[[4],[8]]", "model.dense=[8]", "trainer.max_epochs=1"]
        shown = ["visualization=[gradcam]", "visualization.gradcam.layer=block1"]
        return cnnexp.run([*options, *network, *shown, "tracking=none"]).folder


def draw(run: Path, *typed: str) -> dict[str, dict]:
    cnnexp.run([*TYPED, f"run={run}", *typed])
    return json.loads((run / "visualization" / "pictures.json").read_text())


def test_pictures_of_other_images_and_layers_stand_side_by_side(run: Path) -> None:
    own = json.loads((run / "figures" / "pictures.json").read_text())
    assert "gradcam_block1" in own  # what was asked for is in its name in the run, too
    with (run / "predictions.csv").open(newline="") as file:
        name = next(csv.DictReader(file))["path"]
    stem = name.replace("/", "_").replace(".", "_")
    for inner in ("block1.0", "block2"):
        draw(
            run,
            f"input={name}",
            "visualization=[gradcam,activations,projection,attributions,neighbours]",
            f"visualization.gradcam.layer={inner}",
            f"visualization.activations.blocks=[{inner}]",
            f"visualization.projection.block={inner}",
            "visualization.projection.channel=2",
            "visualization.attributions.methods=[saliency]",
        )
    words = draw(run, "visualization=[gradcam]", "visualization.gradcam.target=red")
    there = {
        f"gradcam_block1_0_{stem}", f"gradcam_block2_{stem}", "gradcam_red",
        f"projection_block1_0_2_{stem}", f"projection_block2_2_{stem}",
        f"activations_1_block1_0_{stem}", f"activations_1_block2_{stem}",
        f"attributions_{stem}", f"neighbours_{stem}",
    }  # fmt: skip
    assert there <= words.keys()
    assert all((run / "visualization" / f"{one}.png").exists() for one in there)
    assert words[f"gradcam_block2_{stem}"]["title"] == f"Grad-CAM at block2: {name}"
    assert words[f"projection_block1_0_2_{stem}"]["numbers"]["channels"] == [2]
    report = (run / "report.html").read_text()
    for title in ("Grad-CAM at block1", f"Grad-CAM at block1.0: {name}", "Grad-CAM at block2: "):
        assert title in report


def test_files_of_no_known_class(run: Path, photos: Path, tmp_path: Path, capsys) -> None:
    """And one of the data set's own, whose class is."""
    others = tmp_path / "others"
    others.mkdir()
    Image.new("RGB", (40, 30), (200, 20, 30)).save(others / "a.jpg")
    (others / "b.jpg").write_bytes((photos / "blue" / "3.png").read_bytes())
    (others / "c.txt").write_text("no image")
    words = draw(run, f"input={others}", "visualization=[gradcam,neighbours]")
    (name,) = [stem[8:] for stem in words if stem.startswith("gradcam_") and "others" in stem]
    said = capsys.readouterr().out
    assert "left out: " in said
    assert "c.txt: not an image" in said
    assert "by chance" in words[f"neighbours_{name}"]["reading"]
    assert words[f"neighbours_{name}"]["numbers"]["queries"] == 2
    svg = (run / "visualization" / f"gradcam_{name}.svg").read_text()
    assert "Above: ✓ right or ✗ wrong" in svg  # of the one
    draw(run, f"input={others}/a.jpg", "visualization=[gradcam]")
    (path,) = (run / "visualization").glob("gradcam_*a_jpg*.svg")
    svg = path.read_text()
    assert "Above: the predicted class" in svg
    assert not {"✓", "✗"} & set(svg)
    with pytest.raises(InputError, match=r"^input=.*c\.txt: there is no readable image$"):
        draw(run, f"input={others}/c.txt")


def test_names_tell_inputs_apart(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where paths end alike, are no names, or longer than a file's name may be."""
    monkeypatch.chdir(tmp_path)
    long = Path("über" * 30)
    for folder in ("a/s", "b/s", long):
        Path(folder).mkdir(parents=True)
        Image.new("RGB", (20, 20), "red").save(Path(folder) / "p.png")
    kept = set((run / "visualization").glob("*.png"))
    for wanted in ("a/s/p.png", "b/s/p.png", "a/s", "b/s/?.png", ".", "*", f"{long}/p.png"):
        draw(run, f"input={wanted}", "visualization=[gradcam]")
    new = {path.stem for path in (run / "visualization").glob("gradcam*.png")} - {
        path.stem for path in kept
    }
    assert len(new) == 7
    assert "gradcam_a_s" in new
    assert not {"gradcam", "gradcam_"} & new


def test_the_first_images_are_shown_whatever_lies_before_them(run: Path, tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"a{number}.txt").write_text("no image")
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "z.png")
    words = draw(run, f"input={tmp_path}", "visualization=[gradcam]")
    assert any(words[stem]["alt"] == "Heat maps over 1 image." for stem in words)


@pytest.mark.parametrize("task", ["predict", "visualize"])
def test_an_empty_folder_is_called_so(task: str, run: Path, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".DS_Store").touch()
    with pytest.raises(InputError, match=r"^input=/.*: the folder holds no images$"):
        cnnexp.run([f"task={task}", f"run={run}", "tracking=none", f"input={tmp_path}"])


def test_what_is_not_there_is_refused(run: Path) -> None:
    with (run / "predictions.csv").open(newline="") as file:
        name = next(csv.DictReader(file))["path"]
    with pytest.raises(InputError, match=rf"^input={name}x: no such file, .*did you mean '{name}'"):
        draw(run, f"input={name}x")
    with pytest.raises(InputError, match=r"^input=a: runs= shows test images"):
        cnnexp.run([*TYPED, f"runs=[{run},{run.parent}]", "input=a"])
    with pytest.raises(InputError, match=r"^input=a: only task=predict run=<run> and task=vis"):
        cnnexp.run(["task=evaluate", f"run={run}", "tracking=none", "input=a"])
