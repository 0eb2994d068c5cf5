"""task=data: what is drawn is what training would see; nothing is built, nothing is trained."""

import csv
import json
import random
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cnnexp
from cnnexp.augmentations.crop_flip import CropFlip
from cnnexp.augmentations.photo import Photo
from cnnexp.augmenting import Augmented
from cnnexp.data.image_set import ImageSet, LeftOut
from cnnexp.data.thumbnail import thumbnail
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError
from cnnexp.tasks.data import (
    choose_samples,
    class_means,
    draw_augmented,
    kind,
    lost_files,
)
from cnnexp.training.classifier import Classifier
from cnnexp.training.loss import Loss
from cnnexp.training.phases import Phase

CPU = torch.device("cpu")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which no network can be built."""
    monkeypatch.chdir(tmp_path)
    for layer in (torch.nn.Conv2d, torch.nn.Linear, torch.nn.Sequential):
        monkeypatch.setattr(layer, "__init__", refuse)
    return tmp_path


def refuse(*given: object, **named: object) -> None:
    raise AssertionError("a network is built")


def words(folder: Path) -> dict:
    return json.loads((folder / "figures" / "pictures.json").read_text())


def test_digits(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = cnnexp.run(["task=data", "name=mine", "augmentation=none"])
    assert result.folder.parent == work / "outputs" / "data" / "mine"
    said = capsys.readouterr().out
    assert "1,797 images of 10 classes" in said
    assert "next      python -m cnnexp name=mine augmentation=none\n" in said
    pictures = words(result.folder)
    assert list(pictures) == ["samples", "class_balance", "mean_images", "near_copies"]
    with (result.folder / "near_copies.csv").open(newline="") as file:
        pairs = list(csv.DictReader(file))
    assert f"{sum(row['split'] == 'test' for row in pairs)} of 359 test images" in said
    assert {(row["split"], row["twin_split"]) for row in pairs} >= {("validation", "train")}
    assert all(row["twin_split"] != row["split"] for row in pairs)
    assert all(0.96 <= float(row["likeness"]) <= 1 for row in pairs)
    for stem in pictures:
        Image.open(result.folder / "figures" / f"{stem}.png").verify()
        assert f"{stem}.png" in said
    counts = pictures["class_balance"]["numbers"]
    assert sum(map(sum, (counts["train"], counts["validation"], counts["test"]))) == 1797
    assert result.metrics == {"images": 1797, "left_out": 0}
    assert not list(work.rglob(".*.png*")), "a half-written file was left"


def test_photographs_with_defects(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = work / "photos, ü=1"
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for i in range(8):
            pixels = np.random.default_rng((label, i)).integers(0, 256, (40, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.jpg")
    (root / "cat" / "copy.jpg").write_bytes((root / "cat" / "1.jpg").read_bytes())
    (root / "cat" / "empty.jpg").touch()
    (root / "dog" / "cut.jpg").write_bytes((root / "dog" / "1.jpg").read_bytes()[:900])
    (root / "dog" / "Thumbs.db").write_bytes(b"1")
    result = cnnexp.run(
        ["task=data", "dataset=image_folder", f"dataset.root={root}", "dataset.image_size=16",
         "augmentation=photo", "training.mixup=0.2"]
    )  # fmt: skip
    assert result.metrics == {"images": 16, "left_out": 4}
    pictures = words(result.folder)
    assert list(pictures) == [
        "samples", "augmentation", "class_balance", "mean_images", "left_out",
    ]  # fmt: skip
    assert pictures["left_out"]["numbers"] == {
        "left_out": 4,
        "files": 20,
        "kinds": {"copies": 1, "empty file": 1, "not an image file": 1, "truncated": 1},
    }
    assert pictures["augmentation"]["numbers"]["type"] == "float32"
    assert "not shown: mixup" in pictures["augmentation"]["alt"]
    assert pictures["class_balance"]["numbers"]["train"] == [6, 6]
    with (result.folder / "left_out.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    (line,) = [s for s in capsys.readouterr().out.splitlines() if s.startswith("next")]
    typed = shlex.split(line)[4:]
    assert cnnexp.run(["task=data", *typed]).metrics == result.metrics, "as it stands there"


def test_outputs_that_cannot_be_written(work: Path) -> None:
    (work / "outputs").mkdir()
    (work / "outputs" / "data").touch()
    with pytest.raises(InputError, match=r"paths\.outputs"):
        cnnexp.run(["task=data"])


def drawn_elsewhere(images: torch.Tensor) -> torch.Tensor:
    """An augmentation of one's own that uses Python's and numpy's generators."""
    return images // (2 + np.random.randint(50)) + random.randrange(50)  # noqa: NPY002


