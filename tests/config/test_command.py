"""The command line and `cnnexp.run`: what wins over what, sweeps, users' own folders."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import cnnexp
from cnnexp.config.arguments import hydra_argv, parse
from cnnexp.config.compose import rewritten
from cnnexp.config.groups import config_folder, default_groups
from cnnexp.config.places import check_paths
from cnnexp.errors import InputError
from cnnexp.sweeps import launching
from cnnexp.sweeps.ledger import Entry, Ledger

Run = Callable[..., tuple[int, str, str]]


def composed(run_main: Run, *argv: str) -> dict:
    code, out, err = run_main("--cfg", "job", *argv)
    assert (code, err) == (0, "")
    return yaml.safe_load(out)


@pytest.mark.parametrize("word", ["experiment=mine", "+experiment=mine", "++experiment=mine"])
def test_an_experiment_wins_over_the_defaults(run_main: Run, mine: Path, word: str) -> None:
    config = composed(run_main, "--config-dir", str(mine), word)
    assert (config["name"], config["seed"], config["model"]["dense"]) == ("mine", 7, [20])
    assert config["model"]["_target_"] == "cnnexp.models.lenet5.lenet5"
    assert (config["optimizer"]["_target_"], config["optimizer"]["lr"]) == ("torch.optim.SGD", 0.5)


@pytest.mark.parametrize("first", [True, False])
def test_an_experiment_loses_to_what_is_typed(run_main: Run, mine: Path, first: bool) -> None:
    typed = ["seed=3", "model=baseline", "optimizer.lr=0.25", "model.dense=[9]"]
    argv = ["+experiment=mine", *typed] if first else [*typed, "+experiment=mine"]
    config = composed(run_main, "--config-dir", str(mine), *argv)
    assert (config["name"], config["seed"], config["model"]["dense"]) == ("mine", 3, [9])
    assert config["model"]["_target_"] == "cnnexp.models.baseline.baseline"
    assert (config["optimizer"]["_target_"], config["optimizer"]["lr"]) == ("torch.optim.SGD", 0.25)


def test_no_experiment(run_main: Run) -> None:
    assert composed(run_main, "experiment=null", "debug=null") == composed(run_main)


def test_an_argument_that_the_yaml_does_not_list_needs_no_plus(run_main: Run) -> None:
    assert composed(run_main, "optimizer.amsgrad=true")["optimizer"]["amsgrad"] is True


def test_what_lightning_may_be_told_beside(run_main: Run) -> None:
    typed = {
        "gradient_clip_algorithm": "value",
        "max_time": "00:01:30:00",
        "benchmark": True,
        "limit_train_batches": 0.5,
    }
    trainer = composed(run_main, *(f"trainer.{key}={value}" for key, value in typed.items()))
    assert typed.items() <= trainer["trainer"].items()
    augmented = composed(run_main, "augmentation=photo", "augmentation.scale=[0.5,1]")
    assert augmented["augmentation"]["scale"] == [0.5, 1]


@pytest.mark.parametrize("name", ["2024", "été 2+1.x", "a-b_c", "true", "日本"])
def test_names(run_main: Run, name: str) -> None:
    assert composed(run_main, f"name={name}")["name"] == name


OPTIONS = {
    group.name: [f"{group.name}={path.stem}" for path in sorted(group.glob("*.yaml"))]
    for group in config_folder().iterdir()
    if group.is_dir()
}
# No option of these changes what another's keys may be: one of each are read at once.
APART = ("augmentation", "dataset", "model", "optimizer", "scheduler", "visualization")
ROWS = [
    *([option] for group in OPTIONS.keys() - set(APART) for option in OPTIONS[group]),
    *(list(filter(None, row)) for row in zip_longest(*(OPTIONS[group] for group in APART))),
]


@pytest.mark.parametrize("options", sorted(ROWS), ids=" ".join)
def test_every_option_is_valid(run_main: Run, options: list[str]) -> None:
    """The schema and the signatures agree with the YAML files."""
    composed(run_main, *options)


def test_groups_of_the_defaults_list() -> None:
    primary = yaml.safe_load((config_folder() / "config.yaml").read_text())
    names = [name for entry in primary["defaults"] if isinstance(entry, dict) for name in entry]
    assert list(default_groups(config_folder())) == names
    assert {"experiment", "model", "debug"} <= set(names)


def test_rewriting_leaves_the_rest_alone() -> None:
    kept = [
        "+experimental=1",
        "+model.depth=2",
        "~model",
        "seed=1",
        "+model.note=experiment=x",
        "hydra/launcher=x",
    ]
    assert rewritten([*kept, "+model=lenet5", "+experiment=a,b"]) == [
        *kept, "model=lenet5", "experiment=a,b",
    ]  # fmt: skip


def test_options_and_overrides_in_any_order() -> None:
    arguments = parse(["seed=1", "-m", "model=lenet5", "-cd", "mine", "+experiment=x", "~debug"])
    assert (arguments.multirun, arguments.config_dir) == (True, "mine")
    assert arguments.overrides == ["seed=1", "model=lenet5", "+experiment=x", "~debug"]
    assert hydra_argv(arguments, ["seed=1"]) == ["--config-dir", "mine", "--multirun", "seed=1"]


def test_the_task_gets_plain_containers(run_main: Run, mine: Path, work: Path) -> None:
    code, _, err = run_main(
        "--config-dir", str(mine), "task=say", "seed=2", "name=${hydra:job.name}",
        "optimizer.weight_decay=${optimizer.lr}",
    )  # fmt: skip
    assert (code, err) == (0, "")
    config = json.loads((work / "said_2_512.json").read_text())
    assert config["name"] == "cnnexp"
    assert config["optimizer"]["weight_decay"] == config["optimizer"]["lr"]
    assert "hydra" not in config
    assert [path.name for path in work.iterdir()] == ["said_2_512.json"]


def test_python_api(mine: Path, work: Path) -> None:
    result = cnnexp.run(["task=say", "seed=3"], config_dir=mine)
    assert result.metrics == {"best/val/accuracy": pytest.approx(0.3)}
    with pytest.raises(InputError, match=r"optimizer\.lrr=1: unknown key; did you mean 'lr'"):
        cnnexp.run(["optimizer.lrr=1"])
    with pytest.raises(InputError, match="list of overrides"):
        cnnexp.run("seed=1")
    assert [path.name for path in work.iterdir()] == ["said_3_512.json"]


def test_hydra_is_left_as_it_was(run_main: Run, mine: Path, work: Path) -> None:
    """Also where cnnexp.run is called inside somebody's Hydra program."""
    before = sys.argv, dict(os.environ), HydraConfig.instance().cfg
    assert not GlobalHydra.instance().is_initialized()
    cnnexp.run(["task=say"], config_dir=mine)
    run_main("--config-dir", str(mine), "-m", "task=say", "seed=1,13")
    run_main("modle=x")
    assert not GlobalHydra.instance().is_initialized()
    assert (sys.argv, dict(os.environ), HydraConfig.instance().cfg) == before

    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cnnexp.run(["task=say"], config_dir=mine)
        assert compose("config", ["seed=4"]).seed == 4


