"""Suites: their steps in order, each for all seeds, later ones from earlier ones' weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import cnnexp
from cnnexp.__main__ import main
from cnnexp.errors import InputError
from cnnexp.finished import load_run
from cnnexp.sweeps.ledger import Entry, Ledger
from cnnexp.sweeps.suite import Step, Suite, batches, lines_of, read_suite, typed_settings

SUITE = """# @package suite
# Two networks, the second from the first one's weights.
seeds: [0, 1]
width: 8
steps:
  first:
    overrides: [dataset=shapes, dataset.images=160, "model.widths=[[4,4],[${suite.width}]]"]
  second:
    overrides: [dataset=shapes, dataset.images=160, "model.widths=[[4,4],[${suite.width}]]",
      phases=frozen, name=second]
    init_from: first
"""
SMALL = [
    "dataset.image_size=24", "trainer.max_epochs=1", "model.dense=[]", "visualization=none",
    "tracking=none",
]  # fmt: skip


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine" / "suite").mkdir(parents=True)
    (tmp_path / "mine" / "suite" / "two.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_whole(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One seed, then more of them, then nothing is left to do; all are compared each time."""
    command = ["--config-dir", "mine", "task=suite", "suite=two", "suite.width=6", *SMALL]
    assert main([*command, "suite.seeds=[1]"]) == 0
    assert "compare   2 runs in 2 groups" in capsys.readouterr().out
    assert main(command) == 0
    told = capsys.readouterr().out
    assert told.count("finished already: 1 of 2 jobs") == 2
    (sweep,) = (work / "outputs" / "sweeps").iterdir()
    entries = Ledger(sweep).entries()
    assert [entry.label for entry in entries] == [
        "first seed=0", "first seed=1", "second seed=0", "second seed=1",
    ]  # fmt: skip
    assert {entry.status for entry in entries} == {"FINISHED"}
    for first, second in zip(entries[:2], entries[2:], strict=True):
        assert first.folder is not None
        assert second.folder is not None
        assert f'init_from="{first.folder}"' in second.overrides
        # phases=frozen: all but the head is as the first run ended.
        before, after = (
            load_run(_config(["task=evaluate", f"run={folder}"])).network.state_dict()
            for folder in (first.folder, second.folder)
        )
        same = {name: bool((before[name] == after[name]).all()) for name in before}
        assert all(same[name] for name in same if name.startswith("block"))
        assert not all(same.values())
    assert "second" in told.partition("ranking")[2]
    assert "compare   4 runs in 2 groups" in told

    again = cnnexp.run(command[2:], config_dir="mine")  # from Python the same
    assert (again.folder, again.exit_code) == (sweep.absolute(), 0)
    told = capsys.readouterr().out
    assert told.count("finished already: 2 of 2 jobs") == 2
    assert "\njob " not in told
    assert len(list((work / "outputs" / "second").iterdir())) == 2


def _config(overrides: list[str]) -> dict[str, object]:
    from cnnexp.config.compose import compose
    from cnnexp.execution import checked

    composed = compose(overrides)
    return checked(composed.config, composed.overrides)


def test_what_is_typed_counts_more() -> None:
    step = Step("a", ("experiment=x", "dataset.image_size=150", "model.weights=w"), {}, None)
    suite = Suite("s", (0,), (step,), ("dataset.image_size=64", "hydra/launcher=basic"))
    assert lines_of(suite, step, {}, 3) == [
        "experiment=x", "model.weights=w", "name=s_a", "dataset.image_size=64", "seed=3",
    ]  # fmt: skip
    for named in (replace(step, overrides=("name=b",)), replace(step, overrides=())):
        typed = replace(suite, typed=("name=c",))
        assert [line for line in lines_of(typed, named, {}, 3) if "name" in line] == ["name=c"]
    assert lines_of(suite, replace(step, overrides=("name=b",)), {}, 3)[0] == "name=b"


