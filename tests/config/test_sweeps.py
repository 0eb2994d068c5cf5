"""Sweeps: jobs that are checked before the first one starts, done once, and gone on with."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def test_a_sweep_runs_all_combinations(run_main: Run, mine: Path, work: Path) -> None:
    code, out, err = run_main(
        "-m",
        "--config-dir",
        str(mine),
        "task=say",
        "+experiment=mine,quickstart",
        "seed=1,2",
        "name=x",
    )
    assert (code, err) == (0, "")
    names = sorted(path.name for path in work.glob("*.json"))
    assert names == ["said_1_20.json", "said_1_512.json", "said_2_20.json", "said_2_512.json"]
    assert re.findall(r"^job (\d) of 4: experiment=(\w+) seed=(\d)", out, re.M) == [
        ("1", "mine", "1"), ("2", "mine", "2"), ("3", "quickstart", "1"), ("4", "quickstart", "2"),
    ]  # fmt: skip
    # Means over seeds, the best first; equals have one rank, and the first of them is named.
    assert "equal     1 more reached what the best did; the first of them is named\n" in out
    assert re.findall(r"^(?:ranking)? +(\d)  experiment=(\w+) +(.*)", out, re.M) == [
        ("1", "mine", "0.1500 ± 0.0707  2 runs"), ("1", "quickstart", "0.1500 ± 0.0707  2 runs"),
    ]  # fmt: skip
    assert len(list(work.glob("outputs/sweeps/x_*/jobs/*.json"))) == 4


def test_a_key_may_belong_to_what_is_swept_over(run_main: Run, mine: Path, work: Path) -> None:
    """The default dataset has no such key: cifar10_baseline,cifar10_residual dataset.root=…"""
    for name in ("a", "b"):
        (mine / "experiment" / f"{name}.yaml").write_text(
            f"# @package _global_\n# It.\nname: {name}\ndefaults:\n  - override /dataset: shapes\n"
        )
    own = ["--config-dir", str(mine), "task=say", "experiment=a,b", "dataset.classes=3"]
    code, out, err = run_main("-m", *own)
    assert (code, err) == (0, "")
    assert re.findall(r"^job \d of 2: (experiment=\w)", out, re.M) == [
        "experiment=a",
        "experiment=b",
    ]


def test_an_experiment_may_hold_a_sweep(run_main: Run, mine: Path, work: Path) -> None:
    path = mine / "experiment" / "grid.yaml"
    sweep = (
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 1,%s\n"
    )
    path.write_text(sweep % "2")
    code, _, err = run_main("--config-dir", str(mine), "-m", "task=say", "experiment=grid")
    assert (code, err) == (0, "")
    assert sorted(path.name for path in work.glob("*.json")) == [
        "said_1_512.json",
        "said_2_512.json",
    ]
    path.write_text(sweep % "-2")
    code, _, err = run_main("--config-dir", str(mine), "-m", "task=say", "experiment=grid")
    assert (code, err[:14]) == (2, "error: seed=-2")


def test_a_sweep_of_its_own_needs_no_m(run_main: Run, mine: Path, work: Path) -> None:
    code, out, err = run_main("--config-dir", str(mine), "task=say", "sweep=seeds")
    assert (code, err) == (0, "")
    names = sorted(path.name for path in work.glob("*.json"))
    assert names == ["said_0_512.json", "said_1_512.json", "said_2_512.json"]
    assert out.count("\njob ") + out.startswith("job ") == 3
    code, _, err = run_main("--config-dir", str(mine), "task=say", "sweep=null", "seed=7")
    assert (code, err) == (0, "")
    assert (work / "said_7_512.json").exists()
    code, out, err = run_main("--config-dir", str(mine), "task=say", "sweep=seed")
    assert (code, out) == (2, "")
    assert err.startswith("error: sweep=seed: no such option; did you mean 'seeds'? allowed: ")


def test_a_sweep_over_all_options(run_main: Run, mine: Path, work: Path) -> None:
    code, _, err = run_main("-m", "--config-dir", str(mine), "task=say", "model=glob(lenet5*)")
    assert (code, err) == (0, "")
    assert [path.name for path in work.glob("*.json")] == ["said_0_120.json"]


def test_wrong_input_in_a_sweep(run_main: Run, mine: Path, work: Path) -> None:
    """Found by the task only: the other jobs run, the message names the job."""
    code, out, err = run_main("-m", "--config-dir", str(mine), "task=say", "seed=13,2")
    assert (code, err) == (1, "")
    assert "   1 of 2 done  seed=13  FAILED: seed=13: no luck; take another\n" in out, "at once"
    assert "\nfailed    seed=13: seed=13: no luck; take another\n" in out, "and at the end"
    assert (work / "said_2_512.json").exists()


def test_hydra_sees_what_only_hydra_does(run_main: Run, mine: Path, work: Path) -> None:
    code, _, err = run_main(
        "--config-dir", str(mine), "task=say", "seed=1,2", "hydra.mode=MULTIRUN"
    )
    assert (code, err[:6]) == (2, "error:"), "several values want -m"
    code, out, _ = run_main("--config-dir", str(mine), "task=say", "seed=1", "hydra.mode=MULTIRUN")
    assert code == 0
    assert out.startswith("job 1 of 1: ")
    for argv in (["--cfg", "hydra"], ["--info", "searchpath"], ["--hydra-help"]):
        code, out, err = run_main(*argv)
        assert (code, err) == (0, "")
        assert "hydra" in out.lower()


def test_other_processes_know_the_users_folder(mine: Path, work: Path) -> None:
    """A launcher unpickles the job elsewhere, where --config-dir was never read."""
    code = """
import sys
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict
from cnnexp.sweeps.job import job
from cnnexp.config.compose import hydra_at
from pathlib import Path
with hydra_at(Path(sys.argv[1])) as extra:
    config = compose("config", [*extra, "task=say", "seed=5"], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    print(job(config))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(mine)],
        capture_output=True,
        text=True,
        cwd=work,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(0.5)


def test_a_configs_sweep_over_a_key_that_no_yaml_has(run_main: Run, mine: Path, work: Path) -> None:
    """dataset.fold is a key of every dataset, with its default in the schema."""
    code, out, err = run_main("--config-dir", str(mine), "task=say", "sweep=folds")
    assert (code, err) == (0, "")
    assert re.findall(r"^job \d of 5: dataset\.fold=(\d)", out, re.M) == list("01234")
    code, out, err = run_main(
        "--config-dir", str(mine), "task=say", "sweep=folds", "dataset.fold=1"
    )
    assert (code, err) == (0, "")
    assert "job 1 of 1: " in out, "what is typed counts more"
