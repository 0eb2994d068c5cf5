"""A folder to work in, with a cache of its own; one in which runs have ended, for what reads it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import cnnexp

SMALL = [
    "dataset=shapes", "dataset.images=80", "dataset.image_size=24", "dataset.batch_size=16",
    "model.widths=[[4],[4]]", "model.dense=[]", "name=small", "visualization=none",
    "trainer.max_epochs=1", "tracking=none",
]  # fmt: skip
COMMANDS = {
    "evaluate": ["task=evaluate", "run=given"],
    "visualize": ["task=visualize", "run=given", "visualization=kernels"],
    "predict": ["task=predict", "run=given", "input=photo.png"],
    "export": ["task=export", "run=given", "format=torch"],
    "compare": ["task=compare", "runs=[other,given]"],
    "diff": ["task=diff", "a=other", "b=given"],
    "reproduce": ["task=reproduce", "run=given"],
    "init_from": [*SMALL, "init_from=given"],
    "resume": ["resume=given"],
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="session")
def small() -> list[str]:
    """The words of a run of a second."""
    return SMALL


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs, `whole` and `other`, and a photograph."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CNNEXP_CACHE", str(folder / "cache"))
        for seed, name in enumerate(("whole", "other")):
            done = cnnexp.run([*SMALL, f"seed={seed}"]).folder
            assert done is not None
            done.rename(folder / name)
        Image.new("RGB", (20, 20), "red").save("photo.png")
    return folder


@pytest.fixture
def commands() -> dict[str, list[str]]:
    """All that read the folder of a run, `given`, by their names."""
    return COMMANDS


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> str:
    """The name of one of them: a test of each."""
    return str(request.param)


@pytest.fixture
def give(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`whole` anew as the folder `given`, in the working folder, for the command of that name."""
    monkeypatch.chdir(runs)
    monkeypatch.setenv("CNNEXP_CACHE", str(runs / "cache"))

    def given(command: str) -> Path:
        folder = Path("given")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree("whole", folder)
        if command == "resume":
            info = json.loads((folder / "run.json").read_text())
            (folder / "run.json").write_text(json.dumps({**info, "status": "KILLED"}))
        return folder

    return given