def test_wrong_input_from_the_task(run_main: Run, mine: Path) -> None:
    answer = run_main("--config-dir", str(mine), "task=say", "seed=13")
    assert answer == (2, "", "error: seed=13: no luck; take another\n")


def test_a_bug_keeps_its_traceback(run_main: Run, mine: Path, work: Path) -> None:
    """A person's own code, from where it was reached: without what called it."""
    code, out, err = run_main("--config-dir", str(mine), "task=say", "seed=14")
    assert (code, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.endswith("KeyError: 'a bug'\n")
    assert str(mine) in err
    assert str(Path(cnnexp.__file__).parent) not in err
    with pytest.raises(KeyError, match="a bug"):
        cnnexp.run(["task=say", "seed=14"], config_dir=mine)
    code, out, _ = run_main("-m", "--config-dir", str(mine), "task=say", "seed=14,1")
    assert (code, "FAILED: KeyError: 'a bug' (" in out, "2 of 2" in out) == (1, True, True)
    (kept,) = work.glob("outputs/sweeps/*/jobs/*.txt")
    assert "Traceback" in kept.read_text()


@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_interrupted(run_main: Run, mine: Path, mode: list[str]) -> None:
    code, out, err = run_main(*mode, "--config-dir", str(mine), "task=say", "seed=15")
    assert (code, err) == (130, "interrupted\n")
    assert ("to go on: python -m cnnexp --config-dir " in out) == bool(mode)
    assert (" -m task=say seed=15\n" in out) == bool(mode)


def test_a_job_that_another_process_does_is_not_begun(run_main: Run, mine: Path) -> None:
    words = ("-m", "--config-dir", str(mine), "task=say", "seed=1,2")
    assert run_main(*words)[0] == 0
    path = next(
        path for path in Path("outputs").glob("sweeps/*/jobs/*.json")
        if "seed=1" in json.loads(path.read_text())["overrides"]
    )  # fmt: skip
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "RUNNING"}))
    (said,) = Path().glob("said_1_*.json")
    said.unlink()
    with FileLock(path.with_suffix(".lock")):
        code, out, _ = run_main(*words)
    assert code == 0
    assert "under way already: 1 job, which another process does" in out
    assert "left      1 job, which another process does" in out
    assert "job 1 of 2" not in out
    assert not said.exists()