def test_weights_of_later_steps_are_fetched_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they cannot be had, nothing has begun: no hours of the steps before."""
    asked = []

    def built(config: dict[str, Any], classes: int) -> None:
        asked.append(config["model"]["weights"])
        raise InputError("model.weights=imagenet: cannot download it")

    monkeypatch.setattr("cnnexp.experiment.build_network", built)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"suite=cats_dogs, step frozen: .*cannot download"):
        cnnexp.run(["task=suite", "suite=cats_dogs"])
    assert asked == ["imagenet"]
    assert not list(tmp_path.glob("outputs/*/*/run.json"))


@pytest.mark.parametrize("typed", ["trainer.max_epochs=1", "debug=smoke"])
def test_fewer_epochs_for_all_steps(typed: str) -> None:
    """One of its steps says how many epochs a phase has."""
    suite = read_suite(["task=suite", "suite=cats_dogs", "suite.weights=null", typed], None)
    lines = [line for step in suite.steps for line in step.overrides]
    assert not [line for line in lines if line.startswith("phases.finetune.epochs")]
    assert "phases.finetune.lr_scale=0.1" in lines
    unlimited = read_suite(
        ["task=suite", "suite=cats_dogs", "suite.weights=null", "trainer.max_epochs=null"], None
    )
    assert "model.weights=null" in unlimited.steps[1].overrides
    assert "phases.finetune.epochs=8" in unlimited.steps[-1].overrides


def test_a_step_has_all_combinations_each_from_its_own(tmp_path: Path) -> None:
    sizes, kinds = {"dataset.per_class": [50, None]}, {"model": ["lenet5"], "a": [[1, 2], "b c"]}
    steps = (Step("a", (), sizes, None), Step("b", ("x=2",), {**sizes, **kinds}, "a"))
    ledger = Ledger(tmp_path)
    found: list[list[Entry]] = []
    for batch in batches(Suite("s", (0, 1), steps, ()), ledger):
        found.append(batch)
        for entry in batch:
            entry.status, entry.folder = "FINISHED", f"/{entry.number}"
            ledger.write(entry)
    assert [entry.label for entry in found[0]] == [
        "a dataset.per_class=50 seed=0", "a dataset.per_class=50 seed=1",
        "a dataset.per_class=null seed=0", "a dataset.per_class=null seed=1",
    ]  # fmt: skip
    assert [(entry.number, entry.overrides[-2:]) for entry in found[1]] == [
        (5, ["seed=0", 'init_from="/1"']), (6, ["seed=1", 'init_from="/2"']),
        (7, ["seed=0", 'init_from="/1"']), (8, ["seed=1", 'init_from="/2"']),
        (9, ["seed=0", 'init_from="/3"']), (10, ["seed=1", 'init_from="/4"']),
        (11, ["seed=0", 'init_from="/3"']), (12, ["seed=1", 'init_from="/4"']),
    ]  # fmt: skip
    assert found[1][2].overrides[:4] == [
        "x=2", "name=s_b", "dataset.per_class=50", "model=lenet5",
    ]  # fmt: skip


def test_settings_are_read_as_they_are_meant() -> None:
    """A word stays a word: Hydra reads null, 3 and true as something else where no quotes are."""
    values: list[Any] = [None, "null", 3, "3", True, "True", 0.5, "nan", "lenet5", "a b", [1, "2"]]
    parser = OverridesParser.create()
    read = [
        parser.parse_override(line).value() for v in values for line in typed_settings({"k": v})
    ]
    assert read == values
    assert typed_settings({"model": "lenet5", "dataset.per_class": None}) == [
        "model=lenet5", "dataset.per_class=null",
    ]  # fmt: skip


def test_a_step_whose_start_failed_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = (Step("a", ("x=1",), {}, None), Step("b", ("x=2",), {}, "a"))
    ledger = Ledger(tmp_path)
    found: list[list[Entry]] = []
    for batch in batches(Suite("s", (0, 1), steps, ()), ledger):
        found.append(batch)
        for entry in batch:
            entry.status = "FAILED" if entry.label == "a seed=0" else "FINISHED"
            entry.folder = "/runs/a b"
            ledger.write(entry)
    assert [[entry.label for entry in batch] for batch in found] == [
        ["a seed=0", "a seed=1"], ["b seed=1"],
    ]  # fmt: skip
    assert found[1][0].overrides == ["x=2", "name=s_b", "seed=1", 'init_from="/runs/a b"']
    assert "b seed=0: left out, for a seed=0 did not finish" in capsys.readouterr().out


WRONG = {
    "no suite": ([], "needs suite=cats_dogs, cifar10"),
    "misspelt": (["suite=tow"], "suite=tow: no such option; did you mean 'two'?"),
    "a step's key": (["suite=two", "model.filters=3"], "suite=two, step first: model.filters=3"),
    "a step's value": (["suite=two", "optimizer.lr=-1"], "step first: optimizer.lr=-1: must be"),
    "seeds": (["suite=two", "suite.seeds=3"], "suite.seeds=3: must be a list"),
    "no seed": (["suite=two", "suite.seeds=[]"], "suite.seeds=[]: no seed"),
    "seed, not seeds": (["suite=two", "seed=0,1"], "a suite has a list of seeds: suite.seeds="),
    "a key": (["suite=two", "suite.seed=[0]"], "suite.seed: no such key; did you mean 'seeds'?"),
    "a misspelt step": (
        ["suite=two", "suite.steps.frist.overrides=[seed=1]"],
        "suite.steps.frist: no such key; did you mean 'first'?",
    ),
    "a step's misspelt key": (
        ["suite=two", "suite.steps.first.overides=[seed=1]"],
        "suite.steps.first.overides: no such key; did you mean 'overrides'?",
    ),
    "no such step": (
        ["suite=two", "suite.steps.second.init_from=frist"], "did you mean 'first'?",
    ),
    "a sweep without values": (
        ["suite=two", "+suite.steps.first.sweep={optimizer.lr: []}"], "sweep.optimizer.lr=[]: no",
    ),
    "a sweep's wrong value": (
        ["suite=two", "+suite.steps.second.sweep={optimizer.lr: [0.1, -1]}"],
        "step second: optimizer.lr=-1: must be",
    ),
    "a start that is several": (
        ["suite=two", "+suite.steps.first.sweep={optimizer.lr: [0.1, 0.2]}"],
        "second.init_from=first: first is run with optimizer.lr=[0.1, 0.2]; ",
    ),
    "a step's unknown key": (["suite=two", "+suite.steps.first.x=1"], "first.x=1: unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_suites(work: Path, case: str) -> None:
    typed, said = WRONG[case]
    with pytest.raises(InputError) as error:
        read_suite(["task=suite", *typed], work / "mine")
    assert said in str(error.value)
    assert not (work / "outputs").exists()


def test_a_seed_that_is_there_twice_is_run_once() -> None:
    assert read_suite(["task=suite", "suite=cifar10", "suite.seeds=[1,1]"], None).seeds == (1,)


def test_what_is_typed_is_not_swept() -> None:
    """Of data_size, the runs with 50 images of each class alone."""
    suite = read_suite(["task=suite", "suite=data_size", "dataset.per_class=50"], None)
    assert {len(step.settings()) for step in suite.steps} == {1}
    suite = read_suite(["task=suite", "suite=data_size", "suite.per_class=[50,60]"], None)
    assert {len(step.settings()) for step in suite.steps} == {2}


def test_what_is_typed_next_names_the_users_folder(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-m", "--config-dir", "mine", "dataset=shapes", "dataset.images=160", "seed=0,1"]
    assert main([*command, *SMALL, "model.widths=[[4]]"]) == 0
    (best,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("best ")]
    assert best.startswith("best      python -m cnnexp --config-dir mine -m dataset=shapes ")
