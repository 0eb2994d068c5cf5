"""Code of one's own that is edited between two commands, or reads otherwise each time."""

import re
from pathlib import Path

import pytest

import cnnexp
from cnnexp.config.own_folder import allow_folder
from cnnexp.cores import usable_cores
from cnnexp.errors import InputError
from cnnexp.files import digest
from cnnexp.own_code import changed_since

OVERRIDES = ["model=dense", "dataset=stripes", "augmentation=negative",
             "visualization=[class_means]", "trainer.max_epochs=6", "optimizer.lr=0.01",
             "tracking=none"]  # fmt: skip


def test_edited_images_under_an_old_fingerprint(mine: Path) -> None:
    small = [*OVERRIDES[:2], "visualization=none", "tracking=none", "trainer.max_epochs=1"]
    cnnexp.run(small, config_dir=str(mine))
    code = (mine / "stripes.py").read_text()
    (mine / "stripes.py").write_text(
        code.replace("return Source(", "pixels = 255 - pixels\n    return Source(")
    )
    with pytest.raises(InputError, match="another image than the one that was stored under its"):
        cnnexp.run(small, config_dir=str(mine))


MIXED = """
import time
from dataclasses import replace
from stripes import stripes

def mixed(images: int = 80, edited: bool = False):
    source, now = stripes(images), {}

    def read(i):  # two threads take each other's number
        now["i"] = i
        time.sleep(0.001)
        return source.read(now["i"])

    def other(i):  # all but the first and the last
        return source.read(i if i in (0, images - 1) else images - 1 - i)

    return replace(source, read=other if edited else read if images == 96 else source.read)
"""


@pytest.mark.skipif(usable_cores() < 2, reason="one core: no two threads read at a time")
def test_images_that_are_not_read_alike_twice(mine: Path) -> None:
    (mine / "mixed.py").write_text(MIXED)
    stripes = (mine / "dataset" / "stripes.yaml").read_text()
    (mine / "dataset" / "mixed.yaml").write_text(
        stripes.replace("stripes.stripes", "mixed.mixed") + "edited: false\n"
    )
    words = ["model=dense", "dataset=mixed", "task=data", "tracking=none"]
    said = r"its read gives another image for \d+ when it is called again; it is called by several"
    for _ in range(2):  # what was mixed up is not kept
        with pytest.raises(InputError, match=said):
            cnnexp.run([*words, "dataset.images=96"], config_dir=str(mine))
    cnnexp.run(words, config_dir=str(mine))
    with pytest.raises(InputError, match="another image than the one that was stored under its"):
        cnnexp.run([*words, "dataset.edited=true"], config_dir=str(mine))


def test_own_code_that_changed_is_said(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An edited model with the same weights gives other answers, and no config shows it."""
    words = [*OVERRIDES[:2], "visualization=none", "tracking=none", "trainer.max_epochs=1"]

    def said(*typed: str) -> str:
        capsys.readouterr()
        cnnexp.run(list(typed), config_dir=str(mine))
        return capsys.readouterr().out

    first = cnnexp.run(words, config_dir=str(mine)).folder
    sweep = [*words, "sweep=seeds", "seed=0,1"]
    again = "changed since the run began"
    assert "changed" not in said("task=evaluate", f"run={first}")
    assert "since then" not in said(*sweep)
    model = mine / "dense.py"
    model.write_text(model.read_text().replace("nn.ReLU", "nn.Tanh"))
    assert f"note      dense.py has {again}" in said("task=evaluate", f"run={first}")
    repeated = said(*sweep)
    assert "finished already: 2 of 2" in repeated
    assert "note      since then dense.py changed; delete outputs/sweeps/" in repeated
    second = cnnexp.run(words, config_dir=str(mine)).folder
    told = said("task=diff", f"a={first}", f"b={second}")
    assert re.search(r"^code +dense\.py +[0-9a-f]{12} +[0-9a-f]{12}$", told, re.MULTILINE)
    assert "code, data and environment are the same" not in told


def test_a_strangers_run_names_no_other_files(mine: Path) -> None:
    allow_folder(mine)
    (mine / "own.py").write_text("a = 1\n")
    (mine.parent / "secret").write_text("b = 2\n")
    known = {"own.py": digest(mine / "own.py"), "../secret": "0", "/dev/zero": "0", "\x1b[2J": "0"}
    assert changed_since({"environment": {"own_code": known}}) == []
    (mine / "own.py").write_text("a = 2\n")
    assert changed_since({"environment": {"own_code": known}}) == ["own.py"]
    assert changed_since({"environment": {"own_code": ["own.py"]}}) == []
    now = {"own_code": {"own.py": digest(mine / "own.py")}}
    assert changed_since({"environment": now}) == []
    went_on = {"environment": now, "earlier_environments": [{"own_code": known}, None, 3]}
    assert changed_since(went_on) == ["own.py"], "a part of the run had other code"
    assert changed_since({}) == []
