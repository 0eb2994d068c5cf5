"""task=export: one file that answers as the run did, where nothing of ours is installed."""

import copy
import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

import cnnexp
from cnnexp.__main__ import main
from cnnexp.config.compose import compose, resolved
from cnnexp.config.instantiate import call
from cnnexp.data.gate import read
from cnnexp.data.resize import fit
from cnnexp.errors import InputError
from cnnexp.experiment import load_images
from cnnexp.exporting.onnx_file import load_onnx, write_onnx
from cnnexp.exporting.program import to_program
from cnnexp.exporting.torch_file import load_torch, write_torch
from cnnexp.models.normalize import Normalize
from cnnexp.runs import Result
from cnnexp.sources import find_images
from cnnexp.tasks import export

CONFIGS = Path(__file__).parents[1] / "configs" / "model"
SHORT = ["debug=smoke", "model.widths=[[8],[16]]", "visualization=none", "tracking=none"]
RUNS = {
    "ten classes": ["dataset=digits", "trainer.precision=32-true"],
    "one logit": ["dataset=shapes", "dataset.images=240", "dataset.image_size=32",
                  "dataset.classes=2", "training.loss=bce", "dataset.resize=pad",
                  "trainer.precision=32-true"],
}  # fmt: skip
FILES = {"onnx": "model.onnx", "torch": "model.pt2"}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work with 'quotes', ü")


@pytest.fixture(scope="module")
def runs(work: Path) -> Callable[[str], Result]:
    """Trained when first asked for."""
    done: dict[str, Result] = {}

    def get(name: str) -> Result:
        if name not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(work)
                done[name] = cnnexp.run([*SHORT, *RUNS[name]])
        return done[name]

    return get


def words(run: Result | Path, kind: str = "onnx") -> list[str]:
    folder = str(run.folder if isinstance(run, Result) else run).replace("'", "\\'")
    return ["task=export", f"run='{folder}'", f"format={kind}", "tracking=none"]


