"""Rules of the house: who may import whom, what stands beside what, and which types fit."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cnnexp"
CONFIGS = ROOT / "configs"
COMMON = {
    "cores",
    "errors",
    "files",
    "interrupts",
    "logits",
    "monitor",
    "config.types",
    "config.loss_options",
    "config.overlay",
}

# folder -> what of ours it may import beside itself and COMMON.
ALLOWED = {
    "datasets": {"data.download"},
    "augmentations": set(),
    "models": {"config.weights", "data.download"},
    "visualization": {
        "data.turns",
        "models.anatomy",  # of any network: what a layer sees
        "reporting.page",
        "reporting.picture",
        "reporting.style",
    },
    "data": {"datasets.source"},
    "training": {"data.batches", "data.lock", "data.progress", "data.seal", "reporting.journal"},
    "exporting": set(),
    "tracking": {"data.image_set", "exporting.program"},  # MLflow's model is an exported one, too
    "reporting": set(),
    "config": set(),
}


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules that a file imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_folder_has_its_rule() -> None:
    """Those that none may import but each other and the top level."""
    outer = {"tasks", "sweeps", "comparison", "doctor"}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == outer | ALLOWED.keys()


@pytest.mark.parametrize("folder", ALLOWED)
def test_arrows_point_one_way(folder: str) -> None:
    for path in (PACKAGE / folder).rglob("*.py"):
        for name in imports(path):
            if not name.startswith("cnnexp."):
                continue
            inner = name.removeprefix("cnnexp.")
            allowed = {folder} | COMMON | ALLOWED[folder]
            assert any(f"{inner}.".startswith(f"{a}.") for a in allowed), f"{path.name}: {name}"


@pytest.mark.parametrize(
    ("library", "folders"),
    [
        ("mlflow", {"tracking"}),
        ("hydra", {"command.py", "execution.py", "config", "sweeps"}),
        ("omegaconf", {"command.py", "execution.py", "config", "sweeps"}),
        ("optuna", {"sweeps"}),
        ("captum", {"visualization"}),
        ("onnxruntime", {"exporting"}),
    ],
)
def test_libraries_have_one_door(library: str, folders: set[str]) -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in FILES
        if any(f"{name}.".startswith(f"{library}.") for name in imports(path))
    }
    assert users <= folders
    assert users


def test_pyplot_is_never_used() -> None:
    """It keeps every figure, and picks a window system."""
    assert not [path for path in FILES if any("pyplot" in name for name in imports(path))]


@pytest.mark.parametrize("group", ["model", "dataset", "augmentation", "visualization", "task"])
def test_code_is_found_from_the_config(group: str) -> None:
    for path in (CONFIGS / group).glob("*.yaml"):
        target = yaml.safe_load(path.read_text()).get("_target_")
        if target is None:
            continue
        module = PACKAGE.parent.joinpath(*target.split(".")[:-1]).with_suffix(".py")
        assert module.is_file(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_says_what_it_is(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")
    assert lines[0].endswith("."), lines[0]


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "experiment").glob("*.yaml")), ids=lambda p: p.stem
)
def test_an_experiment_is_named_as_its_file(path: Path) -> None:
    text = path.read_text()
    assert yaml.safe_load(text)["name"] == path.stem
    assert f"experiment={path.stem}" in text, "its head shows its command"


def test_files_fit_one_sitting() -> None:
    long = {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 280}
    assert long == {}


def test_types() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
