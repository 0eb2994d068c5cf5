"""What is recorded of the surroundings, and what must not be."""

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnexp.tracking.environment import as_tags, capture, git_state, mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://me:secret@host:5000/x", "http://***@host:5000/x"),
        ("tracking.uri=https://token@host", "tracking.uri=https://***@host"),
        ("https://me:se@cret@host/a", "https://***@host/a"),
        ("'http://a:b@x' and 'http://c:d@y'", "'http://***@x' and 'http://***@y'"),
        ("http://host/path/@me", "http://host/path/@me"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_passwords_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-b", "trunk")
    assert git_state(tmp_path) is None  # no commit yet
    file = tmp_path / "a.txt"
    file.write_text("one\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").touch()
    clean = {"commit": commit, "branch": "trunk", "dirty": False, "diff": "", "digest": ""}
    assert git_state(tmp_path) == clean
    file.write_text("one\ntwo\n")
    state = git_state(tmp_path)
    assert state is not None
    assert (state["dirty"], state["diff"]) == (True, "1 file changed, 1 insertion(+)")
    # Another edit of as many lines, and a model that git does not know, are other code.
    file.write_text("one\nTWO\n")
    other = git_state(tmp_path)
    assert other is not None
    assert (other["diff"], other["digest"] != state["digest"]) == (state["diff"], True)
    (tmp_path / "model.py").write_text("a = 1\n")
    new = git_state(tmp_path)
    assert new is not None
    assert new["diff"] == "1 file changed, 1 insertion(+), 1 new Python file"
    assert new["digest"] != other["digest"]
    (tmp_path / "model.py").unlink()
    file.write_text("one\ntwo\n")
    assert git_state(tmp_path) == state
    # The person's own code first; a folder without git says nothing.
    found = capture([tmp_path.parent / "nowhere", tmp_path])
    assert found["git"] == state
    assert found["cnnexp_git"] == capture()["git"], "and this package's, which is another"
    assert capture()["cnnexp_git"] is None


def test_git_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(Path.cwd()) is None
    assert capture()["git"] is None


def test_capture_is_json_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2-from-environment")
    monkeypatch.setattr(
        sys, "orig_argv", ["python", "-m", "cnnexp", "tracking.uri=http://me:hunter2@host"]
    )
    environment = capture()
    text = json.dumps(environment) + json.dumps(as_tags(environment))
    assert "hunter2" not in text
    assert environment["command"] == "python -m cnnexp tracking.uri=http://***@host"
    assert environment["python"] == platform.python_version()
    assert environment["packages"]["numpy"] == __import__("numpy").__version__
    assert environment["cores"] >= environment["usable_cores"] >= 1
    assert 0.1 < environment["memory_gib"] < 100_000
    assert environment["cpu"]


def test_tags_without_git_and_gpu() -> None:
    tags = as_tags(
        {
            "command": "python -m cnnexp",
            "python": "3.11.7",
            "packages": {"torch": "2.15.0", "numpy": "2.0"},
            "gpus": {},
            "git": None,
        }
    )
    user = tags.pop("mlflow.user")
    assert user
    assert tags == {
        "cnnexp.command": "python -m cnnexp",
        "mlflow.source.name": "python -m cnnexp",
        "mlflow.source.type": "LOCAL",
        "python": "3.11.7",
        "version.torch": "2.15.0",
    }


def test_tags_with_git_and_gpu() -> None:
    tags = as_tags(
        {
            "command": "x",
            "python": "3",
            "packages": {},
            "gpus": {"devices": [{"name": "A"}, {"name": "B"}]},
            "git": {"commit": "abc", "branch": "main", "dirty": True},
        }
    )
    assert tags["gpu"] == "A, B"
    assert (tags["git.commit"], tags["git.branch"], tags["git.dirty"]) == ("abc", "main", "true")
    assert tags["mlflow.source.git.commit"] == "abc"
