"""A suite: steps in order, each for all seeds, later ones from earlier ones' weights.

A suite is a YAML in configs/suite: `seeds`, and `steps`: name -> `overrides`; `sweep`, lists of
values of keys, all combinations of which are run; and, where it starts from another step's weights
(of the same seed and the same values), `init_from`.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from omegaconf import OmegaConf

from cnnexp.config.check import check_keys, check_value, shown
from cnnexp.config.compose import (
    PRIMARY,
    compose,
    hydra_at,
    rewritten,
    search_folders,
)
from cnnexp.config.explain import CONFIG_ERRORS, explained
from cnnexp.config.groups import listed, read_groups
from cnnexp.config.quoting import in_quotes
from cnnexp.config.sweep import check_job
from cnnexp.config.weights import IMAGENET
from cnnexp.errors import InputError, nearest
from cnnexp.execution import checked, run_one
from cnnexp.sweeps.ledger import Entry, Ledger


@dataclass(frozen=True)
class Step:
    """sweep: key -> its values. init_from: the name of an earlier step, or None."""

    name: str
    overrides: tuple[str, ...]
    sweep: Mapping[str, Sequence[Any]]
    init_from: str | None

    def settings(self) -> list[dict[str, Any]]:
        """Key -> value, of each combination."""
        return [
            dict(zip(self.sweep, values, strict=True))
            for values in itertools.product(*self.sweep.values())
        ]


@dataclass(frozen=True)
class Suite:
    """typed: what was typed for all steps."""

    name: str
    seeds: tuple[int, ...]
    steps: tuple[Step, ...]
    typed: tuple[str, ...]

    def as_config(self) -> dict[str, Any]:
        """As a suite's YAML, with the number of jobs; what was typed stands in each step."""
        steps = {
            step.name: {
                "overrides": lines_of(self, step, {}, None),
                **({"sweep": dict(step.sweep)} if step.sweep else {}),
                **({"init_from": step.init_from} if step.init_from else {}),
            }
            for step in self.steps
        }
        jobs = len(self.seeds) * sum(len(step.settings()) for step in self.steps)
        return {"name": self.name, "jobs": jobs, "seeds": list(self.seeds), "steps": steps}


def read_suite(overrides: Sequence[str], config_dir: Path | None) -> Suite:
    """The suite that the command names. Raises InputError for what is wrong with its steps."""
    own = [line for line in overrides if line.lstrip("+").startswith(("suite=", "suite."))]
    typed = tuple(line for line in overrides if line not in own and line != "task=suite")
    name = next((line.partition("=")[2] for line in own if "suite=" in line), "")
    if several := next((line for line in typed if line.startswith("seed=")), None):
        raise InputError(f"{several}: a suite has a list of seeds: suite.seeds=[0,1,2]")
    chosen = [line for line in own if "suite=" in line]
    with hydra_at(config_dir) as extra:
        try:
            if len(chosen) < len(own):
                check_typed(own, hydra_compose(PRIMARY, [*extra, *chosen]).suite or {})
            composed = hydra_compose(PRIMARY, [*extra, *rewritten(own)])
            node = OmegaConf.to_container(composed.suite, resolve=True)
        except (*CONFIG_ERRORS, ValueError) as error:
            raise wrong(error, name, own, config_dir) from None
    assert isinstance(node, dict)
    check_value(list[int], node.get("seeds"), "suite.seeds")
    if not node["seeds"]:
        raise InputError("suite.seeds=[]: no seed, no run; give some: suite.seeds=[0,1,2]")
    if not isinstance(node.get("steps"), dict) or not node["steps"]:
        raise InputError(f"suite={name}: its YAML has no steps: name: {{overrides: […]}}")
    fixed = {line.partition("=")[0].lstrip("+") for line in typed}
    shortened = any(re.match(r"\+*(trainer\.max_epochs|debug)=(?!null$)", line) for line in typed)
    steps: list[Step] = []
    for key, step in node["steps"].items():
        where = f"suite.steps.{key}"
        if not isinstance(step, dict):
            raise InputError(
                f"{where}={shown(step)}: must be a mapping such as {{overrides: [experiment=…], "
                "sweep: {dataset.per_class: [50, 100]}, init_from: <an earlier step>}"
            )
        check_keys(step, ("overrides", "sweep", "init_from"), f"{where}.")
        check_value(list[str], step.get("overrides"), f"{where}.overrides")
        sweep = step.get("sweep") or {}
        check_value(dict[str, list[Any]], sweep, f"{where}.sweep")
        if empty := [key for key in sweep if not sweep[key]]:
            raise InputError(f"{where}.sweep.{empty[0]}=[]: no value, no run; give some")
        sweep = {key: sweep[key] for key in sweep if key not in fixed}
        source = step.get("init_from")
        if source is not None:
            check_source(where, str(source), sweep, {one.name: one for one in steps})
        own_lines = [
            re.sub("=None$", "=null", line)  # OmegaConf's text for ${suite.weights} that is null
            for line in rewritten(step["overrides"])
            if not (shortened and re.match(r"\+*phases\.[^.]+\.epochs=", line))
        ]  # what is typed for all phases counts more
        steps.append(Step(str(key), tuple(own_lines), sweep, source))
    suite = Suite(name, tuple(dict.fromkeys(node["seeds"])), tuple(steps), tuple(rewritten(typed)))
    for one in suite.steps:
        check_step(suite, one, config_dir)
    return suite


