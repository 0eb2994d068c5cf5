"""An installed wheel works outside the checkout, with its configs inside."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*PIP, "wheel", str(ROOT), *options], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(folder), str(wheel)], check=True)
    return folder


def python(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_config_is_in_the_wheel(wheel: Path) -> None:
    inside = {name.removeprefix("cnnexp/") for name in zipfile.ZipFile(wheel).namelist()}
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert configs <= inside
    assert not [name for name in inside if name.startswith("tests")]


@pytest.mark.slow
def test_it_runs_elsewhere(installed: Path, tmp_path: Path) -> None:
    where = python(installed, tmp_path, "-c", "import cnnexp; print(cnnexp.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed)
    mine = tmp_path / "mine" / "experiment"
    mine.mkdir(parents=True)
    (mine / "own.yaml").write_text(
        "# @package _global_\n# Mine.\nname: own\ntrainer:\n  max_epochs: 1\n"
    )
    words = ["-m", "cnnexp", "--config-dir", "mine", "+experiment=own", "debug=smoke",
             "visualization=none", "tracking=none"]  # fmt: skip
    done = python(installed, tmp_path, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "outputs" / "smoke").iterdir())) == 1
