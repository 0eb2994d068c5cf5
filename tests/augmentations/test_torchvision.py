"""torchvision's transforms by their names in a config."""

from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from cnnexp.__main__ import main
from cnnexp.augmentations.torchvision import Torchvision
from cnnexp.errors import InputError

IMAGES = torch.randint(
    0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


@pytest.mark.parametrize(
    "transforms",
    [
        ["RandomHorizontalFlip", {"name": "RandomErasing", "p": 1.0}],
        ["RandAugment", {"name": "AutoAugment", "policy": "cifar10"}, "AugMix"],
        [{"name": "RandomAffine", "degrees": 30, "interpolation": "bilinear"}],
        [{"name": "RandomApply", "transforms": [{"name": "GaussianBlur", "kernel_size": 3}]}],
        [{"name": "RandomChoice", "transforms": ["RandomVerticalFlip", "RandomInvert"]}],
        [{"name": "ToDtype", "dtype": "float32", "scale": True}, "GaussianNoise"],
    ],
    ids=lambda transforms: "_".join(str(entry) for entry in transforms)[:40],
)
def test_any_of_them(transforms: list[Any]) -> None:
    torch.manual_seed(0)
    made = Torchvision(transforms)(IMAGES)
    assert made.shape == IMAGES.shape
    assert made.dtype == (torch.float32 if transforms[-1] == "GaussianNoise" else torch.uint8)
    assert not torch.equal(made, IMAGES)


def test_as_torchvision_does_it_to_each_image() -> None:
    torch.manual_seed(0)
    ours = Torchvision([{"name": "RandomRotation", "degrees": [20, 40]}, "RandomVerticalFlip"])
    made = ours(IMAGES)
    torch.manual_seed(0)
    theirs = v2.Compose([v2.RandomRotation([20, 40]), v2.RandomVerticalFlip()])
    assert torch.equal(made, torch.stack([theirs(image) for image in IMAGES]))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("RandomRotatoin", r"\[1\]\.name=RandomRotatoin: .* did you mean 'RandomRotation'\?"),
        ({"degrees": 3}, r"\[1\]\.name=None: torchvision.transforms.v2 has no such transform"),
        ("functional", r"\[1\]\.name=functional: torchvision.transforms.v2 has no such transform"),
        ("Transform", "has no such transform"),
        ("MixUp", r"mixes labels, too; use training\.mixup"),
        ({"name": "RandomErasing", "odds": 1}, r"\[1\]\.odds: RandomErasing takes no .* scale"),
        ({"name": "RandomErasing", "p": 3}, r"\[1\]: RandomErasing: `p` should be"),
        ({"name": "RandomErasing", "p": "a"}, r"\[1\]: RandomErasing: '<=' not supported"),
        ("GaussianBlur", r"\[1\]: GaussianBlur: .*missing .* 'kernel_size'"),
        ({"name": "RandomAffine", "degrees": 3, "interpolation": "bilnear"}, "mean 'bilinear'"),
        ({"name": "RandomApply", "transforms": ["No"]}, r"\[1\]\.transforms\[0\]\.name=No: "),
        ({"name": "RandomApply", "transforms": "RandAugment"}, "RandAugment: must be a list of"),
        (
            {"name": "RandomApply", "transforms": []},
            r"transforms=\[\]: must be a list of transforms",
        ),
        ({"name": "RandomErasing", 3: 4}, r"\[1\]\.3: RandomErasing takes no such argument"),
        ({"name": "RandomCrop", "size": 40}, r"\[1\]: RandomCrop: Required crop size"),
        ({"name": "RandAugment", "magnitude": 40}, r"\[1\]: RandAugment: "),
        ({"name": "RandomZoomOut", "p": 0.5}, "some images become .* and some torch.uint8"),
        ("ToPILImage", r"\[1\]: ToPILImage gives no tensor, but Image; leave it out"),
    ],
    ids=str,
)
def test_what_is_wrong(entry: Any, said: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(InputError, match=said):
        Torchvision(["Identity", entry])(IMAGES)


def test_on_the_command_line(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    command = ["dataset=shapes", "dataset.images=200", "debug=smoke", "tracking=none"]
    typed = "augmentation.transforms=[RandomGrayscale,{name: RandomErasing, p: 0.5}]"
    assert main([*command, "augmentation=torchvision", typed, "visualization=none"]) == 0
    (config,) = tmp_path.glob("outputs/*/*/config.yaml")
    assert "name: RandomErasing" in config.read_text()
    typed = "augmentation.transforms=[{name: RandomCrop, size: 8}]"
    capsys.readouterr()
    assert main([*command, "augmentation=torchvision", typed]) == 2
    assert "it makes (2, 3, 8, 8); the shape stays" in capsys.readouterr().err
    assert len(list(tmp_path.glob("outputs/*/*"))) == 1