def check_typed(own: Sequence[str], known: Mapping[str, Any]) -> None:
    """Keys of the suite that are typed are there; of `++suite.steps.mine` the first is."""
    for line in own:
        keys = line.lstrip("+~").partition("=")[0].split(".")[1:]
        node, where = known, "suite"
        for key in keys[:1] if line.startswith("+") else keys:
            if not isinstance(node, Mapping):
                break
            if key not in node:
                near = nearest(key, list(node))
                raise InputError(
                    f"{where}.{key}: no such key{near or ';'} there are {listed(list(node))}"
                )
            node, where = node[key], f"{where}.{key}"


def wrong(error: Exception, name: str, own: Sequence[str], config_dir: Path | None) -> InputError:
    groups = read_groups(search_folders(config_dir))
    if not name:
        return InputError(f"task=suite: needs suite={listed(sorted(groups['suite']))}")
    return explained(error, list(own), groups)


def check_source(
    where: str, source: str, sweep: Mapping[str, Sequence[Any]], before: Mapping[str, Step]
) -> None:
    """Each job must find the one job that it starts from."""
    if source not in before:
        near = nearest(source, list(before))
        raise InputError(
            f"{where}.init_from={source}: no step before it{near or ';'} there are "
            f"{listed(list(before))}"
        )
    for key, values in before[source].sweep.items():
        if key not in sweep or any(value not in values for value in sweep[key]):
            raise InputError(
                f"{where}.init_from={source}: {source} is run with {key}={shown(list(values))}; "
                f"{where}.sweep needs {key}, with values among these"
            )


def check_step(suite: Suite, step: Step, config_dir: Path | None) -> None:
    for setting in step.settings():
        try:
            composed = compose(lines_of(suite, step, setting, suite.seeds[0]), config_dir)
            check_job(composed)
        except InputError as error:
            raise InputError(f"suite={suite.name}, step {step.name}: {error}") from None


def fetch_weights(suite: Suite, config_dir: Path | None) -> None:
    """What a later step starts from is fetched before hours of other steps. Raises InputError."""
    fetched = []
    for step in suite.steps:
        for setting in step.settings() if step.init_from is None else ():
            composed = compose(lines_of(suite, step, setting, suite.seeds[0]), config_dir)
            model = composed.config.model
            if model.get("weights") != IMAGENET or model in fetched:
                continue
            from cnnexp.experiment import build_network

            fetched.append(model)
            print(f"{'weights':<9} of step {step.name}", flush=True)
            try:
                build_network(checked(composed.config, composed.overrides), 2)
            except InputError as error:
                raise InputError(f"suite={suite.name}, step {step.name}: {error}") from None


def lines_of(suite: Suite, step: Step, setting: Mapping[str, Any], seed: int | None) -> list[str]:
    """What is typed counts more than what the step says of the same key. A run is named after suite
    and step. seed: None for the lines that all seeds have.
    """
    given = [line for line in suite.typed if not re.match(r"[+~]*hydra[./]", line)]
    keys = {line.partition("=")[0].lstrip("+") for line in given}
    own = [line for line in step.overrides if line.partition("=")[0].lstrip("+") not in keys]
    if not any(line.startswith("name=") for line in (*own, *given)):
        debug = next((f"_{line.partition('=')[2]}" for line in given if "debug=" in line), "")
        own.append(f"name={suite.name}_{step.name}{debug}")
    seeded = [] if seed is None else [f"seed={seed}"]
    return [*own, *given, *typed_settings(setting), *seeded]


def typed_settings(setting: Mapping[str, Any]) -> list[str]:
    """{"model": "lenet5", "dataset.per_class": None} -> model=lenet5 dataset.per_class=null."""
    word = re.compile(r"(?!(?:null|true|false|nan|inf)$)[a-z_][\w.-]*", re.IGNORECASE)
    return [
        f"{key}={v if isinstance(v, str) and word.fullmatch(v) else json.dumps(v)}"
        for key, v in setting.items()
    ]


def batches(suite: Suite, ledger: Ledger) -> Iterator[list[Entry]]:
    """A step's jobs, one per seed; the next step's when these are done. A job that starts from one
    that failed is left out.
    """
    number = 0
    sweeps = {step.name: step.sweep for step in suite.steps}
    done: dict[str, list[str]] = {}  # label -> overrides
    for step in suite.steps:
        batch = []
        for setting, seed in itertools.product(step.settings(), suite.seeds):
            number += 1
            lines, label = lines_of(suite, step, setting, seed), named(step.name, setting, seed)
            if step.init_from is not None:
                own = {key: setting[key] for key in sweeps[step.init_from]}
                start = named(step.init_from, own, seed)
                source = ledger.read(done[start]) if start in done else None
                if source is None or source.status != "FINISHED":
                    print(f"{label}: left out, for {start} did not finish")
                    continue
                lines.append(f"init_from={in_quotes(str(source.folder))}")
            entry = ledger.plan(Entry(number, label, lines))
            done[label] = entry.overrides
            batch.append(entry)
        yield batch


def named(step: str, setting: Mapping[str, Any], seed: int) -> str:
    """A job's label: `frozen dataset.per_class=50 seed=0`."""
    return " ".join([step, *typed_settings(setting), f"seed={seed}"])


def compare(ledger: Ledger, settings: Sequence[str], config_dir: Path | None) -> None:
    """What may be concluded from the runs that finished. settings: where things lie."""
    places = [line for line in settings if line.lstrip("+").startswith("paths.")]
    run_one(["task=compare", f"runs=[{in_quotes(str(ledger.folder))}]", *places], config_dir)