def test_a_second_interrupt_leaves_nothing_half_told(
    run_main: Run, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is told how the first one left the jobs."""
    told: list[str] = []

    def interrupted(ledger: Ledger) -> list[Entry]:
        signal.raise_signal(signal.SIGINT)
        told.append("whole")
        return []

    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(launching, "note_killed", interrupted)
    code, out, err = run_main("-m", "--config-dir", str(mine), "task=say", "seed=15")
    signal.signal(signal.SIGINT, former)
    assert (code, told) == (130, ["whole"])
    assert "leaving when the store knows of it" in out
    assert err == "leaving in a moment, or now by another Ctrl-C …\ninterrupted\n"


def test_cfg_job(run_main: Run, mine: Path) -> None:
    """What a run would be given; only running needs a run's folder."""
    assert composed(run_main, "task=evaluate")["task"]["name"] == "evaluate"
    whole = composed(run_main)
    assert (whole["dataset"]["fold"], whole["dataset"]["folds"]) == (None, 5)
    assert whole["phases"]["train"]["lr_scale"] == 1.0, "what the YAML leaves out"
    assert composed(run_main, "trainer.max_epochs=3")["phases"]["train"]["epochs"] == 3
    both = run_main("--cfg", "job", "trainer.max_epochs=3", "phases.train.epochs=2")
    assert both[0] == 2
    assert "trainer.max_epochs=3 stands for all phases" in both[2]
    same = "optimizer.weight_decay=${optimizer.lr}"
    assert composed(run_main, same)["optimizer"]["weight_decay"] == "${optimizer.lr}"
    assert composed(run_main, same, "--resolve")["optimizer"]["weight_decay"] == 0.001
    assert run_main("--cfg", "job", "-p", "optimizer.lr")[1] == "0.001\n"
    assert (
        yaml.safe_load(run_main("--cfg", "job", "-p", "model", "--resolve")[1])["norm"] == "batch"
    )


def test_the_config_of_a_suite_is_its_steps(run_main: Run, tmp_path: Path) -> None:
    """What is typed stands in each of them; it may be what only their datasets heed."""
    typed = ("suite=cats_dogs", f"dataset.root={tmp_path}", "suite.seeds=[3,4]")
    suite = composed(run_main, "task=suite", *typed)["suite"]
    assert (suite["jobs"], suite["seeds"]) == (10, [3, 4])
    assert suite["steps"]["block5"]["init_from"] == "frozen"
    assert all(f"dataset.root={tmp_path}" in step["overrides"] for step in suite["steps"].values())
    code, _, err = run_main("--cfg", "job", "suite=cats_dogs", "dataset.rot=photos.zip")
    assert code == 2
    assert "suite=cats_dogs, step scratch: dataset.rot=photos.zip: unknown key" in err


@pytest.mark.parametrize("mode", ["-m", "-r"])
@pytest.mark.parametrize("shown", [["--cfg", "job"], ["--cfg", "hydra"], ["--info", "searchpath"]])
def test_what_is_shown_is_of_one_run(run_main: Run, mode: str, shown: list[str]) -> None:
    """As without -m or -r; Hydra itself would raise ValueError."""
    assert run_main(mode, *shown) == run_main(*shown)
    for line, listing in (("seed=0,1", "; a list is written seed=[0,1]"), ("model=glob(*)", "")):
        code, out, err = run_main(mode, *shown, line)
        assert (code, out) == (2, "")
        said = f"{shown[0]} shows one config, give one value{listing}"
        assert err == f"error: {line}: {said}\n"


def test_one_thing_is_shown(run_main: Run) -> None:
    said = "error: --cfg, --info: one of them\n"
    assert run_main("--cfg", "job", "--info", "config") == (2, "", said)


def test_help_names_every_option(run_main: Run, mine: Path) -> None:
    code, out, err = run_main("--help")
    assert (code, err) == (0, "")
    for path in config_folder().glob("*/*.yaml"):
        assert re.search(rf"^  {path.stem} ", out, re.M), path
    assert run_main("-h")[1] == run_main("help")[1] == out
    assert "Somebody's own." in run_main("--help", "--config-dir", str(mine))[1]
    assert max(map(len, out.splitlines())) <= 110


def test_version(run_main: Run) -> None:
    assert run_main("--version") == (0, f"cnnexp {cnnexp.__version__}\n", "")


def test_the_newest_run_is_offered(run_main: Run, work: Path) -> None:
    for name in ("a/20260101-000000_aaaaaa", "b/20250101-000000_bbbbbb"):
        (work / "outputs" / name).mkdir(parents=True)
        (work / "outputs" / name / "run.json").write_text("{}")
    assert "outputs/a/20260101-000000_aaaaaa" in run_main("task=evaluate")[2]


def checked_outputs(outputs: str, task: str = "train", resume: str | None = None) -> None:
    config = {"task": {"name": task}, "dataset": {"root": "."}, "model": {}, "resume": resume}
    config |= dict.fromkeys(("run", "input", "init_from"))
    check_paths(config | {"paths": {"outputs": outputs}})


def test_outputs_that_are_a_file(work: Path) -> None:
    (work / "outputs").write_text("")
    with pytest.raises(InputError, match=r"paths\.outputs=outputs: is a file"):
        checked_outputs("outputs")
    with pytest.raises(InputError, match=r"outputs/below: /\S+/outputs is a file; name a folder"):
        checked_outputs("outputs/below")
    checked_outputs("outputs/below", "doctor")  # who has it among what it finds
    checked_outputs("outputs/below", resume="elsewhere")  # where it is written


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="root may write anywhere, and Windows has no such modes",
)
def test_outputs_that_nobody_may_write_to(work: Path) -> None:
    (work / "outputs").mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"outputs/new: /\S+/outputs is not writable; choose one"):
        checked_outputs("outputs/new")


