"""task=export: a finished run's network as one file, checked on the run's test images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cnnexp import __version__
from cnnexp.data.image_set import ImageSet
from cnnexp.errors import InputError, first_line
from cnnexp.exporting.onnx_file import check_packages, load_onnx, write_onnx
from cnnexp.exporting.program import to_program
from cnnexp.exporting.torch_file import load_torch, write_torch
from cnnexp.files import shown_path, whole_file
from cnnexp.finished import FinishedRun, load_run, load_test_images
from cnnexp.logits import to_probabilities
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result

FORMATS = {
    "onnx": ("model.onnx", write_onnx, load_onnx),
    "torch": ("model.pt2", write_torch, load_torch),
}
# Of a probability. Both sides compute in float32 and add in another order, which moves it by about
# 5e-7 (digits, baseline; deeper networks more); bfloat16 instead of float32 moves it by 5e-3.
TOLERANCE = 1e-3
AT_ONCE = 64  # images
ROUNDED = 0.01  # by less than that bfloat16 moves an accuracy
HOW = {
    "crop": "the middle square, resized to {0}x{0} (bicubic, antialiased)",
    "stretch": "resized to {0}x{0} whatever the proportions (bicubic, antialiased)",
    "pad": "resized until the longer side is {0} (bicubic, antialiased), on a black {0}x{0} square",
}
PILLOW = {  # the same, for who uses the file
    "crop": "ImageOps.fit(photo, ({0}, {0}))",
    "stretch": "photo.resize(({0}, {0}))",
    "pad": "ImageOps.pad(photo, ({0}, {0}), color=0)",
}


@dataclass(frozen=True)
class Checked:
    """What the file answers on N test images, beside the network in float32 on the CPU.

    difference: the largest between two probabilities. same: images with the same prediction.
    """

    images: int
    difference: float
    same: int
    accuracy: float


def export(config: Mapping[str, Any]) -> Result:
    """The file appears whole and checked, or not at all."""
    kind = config["format"]
    name, write, load = FORMATS[kind]
    if kind == "onnx":
        check_packages()
    with Journal() as journal:
        run = load_run(config, partial(journal.topic, "note"))
        journal.topic("run", shown_path(run.folder))
        images = find_test_images(run, journal)
        count = len(images.split["test"])
        journal.topic("export", f"{name}, in float32, and its answers on {count:,} test images …")
        try:
            program = to_program(run.network, run.config["dataset"]["image_size"])
            content = write(program, describe(run))
            checked = check(run.network, images, load(content))
        except Exception as error:
            raise InputError(
                f"format={kind}: this network cannot be exported: {reason(error)}"
            ) from error
        if not checked.difference <= TOLERANCE:  # nor where it is not a number
            raise InputError(
                f"format={kind}: the exported network answers otherwise than the trained one: "
                f"probabilities differ by up to {checked.difference:.1g} ({TOLERANCE:g} is "
                f"allowed), {checked.same:,} of {count:,} predictions agree; nothing was written"
            )
        journal.topic("checked", agreement(checked))
        journal.topic(
            "test", f"accuracy {checked.accuracy:.4f}{the_runs_own(run, checked.accuracy)}"
        )
        path = run.folder / "export" / name
        with whole_file(path, "wb") as file:
            file.write(content)
        journal.topic("saved", f"{shown_path(path)}  ({len(content) / 1e6:,.1f} MB)")
        journal.topics("next", how_to_use(kind, path, run))
    metrics = {"test/accuracy": checked.accuracy, "largest_difference": checked.difference}
    return Result(metrics, run.folder, run.network)


def find_test_images(run: FinishedRun, journal: Journal) -> ImageSet:
    try:
        return load_test_images(run, partial(journal.topic, "note"))
    except InputError as error:
        raise InputError(
            f"{error} (an exported file is checked on the run's test images: "
            "dataset.root=… says where they are now)"
        ) from None


def describe(run: FinishedRun) -> dict[str, Any]:
    """What the file says of itself."""
    options = run.config["dataset"]
    size, resize = options["image_size"], options["resize"]
    return {
        "classes": list(run.classes),
        "image_size": size,
        "resize": resize,
        "images": f"uint8 (B, 3, {size}, {size}): RGB, 0 to 255, upright, "
        f"{HOW[resize].format(size)}; normalisation is inside",
        "probabilities": f"float32 (B, {len(run.classes)}): of each class, in their order",
        "made_by": f"cnnexp {__version__}, run {run.folder.name}",
    }


def check(
    network: nn.Module, images: ImageSet, answer: Callable[[np.ndarray], np.ndarray]
) -> Checked:
    """Both on the whole test split."""
    test = images.split["test"]
    ours, theirs = [], []
    for part in np.array_split(test, -(-len(test) // AT_ONCE)):
        pixels = np.ascontiguousarray(images.images[part].transpose(0, 3, 1, 2))  # (B, 3, S, S)
        with torch.inference_mode():
            ours.append(to_probabilities(network(torch.from_numpy(pixels))).numpy())
        theirs.append(answer(pixels))
    wanted, given = np.concatenate(ours), np.concatenate(theirs)  # (N, K)
    predictions = given.argmax(1)
    return Checked(
        images=len(test),
        difference=float(np.abs(given - wanted).max()),
        same=int((predictions == wanted.argmax(1)).sum()),
        accuracy=float((predictions == np.asarray(images.labels)[test]).mean()),
    )


def agreement(checked: Checked) -> str:
    other = checked.images - checked.same
    same = "all predictions agree" if not other else f"{other:,} predictions differ, near ties"
    return (
        f"{checked.images:,} test images: probabilities differ by at most "
        f"{checked.difference:.1g} from the network's, {same}"
    )


def the_runs_own(run: FinishedRun, now: float) -> str:
    """now: the accuracy of today's answers, which rounding may move by an image or two."""
    accuracy, precision = run.info.get("metrics", {}).get("test/accuracy"), run.info["precision"]
    near = accuracy is not None and abs(accuracy - now) < ROUNDED
    rounded = ", whose probabilities are rounded more" if near and precision != "32-true" else ""
    return "" if accuracy is None else f" (the run's: {accuracy:.4f} in {precision}{rounded})"


