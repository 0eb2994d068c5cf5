"""Pictures of one's own: their words, and what they may do to a run."""

import json
from pathlib import Path

import pytest
import torch

import cnnexp
from cnnexp.errors import InputError
from cnnexp.training.precision import resolve_precision

OVERRIDES = ["model=dense", "dataset=stripes", "augmentation=negative",
             "visualization=[class_means]", "trainer.max_epochs=6", "optimizer.lr=0.01",
             "tracking=none"]  # fmt: skip


def test_a_picture_has_words(mine: Path) -> None:
    said = r"visualization\.bare: 'bare' is a Figure.*cnnexp\.reporting\.picture\.Picture"
    with pytest.raises(InputError, match=said):
        cnnexp.run([*OVERRIDES[:3], "visualization=[bare]"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("None", r"gives a NoneType; return a dictionary"),
        ("{'../a': 1}", r"'\.\./a' names a file"),
        ("{'reliability': 1}", "another picture is named 'reliability'"),
    ],
)
def test_what_is_no_dictionary_of_pictures(mine: Path, gives: str, said: str) -> None:
    (mine / "odd.py").write_text(f"def odd(probe):\n    return {gives}\n")
    (mine / "visualization" / "odd.yaml").write_text(
        "# @package visualization.odd\n# Nothing.\n_target_: odd.odd\n"
    )
    with pytest.raises(InputError, match=rf"visualization\.odd: {said}"):
        cnnexp.run([*OVERRIDES[:3], "visualization=[odd]"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


def test_a_picture_that_fails_is_named(mine: Path) -> None:
    (mine / "fails.py").write_text("def fails(probe):\n    return probe.no_such_thing\n")
    (mine / "visualization" / "fails.yaml").write_text(
        "# @package visualization.fails\n# Nothing.\n_target_: fails.fails\n"
    )
    with pytest.raises(AttributeError) as caught:
        cnnexp.run([*OVERRIDES[:3], "visualization=[fails]"], config_dir=str(mine))
    assert caught.value.__notes__ == ["raised by visualization.fails._target_=fails.fails"]


MEDDLES = """
def meddles(probe):
    for parameter in probe.network.parameters():
        parameter.data.zero_()
    return {}
"""


def test_a_picture_cannot_change_the_network(mine: Path) -> None:
    (mine / "meddles.py").write_text(MEDDLES)
    (mine / "visualization" / "meddles.yaml").write_text(
        "# @package visualization.meddles\n# Nothing.\n_target_: meddles.meddles\n"
    )
    words = [*OVERRIDES[:2], "tracking=none", "trainer.max_epochs=1"]
    clean, meddled = (
        cnnexp.run([*words, f"visualization={which}"], config_dir=str(mine))
        for which in ("none", "[meddles]")
    )
    for mine_, theirs in zip(clean.network.parameters(), meddled.network.parameters(), strict=True):
        assert torch.equal(mine_, theirs)


RUINS = """
import torch

def ruins(probe):
    probe.network.train()
    torch.nn.init.zeros_(probe.network.head[-1].weight)
    probe.network.stem.register_forward_hook(lambda module, given, gives: 0 * gives)
    probe.images.zero_()
    return {}

def fails(probe):
    if not probe.rehearsal:
        raise KeyError("cat")
    return {}
"""


def test_a_picture_spoils_no_other(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it does with the network and the images; one that fails is left out."""
    (mine / "ruins.py").write_text(RUINS)
    for name in ("ruins", "fails"):
        (mine / "visualization" / f"a_{name}.yaml").write_text(
            f"# @package visualization.a_{name}\n# Bad.\n_target_: ruins.{name}\n"
        )
    words = [*OVERRIDES[:2], "tracking=none", "trainer.max_epochs=1"]
    alone, after = (
        cnnexp.run([*words, f"visualization={which}"], config_dir=str(mine)).folder / "figures"
        for which in ("[gradcam,class_means]", "[a_ruins,a_fails,gradcam,class_means]")
    )
    drawn = sorted(path.name for path in alone.glob("*.svg"))
    assert [path.name for path in sorted(after.glob("*.svg"))] == drawn
    assert {"gradcam.svg", "class_means.svg"} <= {*drawn}
    for name in ("gradcam.svg", "class_means.svg"):
        assert (alone / name).read_bytes() == (after / name).read_bytes()
    said = "picture   a_fails is left out, for it failed, ruins.py line 13: KeyError: 'cat'\n"
    out, err = capsys.readouterr()
    assert said in out
    assert err.startswith('Traceback (most recent call last):\n  File "')
    assert "KeyError: 'cat'\nraised by visualization.a_fails._target_=ruins.fails\n" in err
    assert "cnnexp/drawing.py" not in err


WRITES = """
import numpy as np
from matplotlib.figure import Figure
from cnnexp.reporting.picture import Picture

def writes(probe):
    probe.test.store[:] = 0

def numbers(probe, kind):
    value = {"array": np.arange(2, dtype=np.float32), "set": {1}}[kind]
    return {"numbers": Picture(Figure(), "n", "n", "n" if kind == "array" else 3, {"x": value})}
"""


LOOKS = """
import cnnexp.visualization.looking as looking

def looks(probe):
    kinds = []
    probe.network.head.register_forward_pre_hook(lambda module, given: kinds.append(given[0].dtype))
    probe.network(probe.images)
    with looking.looking_at(probe.network) as network:
        network(probe.images)
    print("kinds", probe.rehearsal, *kinds)
    return {}
"""


def test_the_precision_of_the_run_holds_where_networks_are_looked_at(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is called in the ordinary way is float32: NumPy knows no bfloat16."""
    (mine / "looks.py").write_text(LOOKS)
    (mine / "visualization" / "a_looks.yaml").write_text(
        "# @package visualization.a_looks\n# Looks.\n_target_: looks.looks\n"
    )
    words = [*OVERRIDES[:2], "tracking=none", "trainer.max_epochs=1", "visualization=[a_looks]"]
    cnnexp.run([*words, "trainer.precision=bf16-mixed"], config_dir=str(mine))
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("kinds")]
    # Where the processor would have to emulate it, pictures stay in float32.
    native = resolve_precision("auto", torch.device("cpu")) == "bf16-mixed"
    kind = torch.bfloat16 if native else torch.float32
    assert said == [f"kinds {early} torch.float32 {kind}" for early in (True, False)]


def test_what_a_picture_may_not_write_and_what_it_may_measure(mine: Path) -> None:
    (mine / "writes.py").write_text(WRITES)
    for name, key in (("writes", ""), ("numbers", "kind: array\n")):
        (mine / "visualization" / f"a_{name}.yaml").write_text(
            f"# @package visualization.a_{name}\n# Bad.\n_target_: writes.{name}\n{key}"
        )
    words = [*OVERRIDES[:2], "tracking=none", "trainer.max_epochs=1"]
    with pytest.raises(ValueError, match="read-only"):
        cnnexp.run([*words, "visualization=[a_writes]"], config_dir=str(mine))
    measured = [*words, "visualization=[a_numbers]"]
    folder = cnnexp.run(measured, config_dir=str(mine)).folder
    kept = json.loads((folder / "figures" / "pictures.json").read_text())["numbers"]["numbers"]
    assert kept == {"x": [0.0, 1.0]}
    with pytest.raises(InputError, match=r"a_numbers: 'numbers' has a int as alt; give text"):
        cnnexp.run([*measured, "visualization.a_numbers.kind=set"], config_dir=str(mine))