class Listens(nn.Module):
    """Keeps the images that the network is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.heard = nn.Parameter(torch.ones(1)), []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.heard.append(images.clone())
        return images.float().mean((2, 3))[:, :2] * self.weight


@pytest.mark.parametrize(
    "augment", [Photo(rotation=10.0), CropFlip(padding=1), drawn_elsewhere],
    ids=["photo", "crop", "own"],
)  # fmt: skip
def test_draws_are_those_of_training(augment: Callable) -> None:
    """The images that `Classifier` hands to its network in the first batch of an epoch."""
    generator = torch.Generator().manual_seed(3)
    batch = torch.randint(0, 256, (4, 3, 8, 8), generator=generator).byte()
    before, state = batch.clone(), torch.get_rng_state()
    theirs = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    draws = draw_augmented(augment, lambda: batch, count=2, seed=5, device=CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], theirs[0])  # noqa: NPY002
    assert random.getstate() == theirs[1]
    assert torch.equal(batch, before)
    assert draws.shape == (2, 4, 8, 8, 3)
    assert not np.array_equal(draws[0], draws[1])
    for epoch in range(2):
        listens = Listens()
        network = nn.Sequential()
        network.add_module("head", listens)
        phase = Phase(name="train", trainable=("head",), epochs=1, rates={"head": 1.0},
                      optimization=None, early_stopping=None)  # fmt: skip
        classifier = Classifier(
            network, classes=2, loss=Loss(), phase=phase, augment=augment, seed=5, first_epoch=epoch
        )
        classifier.training_step((batch, torch.tensor([0, 1, 0, 1]), torch.arange(4)), 0)
        (heard,) = listens.heard
        assert heard.dtype == torch.from_numpy(draws).dtype
        np.testing.assert_array_equal(heard.permute(0, 2, 3, 1).numpy(), draws[epoch])


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (lambda x: x.float(), "gives float32 from 7 to 7"),
        (lambda x: x / 255 - 0.5, "gives float32 from -0.47"),
        (lambda x: x / 0 * torch.nan, "gives float32 from nan"),
        (lambda x: x[:, :, 1:], r"of images \(2, 3, 4, 4\) it makes \(2, 3, 3, 4\)"),
        (lambda x: x.long(), r"gives torch\.int64"),
        (lambda x: x / torch.tensor(255.0, dtype=torch.float64).half(), r"gives torch\.float16"),
        (lambda x: None, "gives a NoneType"),
    ],
)
def test_what_no_network_takes_is_said(augment: Callable, said: str) -> None:
    batch = torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)
    with pytest.raises(InputError, match=f"augmentation: {said}"):
        draw_augmented(
            Augmented(augment, "augmentation"), lambda: batch, count=1, seed=0, device=CPU
        )


def test_samples_are_training_images_of_their_class() -> None:
    labels = np.arange(300) % 3
    members = np.arange(0, 300, 2)
    chosen = choose_samples(labels, members, 4, seed=0)
    for label in range(3):
        assert len(set(chosen[label].tolist())) == 20
        assert set(labels[chosen[label]]) == {label}
        assert set(chosen[label].tolist()) <= set(members.tolist())
    assert len(chosen[3]) == 0
    again = choose_samples(labels, members, 4, seed=0)
    assert all(map(np.array_equal, chosen, again))
    assert not np.array_equal(chosen[0], choose_samples(labels, members, 4, seed=1)[0])


def test_class_means_by_hand() -> None:
    images = np.zeros((1300, 2, 2, 3), dtype=np.uint8)
    images[:1200, 0, 0, 0] = 255
    images[1200:1250, 1, 1, 2] = 51
    labels = np.repeat([0, 1], [1200, 100])
    means = class_means(images, labels, np.arange(100, 1300), 3)
    assert means[0, 0, 0, 0] == pytest.approx(1, rel=1e-5)
    assert means[1, 1, 1, 2] == pytest.approx(0.1)
    assert means[0].sum() + means[1].sum() == pytest.approx(1.1, rel=1e-5)
    assert not means[2].any()


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("exact duplicate of a: b.jpg, which is in another class: dog", "copies in another class"),
        ("truncated: the file ends too early", "truncated"),
        ("not an image (it looks like a PDF)", "not an image"),
        ("1x1 pixels: too small to show anything", "too small to show anything"),
        ("99x9,999 pixels: too many (a decompression bomb?)", "too many"),
        ("1,200 MiB: larger than 64 MiB", "larger than 64 MiB"),
        ("hidden folder", "hidden folder"),
    ],
)
def test_kinds_of_reasons(reason: str, short: str) -> None:
    assert kind(reason) == short


def test_copies_stand_beside_what_they_repeat() -> None:
    """b repeats a; c is refused, and its bytes are an image's first half; d is in no class."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    paths = ["a", "b", "good", "c"]
    reasons = {
        "b": "exact duplicate of a",
        "c": "truncated: the file ends too early",
        "d": "outside the class folders",
        "good": "outside the class folders",  # of the same name, elsewhere
    }
    source = Source(
        name="x", classes=("k",), paths=paths, labels=np.zeros(4, dtype=np.int64),
        read={3: b"no image"}.__getitem__, fingerprint="",
    )  # fmt: skip
    images = ImageSet(
        name="x", classes=("k",), images=pixels, labels=np.zeros(3, dtype=np.int64),
        paths=("a", "b", "good"), sha256=("1", "1", "2"), split={},
        left_out=tuple(LeftOut(path, reason) for path, reason in reasons.items()), notes=(),
        digest="",
    )  # fmt: skip
    found = {lost.path: lost for lost in lost_files(source, images)}
    assert list(found) == ["b", "c", "d", "good"]
    assert np.array_equal(found["b"].pixels, pixels[1])
    assert np.array_equal(found["b"].kept, pixels[0])
    assert [found[path].pixels for path in ("c", "d", "good")] == [None, None, None]


