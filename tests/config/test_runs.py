"""runs=[a,b,c]: several finished runs, checked before torch is imported."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cnnexp.config.compose import compose, resolved
from cnnexp.config.quoting import quoted
from cnnexp.config.validate import validate
from cnnexp.errors import InputError
from cnnexp.execution import checked

Run = Callable[..., tuple[int, str, str]]
A, B = "outputs/mine/20260101-000000_aaaaaa", "outputs/mine/20260101-000000_bbbbbb"


@pytest.fixture
def two(work: Path) -> Path:
    """Two runs' folders, as far as their config goes."""
    typed = ["name=mine", "model=lenet5", "dataset=image_folder", "dataset.image_size=32"]
    saved = validate(resolved(compose([*typed, f"dataset.root={work}"]).config))
    for name in (A, B):
        (work / name).mkdir(parents=True)
        (work / name / "config.yaml").write_text(yaml.safe_dump(saved))
    return work


def check(*typed: str) -> dict:
    composed = compose(["task=visualize", *typed])
    return checked(composed.config, composed.overrides)


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ("[a,b]", ["a", "b"]),
        ("[123456, 1e5432]", ["123456", "1e5432"]),
        ("[with a space/x=1,it's (2)]", ["with a space/x=1", "it's (2)"]),
        ('["a,b",c]', ["a,b", "c"]),
        ("[~/a,../b]", ["~/a", "../b"]),
    ],
)
def test_lists_arrive_as_typed(typed: str, runs: list[str]) -> None:
    line = quoted(f"runs={typed}")
    assert quoted(line) == line
    assert quoted(f"runs={typed}", sweep=True) == line
    assert resolved(compose([line]).config)["runs"] == runs


def test_right(two: Path) -> None:
    config = check(f"runs=[{A},{B}]", f"dataset.root={two}")
    assert config["runs"] == [A, B]
    assert config["run"] is None
    check(f"runs=[{two / A},bbbbbb]")  # an id is found later
    assert check("runs=null", f"run={A}")["run"] == A


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        (["runs=[{A},outputs/no]"], ["runs: outputs/no", "no such folder", "hexadecimal"]),
        (["runs=[{A},outputs]"], ["runs: outputs", "is not a run's folder"]),
        (["runs=[{A}]"], ["1 of them", "from 2 to 6"]),
        (["runs=[a1b2,b1c2,c1d2,d1e2,e1f2,f1a2,a1a1]"], ["7 of them", "from 2 to 6"]),
        (["runs=[]"], ["0 of them"]),
        (["runs=[{A},{A}]"], ["is there twice"]),
        (["runs=[{A},{B}]", "run={A}"], ["one of them", "runs=[a,b]"]),
        (["runs={A}"], ["runs=outputs/mine", "must be a list"]),
        (["runs=[{A},{{a: 1}}]"], ["runs", "a: 1"]),
        (["runs=[{A},{B}]", "task=evaluate"], ["only task=visualize", "run="]),
        (["runs=[{A},{B}]", "task=train"], ["only task=visualize takes several"]),
        (["runs=[{A},{B}]", "visualization=[gradcam]"], ["visualization=[gradcam]", "leave it"]),
        (["runs=[{A},{B}]", "visualization.gradcam.layer=x"], ["visualization.gradcam.layer"]),
        (["runs=[{A},{B}]", "model=lenet5"], ["model=lenet5", "the run's own model"]),
        (["runs=[{A},{B}]", "dataset.image_size=8"], ["image_size=8", "trained with 32"]),
        (["runs=[{A},{B}]", "dataset.root=no"], ["dataset.root=no", "no such file"]),
        ([], ["task=visualize: needs run=", "runs=[several of them]"]),
        (["task=data", "run={A}"], ["task=data looks at a data set", "task=evaluate"]),
    ],
)
def test_wrong(typed: list[str], parts: list[str], two: Path) -> None:
    with pytest.raises(InputError) as caught:
        check(*(line.format(A=A, B=B) for line in typed))
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_of_them_is_broken(two: Path) -> None:
    (two / B / "config.yaml").write_text("a: [1")
    with pytest.raises(InputError, match=f"^runs: {B}: is not a run's folder"):
        check(f"runs=[{A},{B}]")
    shutil.rmtree(two / B)
    with pytest.raises(InputError, match=f"^runs: {B}: no such folder"):
        check(f"runs=[{A},{B}]")


def test_torch_is_not_imported(two: Path) -> None:
    code = "import sys; from cnnexp.__main__ import main; code = main(sys.argv[1:]); "
    code += "print('torch' in sys.modules); sys.exit(code)"
    argv = ["task=visualize", f"runs=[{A},nowhere]"]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=two, check=False
    )
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr.startswith("error: runs: nowhere: no such folder")
