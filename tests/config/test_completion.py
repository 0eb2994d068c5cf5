"""Tab completion, in a real bash."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnexp.config.completion import BASH, hydra_line

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python -m cnnexp model=l", "cnnexp model=l"),
        ("/usr/bin/python3.11 -m cnnexp ", "cnnexp "),
        ("cnnexp +experiment=quickstart mod", "cnnexp experiment=quickstart mod"),
        ("cnnexp +experiment=q", "cnnexp +experiment=q"),
        ("cnnexp -m seed=0,1 mo", "cnnexp -m seed=0,1 mo"),
    ],
)
def test_the_line_that_hydra_gets(line: str, expected: str) -> None:
    assert hydra_line(line) == expected


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("cnnexp model=len", {"model=lenet5"}),
        ("cnnexp +experiment=q", {"+experiment=quickstart"}),
        ("cnnexp experiment=q", {"experiment=quickstart"}),
        ("cnnexp +experiment=quickstart optimizer.l", {"optimizer.lr="}),
        ("python -m cnnexp optim", {"optimizer=", "optimizer."}),
        ("cnnexp trainer.max_e", {"trainer.max_epochs="}),
    ],
)
def test_answers(line: str, some: set[str], run_main: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    code, out, err = run_main("-sc", "query=bash")
    assert (code, err) == (0, "")
    assert set(out.split()) == some
    assert os.environ["COMP_LINE"] == line


def test_both_ways_to_get_the_script(run_main: Run) -> None:
    assert run_main("--completion", "bash")[1] == BASH + "\n"
    assert run_main("-sc", "install=bash")[1] == BASH + "\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("typed", "replies"),
    [
        (["cnnexp", "model=le"], ["model=lenet5"]),
        (["python", "-m", "cnnexp", "+experiment=qui"], ["+experiment=quickstart"]),
        (
            ["cnnexp", "experiment=quickstart,cifar10_bas"],
            ["experiment=quickstart,cifar10_baseline"],
        ),
        (["cnnexp", "visualization=[gradcam,neigh"], ["visualization=[gradcam,neighbours"]),
        (["cnnexp", "run=outputs/ph"], ["run=outputs/photos/"]),
        (
            ["cnnexp", "runs=[outputs/photos/a,outputs/photos/b"],
            ["runs=[outputs/photos/a,outputs/photos/b1/"],
        ),
        (["cnnexp", "input=pict"], ["input=picture.png"]),
        (["cnnexp", "run=elsewhere/"], []),
        (["python", "-m", "pytest", "tes"], []),
        (["python", "scr"], []),
    ],
)
def test_in_bash(typed: list[str], replies: list[str], tmp_path: Path) -> None:
    """As readline calls it: the function registered for the command, with its variables."""
    for name, code in (
        ("cnnexp", f'exec "{sys.executable}" -m cnnexp "$@"'),
        ("python", f'exec "{sys.executable}" "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "outputs" / "photos" / "b1").mkdir(parents=True)
    (tmp_path / "picture.png").touch()
    line = " ".join(typed)
    script = f"""
eval "$(cnnexp -sc install=bash)"
complete -p {typed[0]} >&2 || exit 3
COMP_WORDS=({shlex.join(typed)}); COMP_CWORD={len(typed) - 1}
COMP_LINE='{line}'; COMP_POINT={len(line)}
_cnnexp {shlex.join([typed[0], typed[-1], typed[-2]])}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == replies