def test_copies_in_two_classes_stand_side_by_side() -> None:
    """Neither is kept: one of the labels is wrong."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    gone = {"k/a": "exact duplicate of l/b", "l/b": "exact duplicate of k/a"}
    source = Source(
        name="x", classes=("k", "l"), paths=["k/a", "l/b", "k/c"],
        labels=np.array([0, 1, 0]), read={}.__getitem__, fingerprint="",
    )  # fmt: skip
    images = ImageSet(
        name="x", classes=("k", "l"), images=pixels, labels=np.array([0, 1, 0]),
        paths=("k/a", "l/b", "k/c"), sha256=("1", "1", "2"), split={},
        left_out=tuple(LeftOut(path, reason) for path, reason in gone.items()), notes=(),
        digest="",
    )  # fmt: skip
    first, second = lost_files(source, images)
    assert np.array_equal(first.pixels, pixels[0])
    assert np.array_equal(first.kept, pixels[1])
    assert np.array_equal(second.kept, pixels[0])


def test_what_is_left_of_a_truncated_file(tmp_path: Path) -> None:
    """The rows before the cut; the files that follow are read as carefully as before."""
    from PIL import ImageFile

    path = tmp_path / "a.jpg"
    Image.fromarray(np.full((64, 128, 3), 200, dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    seen = thumbnail(whole)
    assert seen.shape == (64, 128, 3)
    assert abs(int(seen[0, 0, 0]) - 200) <= 2
    cut = thumbnail(whole[: len(whole) - 60])
    assert cut.shape == (64, 128, 3)
    assert abs(int(cut[0, 0, 0]) - 200) <= 2
    assert abs(int(cut[-1, -1, 0]) - 200) > 20
    assert thumbnail(whole, side=32).shape == (16, 32, 3)
    for nothing in (b"", b"<html>", whole[:40], np.zeros((4, 4, 3), dtype=np.uint8)):
        assert thumbnail(nothing) is None
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (100, 100)).save(path)
    assert thumbnail(path.read_bytes()) is not None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9_999)
    assert thumbnail(path.read_bytes()) is None
