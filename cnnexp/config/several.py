"""runs=[a,b,c]: one command about several finished runs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_type_hints

from cnnexp.config.check import check_value, shown
from cnnexp.config.schema import COMPARES, NEEDS_RUN, TAKES_RUNS, Config
from cnnexp.errors import InputError

MOST_RUNS = 6  # side by side: what is still legible


def check_runs(config: Mapping[str, Any], typed: Sequence[str]) -> None:
    """What runs= itself may be, and what may be typed beside it. Raises InputError."""
    runs, name = config["runs"], task_name(config)
    check_value(get_type_hints(Config)["runs"], runs, "runs")
    if name not in TAKES_RUNS:
        one = "; name one with run=" if name in NEEDS_RUN else ""
        raise InputError(
            f"runs={shown(runs)}: only task={', '.join(TAKES_RUNS)} takes several, and "
            f"task=compare{one}"
        )
    if config.get("input") is not None:
        raise InputError(
            f"input={config['input']}: runs= shows test images that all runs have; leave it out, "
            "or name one run with run="
        )
    if config.get("run") is not None:
        raise InputError(
            f"run={config['run']}, runs={shown(runs)}: one of them; several runs are a list: "
            "runs=[a,b]"
        )
    if not 2 <= len(runs) <= MOST_RUNS:
        raise InputError(
            f"runs={shown(runs)}: {len(runs)} of them; from 2 to {MOST_RUNS} stand side by side"
        )
    twice = next((run for run in runs if runs.count(run) > 1), None)
    if twice is not None:
        raise InputError(f"runs={shown(runs)}: {twice} is there twice")
    for line in typed:
        if re.match(r"[+~]*visualization\b", line):
            raise InputError(f"{line}: runs= draws one picture of its own; leave it out")


def check_comparison(config: Mapping[str, Any], typed: Mapping[str, str]) -> None:
    """What task=compare and task=diff need, and what no other task takes. Raises InputError.

    typed: key -> what was typed.
    """
    name = task_name(config)
    for key in ("a", "b"):
        if config.get(key) is not None and name != "diff":
            raise InputError(f"{key}={shown(config[key])}: only task=diff a=<run> b=<run> takes it")
        if config.get(key) is None and name == "diff":
            raise InputError(f"task=diff: needs {key}=<a run's folder or its MLflow id>")
    if name not in COMPARES:
        return
    own = ("a", "b") if name == "diff" else ("runs",)
    if name != "diff" and not config.get("runs"):
        raise InputError(
            f"task={name}: needs runs=[…]: runs' folders or ids, folders that hold runs "
            "(outputs/<name>, a sweep's), globs (outputs/cifar10_*)"
        )
    check_value(get_type_hints(Config)["runs"], config.get("runs"), "runs")
    allowed = (*own, "task", "dataset.root", "dataset.table", "paths", "tracking", "trainer")
    for key, line in typed.items():
        if not f"{key}.".startswith(tuple(f"{one}." for one in allowed)):
            raise InputError(
                f"{line.lstrip('+')}: task={name} takes {', '.join(allowed)}; {key} is the runs' "
                "own, leave it out"
            )


def task_name(config: Mapping[str, Any]) -> str | None:
    task = config.get("task")
    name = task.get("name") if isinstance(task, Mapping) else None
    return name if isinstance(name, str) else None


def each_run(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The command once for each of its runs, as if it were about that one."""
    return [{**config, "run": run, "runs": None} for run in config["runs"]]


@contextmanager
def of_runs() -> Iterator[None]:
    """What is wrong with one of several runs is said as it was typed: `runs: …`, not `run=…`."""
    try:
        yield
    except InputError as error:
        said = re.sub(r"^run(=|: )", "runs: ", str(error))
        raise InputError(re.sub(r"; name one: run=", "; name one of them: ", said)) from None
