"""task=diff: what differs between two runs, and what does not."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import cnnexp
from cnnexp.errors import InputError
from cnnexp.runs import Result

MakeRun = Callable[..., Path]


def diff(a: object, b: object) -> Result:
    return cnnexp.run(["task=diff", f"a={a}", f"b={b}", "tracking=none"])


def lines(text: str) -> dict[str, list[str]]:
    """What a fact is called -> its values, of lines of three columns."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line[10:].split("  ") if cell.strip()]
        if len(cells) == 3:
            found[cells[0]] = cells[1:]
    return found


def test_what_differs(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    a = make_run("one", wrong=[0, 1, 2], visualization={})
    b = make_run("one", seed=3, optimizer__lr=0.5, digest="e" * 64, images=range(40), epochs=5)
    info = json.loads((b / "run.json").read_text())
    info["environment"]["packages"]["torch"] = "2.10"
    info["environment"]["git"] |= {"dirty": True, "diff": "1 file changed"}
    info["environment"]["cnnexp_git"] = {"commit": "d" * 40, "dirty": False}
    info["precision"] = "bf16-mixed"
    (b / "run.json").write_text(json.dumps(info))
    result = diff(a, b.name[-6:])
    out = capsys.readouterr().out
    found = lines(out)
    assert found["test accuracy"] == ["90.00% (80.0 to 100.0)", "100.00% (90.0 to 110.0)"]
    assert found["best epoch"] == ["3", "5"]
    assert found["optimizer.lr"] == ["0.001", "0.5"]
    assert found["seed"] == ["0", "3"]
    assert found["visualization"] == ["none", "activations, gradcam, mistakes"]
    assert found["code"] == ["cccccccccc", "cccccccccc with changes, cnnexp dddddddddd"]
    assert found["uncommitted"] == ["–", "1 file changed"]
    assert found["digest"] == ["d" * 16, "e" * 16]
    assert found["test images"] == ["30", "40"]
    assert found["precision"] == ["32-true", "bf16-mixed"]
    assert found["torch"] == ["2.9", "2.10"]
    assert "name" not in found
    assert "test loss" not in found
    (same,) = [line for line in out.splitlines() if line.startswith("the same")]
    assert "other config keys, branch main, data made, train images 60, device A CPU" in same
    assert result.metrics["test/accuracy"] == pytest.approx(0.1)
    assert result.metrics["parameters"] == 0
    assert result.folder is None
    assert all(len(line) <= 120 for line in out.splitlines() if not line.startswith("the same"))


def test_nothing_differs(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    diff(make_run(), make_run())
    out = capsys.readouterr().out
    assert "config, code, data and environment are the same" in out
    assert lines(out) == {}


def test_a_run_that_is_not_finished(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make_run(), make_run(status="RUNNING")
    info = json.loads((b / "run.json").read_text())
    del info["metrics"], info["environment"]
    (b / "run.json").write_text(json.dumps(info))
    (b / "splits.csv").unlink()
    diff(a, b)
    found = lines(capsys.readouterr().out)
    assert found["status"] == ["finished", "running"]
    assert found["test accuracy"][1] == "–"
    assert found["test images"] == ["30", "–"]


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ([], ["task=diff: needs a="]),
        (["a=outputs/made"], ["task=diff: needs b="]),
        (["a={A}", "b=outputs/mad"], ["b: outputs/mad", "did you mean 'outputs/made'?"]),
        (["a=abcd1234", "b={A}"], ["a=abcd1234: no such folder"]),
        (["a={A}", "b={A}"], ["both are outputs/made", "name two runs"]),
        (
            ["a={A}", "b=outputs"],
            ["b=outputs: is no run's folder; name a run; the newest here is outputs/made/"],
        ),
        (["a={A}", "b={A}", "runs=[x,y]"], ["runs=[x,y]: task=diff takes a, b"]),
        (["a={A}", "b={A}", "seed=1"], ["seed=1: task=diff takes a, b", "leave it out"]),
        (["a={A}", "b={A}", "task=train"], ["a=outputs/made", "only task=diff"]),
    ],
)
def test_wrong(typed: list[str], parts: list[str], make_run: MakeRun, work: Path) -> None:
    a = make_run().relative_to(work)
    with pytest.raises(InputError) as caught:
        cnnexp.run(["task=diff", "tracking=none", *(line.format(A=a) for line in typed)])
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in work.iterdir()] == ["outputs"]


def test_torch_is_not_imported(make_run: MakeRun, work: Path) -> None:
    a, b = make_run(), make_run(seed=1)
    code = "import sys; from cnnexp.__main__ import main; code = main(sys.argv[1:]); "
    code += "print({'torch', 'matplotlib', 'mlflow'} & set(sys.modules)); sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", code, "task=diff", f"a={a}", f"b={b}", "tracking=none"],
        capture_output=True, text=True, cwd=work, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("set()\n")