def predictions(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Indices (N,), probabilities (N, K), as the run wrote them."""
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shares = [[float(row[key]) for key in row if key.startswith("p_")] for row in rows]
    return np.array([int(row["index"]) for row in rows]), np.array(shares)


def in_a_fresh_process(code: list[str], kind: str, folder: Path) -> None:
    """The lines that were printed, over photo.jpg, and then over images.npy: what they give goes
    to photo.npy and answers.json.
    """
    absent = ["cnnexp", "torch", "pytorch_lightning"] if kind == "onnx" else ["cnnexp"]
    before = ["import sys, json", *(f"sys.modules[{name!r}] = None" for name in absent)]
    many = "numpy.load('images.npy')"
    if kind == "onnx":
        read = [
            "about = session.get_modelmeta().custom_metadata_map",
            "classes = json.loads(classes)",
        ]
        again = "session.run(None, {'images': images[:n]})[0]"
    else:
        many = f"torch.from_numpy({many})"
        read = ["about = json.loads(about['classes.json'])", "classes = about['classes']"]
        again = "network(images[:n])"
    after = ["assert probabilities.shape == (1, len(classes))",
             "numpy.save('photo.npy', images)",
             f"images = {many}",
             f"few = [{again}.tolist() for n in (None, 1, 5)]",
             "json.dump({'few': few, 'classes': classes, 'about': dict(about)}, "
             "open('answers.json', 'w'))"]  # fmt: skip
    program = [*before, *code, *read, *after]
    done = subprocess.run(
        [sys.executable, "-I", "-c", "\n".join(program)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", RUNS)
def test_it_answers_as_the_run_did(
    name: str,
    kind: str,
    runs: Callable[[str], Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = runs(name)
    assert run.folder is not None
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    result = cnnexp.run(words(run, kind))
    said, complaints = capfd.readouterr()
    assert complaints == ""
    written = {path.name for path in (run.folder / "export").iterdir()}
    assert {FILES[kind]} <= written <= set(FILES.values())
    assert result.metrics["test/accuracy"] == pytest.approx(run.metrics["test/accuracy"])
    assert "all predictions agree" in said
    assert f"(the run's: {run.metrics['test/accuracy']:.4f} in 32-true)" in said
    lines = said.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("next "))

    config = yaml.safe_load((run.folder / "config.yaml").read_text())
    indices, shares = predictions(run.folder)
    pixels = load_images(config, find_images(config)).images[indices]
    np.save(tmp_path / "images.npy", np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    noise = np.random.default_rng(0).integers(0, 255, (53, 90, 4), dtype=np.uint8)
    photo = tmp_path / "photo.jpg"
    if kind == "onnx":
        Image.fromarray(noise).save(photo, "PNG")  # with transparent parts
    else:
        Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(photo, "PNG")
    in_a_fresh_process([line[10:] for line in lines[start:]], kind, tmp_path)
    read_by_us = read(photo.read_bytes())
    assert not isinstance(read_by_us, str)
    options = config["dataset"]
    ours = fit(read_by_us, options["image_size"], options["resize"])
    np.testing.assert_array_equal(np.load(tmp_path / "photo.npy"), ours.transpose(2, 0, 1)[None])
    given: dict[str, Any] = json.loads((tmp_path / "answers.json").read_text())
    for part, count in zip(given["few"], (None, 1, 5), strict=True):
        np.testing.assert_allclose(part, shares[:count], atol=2e-6)  # six digits are in the CSV
    classes = json.loads((run.folder / "run.json").read_text())["classes"]
    assert given["classes"] == classes
    size = config["dataset"]["image_size"]
    assert int(given["about"]["image_size"]) == size
    assert given["about"]["resize"] == config["dataset"]["resize"]
    assert f"{size}x{size}" in given["about"]["images"]


def test_onnx_names_what_goes_in_and_out(runs: Callable[[str], Result]) -> None:
    import onnx

    run = runs("ten classes")
    cnnexp.run(words(run))
    assert run.folder is not None
    model = onnx.load(run.folder / "export" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    ends = {
        end.name: [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim]
        for end in [*model.graph.input, *model.graph.output]
    }
    assert ends == {"images": ["batch", 3, 32, 32], "probabilities": ["batch", 10]}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert model.opset_import[0].version == 18


@pytest.mark.parametrize(("wrong", "kind"), [(0.3, "onnx"), (float("nan"), "torch")])
def test_a_file_that_answers_otherwise_is_not_kept(
    wrong: float,
    kind: str,
    runs: Callable[[str], Result],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = runs("one logit")
    assert run.folder is not None
    there = {path: path.read_bytes() for path in (run.folder / "export").glob("*")}

    def spoilt(network: nn.Sequential, image_size: int) -> torch.export.ExportedProgram:
        network = copy.deepcopy(network)
        bias = network.head[-1].bias  # type: ignore[union-attr,index]
        with torch.no_grad():
            bias.add_(wrong)
        return to_program(network, image_size)

    monkeypatch.setattr(export, "to_program", spoilt)
    code = main(words(run, kind))
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert "answers otherwise than the trained one" in line
    assert {path: path.read_bytes() for path in (run.folder / "export").glob("*")} == there


def test_a_bfloat16_run_is_compared_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = cnnexp.run([*SHORT, "trainer.precision=bf16-mixed", "model.norm=group"])
    result = cnnexp.run(words(run, "torch"))
    assert result.metrics["largest_difference"] < 1e-5
    assert "in bf16-mixed, whose probabilities are rounded more)" in capsys.readouterr().out


MODEL = """
from collections import OrderedDict
import torch
from torch import nn

class Fickle(nn.Module):
    def forward(self, maps):
        return maps if maps.is_meta or maps.sum() > 0 else -maps  # the layer table has no values

class Odd(nn.Module):
    def forward(self, logits):
        square = torch.eye(3, device=logits.device)
        return logits + torch.linalg.eigvals(square).real.sum()

def own(image_size: int, outputs: int, *, odd: bool = False) -> nn.Sequential:
    dense = nn.Linear(3 * image_size**2, outputs)
    head = nn.Sequential(nn.Flatten(), dense, *([Odd()] if odd else []))
    return nn.Sequential(OrderedDict(block1=nn.Identity() if odd else Fickle(), head=head))
"""


@pytest.mark.parametrize(
    ("odd", "kind", "parts"),
    [("false", "torch", ["data-dependent"]), ("true", "onnx", ["linalg_eig"])],
)
def test_a_network_that_cannot_be_exported(
    odd: str,
    kind: str,
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "mine"
    (mine / "model").mkdir(parents=True)
    (mine / "own.py").write_text(MODEL)
    (mine / "model" / "own.yaml").write_text("# Mine.\n_target_: own.own\nodd: false\n")
    monkeypatch.chdir(tmp_path)
    short = [word for word in SHORT if "widths" not in word]
    run = cnnexp.run([*short, "model=own", f"model.odd={odd}"], config_dir=mine)
    capfd.readouterr()
    code = main([*words(run, kind), "--config-dir", str(mine)])
    said, complaints = capfd.readouterr()
    assert code == 2
    (line,) = complaints.splitlines()
    assert line.startswith(f"error: format={kind}: this network cannot be exported: ")
    for part in parts:
        assert part in line
    assert len(said.splitlines()) == 2, said
    assert run.folder is not None
    assert not (run.folder / "export").exists()


def test_wrong_words(
    runs: Callable[[str], Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = runs("ten classes")
    monkeypatch.chdir(tmp_path)
    for typed, parts in (
        (words(run, "onx"), ["format=onx", "did you mean 'onnx'?"]),
        (["task=export"], ["task=export", "needs run="]),
        (["task=export", "run=outputs/no"], ["run=outputs/no", "no such folder"]),
    ):
        assert main(typed) == 2
        (line,) = capsys.readouterr().err.splitlines()
        for part in parts:
            assert part in line
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages(
    runs: Callable[[str], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cnnexp.exporting.onnx_file.find_spec", lambda name: None if name != "onnx" else name
    )
    with pytest.raises(InputError, match=r"onnxscript, onnxruntime; .*'cnnexp\[export\]'"):
        cnnexp.run(words(runs("ten classes")))


def test_images_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unchecked file is not written; the check takes the images where they are now."""
    from PIL import Image

    noise = np.random.default_rng(0)
    for number in range(64):
        path = tmp_path / "photos" / ("a", "b")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    images = ["dataset=image_folder", "dataset.root=photos", "dataset.image_size=16"]
    run = cnnexp.run([*SHORT, *images])
    new = (tmp_path / "photos").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"dataset\.root=.*photos: no such.* is checked on them"):
        cnnexp.run(words(run, "torch"))
    assert run.folder is not None
    assert not (run.folder / "export").exists()
    cnnexp.run([*words(run, "torch"), f"dataset.root={new}"])
    assert (run.folder / "export" / "model.pt2").is_file()
    (new / "a").rename(new / "c")
    with pytest.raises(InputError, match=r"classes are b, c.*checked on the run's test images"):
        cnnexp.run([*words(run, "torch"), f"dataset.root={new}"])


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 50])
@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_model_is_exported(name: str, size: int) -> None:
    """Weights stay random: nothing is downloaded."""
    node = resolved(compose([f"model={name}"]).config)["model"]
    if "weights" in node:
        node["weights"] = None
    torch.manual_seed(0)
    network = call(node, image_size=size, outputs=7)
    if "normalize" not in dict(network.named_children()):
        network = nn.Sequential(Normalize([0.5] * 3, [0.25] * 3), network)
    network.eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, size, size), dtype=np.uint8)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(pixels)).softmax(1).numpy()
    program = to_program(network, size)
    for answer in (load_onnx(write_onnx(program, {})), load_torch(write_torch(program, {}))):
        np.testing.assert_allclose(answer(pixels), wanted, atol=1e-5)
