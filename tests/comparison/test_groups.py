"""Which runs are seeds of one group, and what a group is called."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnexp.comparison.groups import Group, differing_keys, group_runs, telling_keys
from cnnexp.comparison.provenance import commands, key_table
from cnnexp.comparison.records import read_run
from cnnexp.errors import InputError
from cnnexp.runs import read_json, write_json

MakeRun = Callable[..., Path]
Command = Callable[..., dict[str, Any]]


@pytest.fixture
def grouped(command: Command) -> Callable[..., tuple[list[Group], list[str]]]:
    def group(*folders: Path) -> tuple[list[Group], list[str]]:
        return group_runs([read_run(folder, command()) for folder in folders])

    return group


def seeds(groups: list[Group]) -> dict[str, list[int]]:
    return {group.label: [run.seed for run in group.runs] for group in groups}


def test_seeds_places_and_pictures_make_no_group(make_run: MakeRun, grouped: Any) -> None:
    runs = [
        make_run(seed=10),
        make_run(seed=2, visualization={}),
        make_run(seed=3, paths={"outputs": "elsewhere", "cache": "c"}, overrides=["a=b"]),
    ]
    groups, notes = grouped(*runs)
    assert seeds(groups) == {"made": [2, 3, 10]}
    assert notes == []


def test_a_key_makes_groups_and_names_them(make_run: MakeRun, grouped: Any) -> None:
    groups, _ = grouped(
        make_run(seed=0), make_run(seed=1), make_run(seed=0, optimizer__lr=0.1),
        make_run("other", optimizer__lr=0.1),
    )  # fmt: skip
    assert seeds(groups) == {
        "made optimizer.lr=0.001": [0, 1], "made optimizer.lr=0.1": [0], "other": [0],
    }  # fmt: skip


def test_the_fewest_keys_that_tell_apart() -> None:
    """Of four points of a square no one key tells them apart; a third that does is enough."""
    square = [{"x": a, "y": b, "same": 1} for a in (0, 1) for b in (0, 1)]
    assert telling_keys(square) == ["x", "y"]
    assert telling_keys([{**keys, "z": i} for i, keys in enumerate(square)]) == ["z"]
    assert differing_keys([{"x": 1, "y": [1]}, {"x": 1.0, "y": [1], "z": None}]) == ["x", "z"]


def test_what_was_typed_names_groups(make_run: MakeRun, grouped: Any) -> None:
    """One key would tell them apart; the runs are about all that was typed."""
    small = {"dataset__per_class": 100, "dataset__split": {"train": 450}, "trainer__max_epochs": 5}
    groups, _ = grouped(
        make_run(),
        make_run(**small, overrides=["dataset.per_class=100", "+trainer.max_epochs=5"]),
    )
    assert [group.label for group in groups] == [
        "dataset.per_class=null trainer.max_epochs=null",
        "dataset.per_class=100 trainer.max_epochs=5",
    ]
    keys = [
        {"model._target_": "a.b", "model.width": 1},
        {"model._target_": "a.c", "model.depth": 2},
    ]
    assert telling_keys(keys, {"model"}) == ["model._target_"]
    more = [{**k, "x": n} for n, k in enumerate(keys)]
    assert telling_keys(more, {"x"}) == ["model._target_", "x"]
    many = [{**dict.fromkeys("abcd", n), **k} for n, k in enumerate(keys)]
    assert telling_keys(many, {*"abcd"}) == ["model._target_"]


def test_other_data_are_another_group(make_run: MakeRun, grouped: Any) -> None:
    groups, _ = grouped(make_run(), make_run(seed=1, digest="e" * 64))
    assert [group.label for group in groups] == ["data=dddddddd", "data=eeeeeeee"]


def test_folds_are_one_group(make_run: MakeRun, grouped: Any) -> None:
    """Each has a split, and so a digest, of its own."""
    runs = [
        make_run(seed=seed, digest=f"{seed}{fold}" * 32, dataset__fold=fold, content=content * 64,
                 overrides=[f"dataset.fold={fold}", "model=lenet5"])
        for content in "ef" for seed in (0, 1) for fold in (0, 1, 2)
    ]  # fmt: skip
    groups, notes = grouped(*runs, make_run())
    assert [(group.label, len(group.runs)) for group in groups] == [
        ("data=eeeeeeee", 6), ("data=ffffffff", 6), ("data=dddddddd", 1),
    ]  # fmt: skip
    assert notes == []
    assert commands(groups[0]) == ["python -m cnnexp -m model=lenet5 seed=0,1 dataset.fold=0,1,2"]


def test_a_command_finds_a_persons_own_configs(make_run: MakeRun, grouped: Any) -> None:
    folder = make_run(overrides=["model=mine"])
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"config_dir": "/home/me/mine"}))
    groups, _ = grouped(folder)
    assert commands(groups[0]) == ["python -m cnnexp --config-dir /home/me/mine model=mine seed=0"]


def test_the_models_name_stands_for_its_target(make_run: MakeRun, grouped: Any) -> None:
    model = {"_target_": "cnnexp.models.lenet5.lenet5"}
    groups, _ = grouped(make_run(), make_run(seed=1, model=model))
    assert [group.label for group in groups] == ["model=baseline", "model=lenet5"]


def test_a_loss_of_ones_own_has_its_whole_name(make_run: MakeRun, grouped: Any) -> None:
    own = {"_target_": "losses.Focal"}
    runs = [make_run(), make_run(training__loss=own), make_run(training__loss=own | {"gamma": 3})]
    groups, _ = grouped(*runs)
    assert [group.label for group in groups] == [
        "training.loss=cross_entropy",
        "training.loss=losses.Focal",
        "training.loss=losses.Focal training.loss.gamma=3",
    ]


def test_of_a_seed_that_is_there_twice_the_newest_counts(make_run: MakeRun, grouped: Any) -> None:
    older, newer, other = make_run(seed=1), make_run(seed=1), make_run(seed=2)
    groups, notes = grouped(newer, other, older)
    assert [run.folder for run in groups[0].runs] == [newer, other]
    assert notes == [f"seed 1 is there twice: {newer.name} counts, not outputs/made/{older.name}"]
    info = read_json(newer / "run.json")
    write_json(newer / "run.json", info | {"reproduces": older.name})
    groups, notes = grouped(newer, other, older)
    assert [run.folder for run in groups[0].runs] == [older, other], "of which it is a repetition"
    assert notes == [f"seed 1 is there twice: {older.name} counts, not outputs/made/{newer.name}"]


def test_runs_that_began_from_the_same_experiments_seeds(make_run: MakeRun, grouped: Any) -> None:
    starts = [make_run("start", seed=seed) for seed in (0, 1)]
    fine = [make_run("fine", seed=seed, init_from=str(start)) for seed, start in enumerate(starts)]
    other = make_run("fine", seed=2, init_from=str(make_run("start", optimizer__lr=0.5)))
    groups, _ = grouped(*fine, other)
    assert [len(group.runs) for group in groups] == [2, 1]


def test_that_others_began_from_no_run_is_one_row(make_run: MakeRun, grouped: Any) -> None:
    """Of the runs that two began from, what differs between these."""
    starts = [make_run("start", optimizer__lr=rate) for rate in (0.1, 0.2)]
    fine = [make_run("fine", init_from=str(start)) for start in starts]
    groups, _ = grouped(*fine, make_run("scratch"))
    assert key_table(groups) == [
        ["key", "fine init_from.optimizer.lr=0.1", "fine init_from.optimizer.lr=0.2", "scratch"],
        ["init_from", "start", "start", "null"],
        ["init_from.optimizer.lr", "0.1", "0.2", "–"],
    ]


def test_keys_that_came_later_have_their_defaults(make_run: MakeRun, grouped: Any) -> None:
    old = make_run(seed=1)
    text = (old / "config.yaml").read_text().splitlines()
    (old / "config.yaml").write_text(
        "\n".join(line for line in text if "prefix_cache_gb" not in line)
    )
    groups, _ = grouped(make_run(seed=0), old)
    assert seeds(groups) == {"made": [0, 1]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.yaml", "a: [1", "config.yaml cannot be read"),
        ("config.yaml", "- 1", "is not a config"),
        ("config.yaml", "!!python/object/apply:os.getcwd []", "cannot be read"),
        ("run.json", '{"status": "FINISHED"}', "names no classes"),
        ("run.json", "[1]", "run.json cannot be read"),
    ],
)
def test_a_broken_run(
    name: str, content: str, said: str, make_run: MakeRun, command: Command
) -> None:
    folder = make_run()
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=said):
        read_run(folder, command())
