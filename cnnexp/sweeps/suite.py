"""A suite: steps in order, each for all seeds, later ones from earlier ones' weights.

A suite is a YAML in configs/suite: `seeds`, and `steps`: name -> `overrides` and, where it starts
from another step's weights (of the same seed), `init_from`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose as hydra_compose
from omegaconf import OmegaConf

from cnnexp.command import run
from cnnexp.config.check import check_keys, check_value
from cnnexp.config.compose import (
    PRIMARY,
    compose,
    hydra_at,
    resolved,
    rewritten,
    search_folders,
)
from cnnexp.config.explain import CONFIG_ERRORS, explained
from cnnexp.config.groups import listed, read_groups
from cnnexp.config.quoting import in_quotes
from cnnexp.config.rerun import check_command
from cnnexp.errors import InputError, nearest
from cnnexp.sweeps.ledger import Entry, Ledger


@dataclass(frozen=True)
class Step:
    """init_from: the name of an earlier step, or None."""

    name: str
    overrides: tuple[str, ...]
    init_from: str | None


@dataclass(frozen=True)
class Suite:
    """typed: what was typed for all steps."""

    name: str
    seeds: tuple[int, ...]
    steps: tuple[Step, ...]
    typed: tuple[str, ...]


def read_suite(overrides: Sequence[str], config_dir: Path | None) -> Suite:
    """The suite that the command names. Raises InputError for what is wrong with its steps."""
    own = [line for line in overrides if line.lstrip("+").startswith(("suite=", "suite."))]
    typed = tuple(line for line in overrides if line not in own and line != "task=suite")
    name = next((line.partition("=")[2] for line in own if "suite=" in line), "")
    with hydra_at(config_dir) as extra:
        try:
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
    steps: list[Step] = []
    for key, step in node["steps"].items():
        where = f"suite.steps.{key}"
        check_value(dict, step, where)
        check_keys(step, ("overrides", "init_from"), f"{where}.")
        check_value(list[str], step.get("overrides"), f"{where}.overrides")
        source, before = step.get("init_from"), [one.name for one in steps]
        if source is not None and source not in before:
            near = nearest(str(source), before)
            raise InputError(
                f"{where}.init_from={source}: no step before it{near or ';'} there are "
                f"{listed(before)}"
            )
        steps.append(Step(str(key), tuple(rewritten(step["overrides"])), source))
    suite = Suite(name, tuple(node["seeds"]), tuple(steps), tuple(rewritten(typed)))
    for one in suite.steps:
        check_step(suite, one, config_dir)
    return suite


def wrong(error: Exception, name: str, own: Sequence[str], config_dir: Path | None) -> InputError:
    groups = read_groups(search_folders(config_dir))
    if not name:
        return InputError(f"task=suite: needs suite={listed(sorted(groups['suite']))}")
    return explained(error, list(own), groups)


def check_step(suite: Suite, step: Step, config_dir: Path | None) -> None:
    try:
        composed = compose(lines_of(suite, step, suite.seeds[0]), config_dir)
        check_command(resolved(composed.config), composed.overrides)
    except InputError as error:
        raise InputError(f"suite={suite.name}, step {step.name}: {error}") from None


def lines_of(suite: Suite, step: Step, seed: int) -> list[str]:
    """What is typed counts more than what the step says of the same key."""
    given = [line for line in suite.typed if not re.match(r"[+~]*hydra[./]", line)]
    keys = {line.partition("=")[0].lstrip("+") for line in given}
    own = [line for line in step.overrides if line.partition("=")[0].lstrip("+") not in keys]
    return [*own, *given, f"seed={seed}"]


def batches(suite: Suite, ledger: Ledger) -> Iterator[list[Entry]]:
    """A step's jobs, one per seed; the next step's when these are done. A job that starts from one
    that failed is left out.
    """
    number = 0
    done: dict[tuple[str, int], list[str]] = {}
    for step in suite.steps:
        batch = []
        for seed in suite.seeds:
            number += 1
            lines, label = lines_of(suite, step, seed), f"{step.name} seed={seed}"
            if step.init_from is not None:
                source = ledger.read(done[step.init_from, seed])
                if source is None or source.status != "FINISHED":
                    print(f"{label}: left out, for {step.init_from} seed={seed} did not finish")
                    continue
                lines.append(f"init_from={in_quotes(str(source.folder))}")
            entry = ledger.plan(Entry(number, label, lines))
            done[step.name, seed] = entry.overrides
            batch.append(entry)
        yield batch


def compare(ledger: Ledger, settings: Sequence[str], config_dir: Path | None) -> None:
    """What may be concluded from the runs that finished. settings: where things lie."""
    places = [line for line in settings if line.lstrip("+").startswith("paths.")]
    run(["task=compare", f"runs=[{in_quotes(str(ledger.folder))}]", *places], config_dir)