def how_to_use(kind: str, path: Path, run: FinishedRun) -> list[str]:
    """Python that runs the file on a photograph."""
    size = run.config["dataset"]["image_size"]
    square = PILLOW[run.config["dataset"]["resize"]].format(size)
    pixels = f"numpy.stack([{square}]).transpose(0, 3, 1, 2)"
    what = f"# uint8 (N, 3, {size}, {size})"
    photo = [
        "from PIL import Image, ImageOps",
        'photo = ImageOps.exif_transpose(Image.open("photo.jpg"))',
        'grey = photo.mode.startswith("I")  # of 16 bits',
        'photo = Image.fromarray((numpy.asarray(photo) // 257).astype("uint8")) if grey else photo',
        'photo = photo.convert("RGBA")  # what is transparent, on white',
        'photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)',
        'photo = photo.convert("RGB")',
    ]
    if kind == "onnx":
        return [
            "import numpy, onnxruntime",
            *photo,
            f"images = {pixels}  {what}",
            f"session = onnxruntime.InferenceSession({str(path)!r})",
            '(probabilities,) = session.run(None, {"images": images})  '
            f"# (N, {len(run.classes)})",
            'classes = session.get_modelmeta().custom_metadata_map["classes"]  # JSON',
        ]
    return [
        "import numpy, torch",
        *photo,
        f"images = torch.from_numpy({pixels})  {what}",
        'about = {"classes.json": ""}  # to be filled with the classes',
        f"network = torch.export.load({str(path)!r}, extra_files=about).module()",
        f"probabilities = network(images)  # (N, {len(run.classes)})",
    ]


def reason(error: BaseException) -> str:
    """The first line of what all the rest came from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