def test_a_config_folder_is_not_left_behind(run_main: Run, mine: Path) -> None:
    assert run_main("--config-dir", str(mine), "--cfg", "job", "+experiment=mine")[0] == 0
    assert run_main("+experiment=mine")[0] == 2


def test_an_option_that_cnnexp_has_too(run_main: Run, mine: Path) -> None:
    """Hydra would take ours, and the person's own would never be used."""
    (mine / "model").mkdir(exist_ok=True)
    (mine / "model" / "lenet5.yaml").write_text("# Mine.\n_target_: mine.make\n")
    code, _, err = run_main("--config-dir", str(mine), "model=lenet5")
    assert (code, err.count("\n")) == (2, 1)
    assert "cnnexp has a model/lenet5.yaml of its own" in err
    assert run_main("--config-dir", str(config_folder()), "--cfg", "job")[0] == 0


def test_a_syntax_error_names_its_line(run_main: Run, mine: Path) -> None:
    (mine / "cut.py").write_text("def make(outputs, image_size):\n    return (\n")
    code, _, err = run_main("--config-dir", str(mine), "model._target_=cut.make")
    assert (code, err.count("\n")) == (2, 1)
    assert "cut.py, line 2: '(' was never closed" in err


def test_broken_yaml_is_one_line(run_main: Run, mine: Path) -> None:
    (mine / "experiment" / "broken.yaml").write_text("# @package _global_\nseed: [1\nname: x\n")
    code, _, err = run_main("--config-dir", str(mine), "experiment=broken")
    assert (code, err.count("\n")) == (2, 1)
    assert "broken.yaml" in err


def test_wrong_option_inside_an_experiment(run_main: Run, mine: Path) -> None:
    text = (mine / "experiment" / "mine.yaml").read_text()
    (mine / "experiment" / "old.yaml").write_text(text.replace("lenet5", "lenet9"))
    code, _, err = run_main("--config-dir", str(mine), "experiment=old")
    assert code == 2
    assert "model=lenet9: no such option" in err
    assert "did you mean 'lenet5'?" in err
