"""A sweep's configs, checked before its first job: nothing is written for one that cannot run."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf

from cnnexp.config.compose import Composed, compose, resolved, rewritten, search_folders
from cnnexp.config.explain import explained
from cnnexp.config.groups import Groups, listed, read_groups
from cnnexp.config.located import located
from cnnexp.config.rerun import check_command
from cnnexp.errors import InputError

MOST = 64  # combinations that are checked one by one; of larger sweeps each value once


def check_sweep(overrides: Sequence[str], config_dir: Path | None) -> list[str]:
    """The overrides as Hydra is to have them, with those that configs sweep over. Raises InputError
    for the first job that is wrong.
    """
    given = rewritten(overrides, sweep=True)
    groups = read_groups(search_folders(config_dir))
    try:
        parsed = OverridesParser.create().parse_overrides(given)
    except OverrideParseException as error:
        raise explained(error, given, groups) from None
    swept = [values(override, groups) for override in parsed if sweeps(override)]
    fixed = [line for line, override in zip(given, parsed, strict=True) if not sweeps(override)]
    added: set[str] = set()
    for number, chosen in enumerate(combinations(swept)):
        # A key may be one of some options alone: which one lacks it is said.
        options = [line for line in chosen if line.partition("=")[0].lstrip("+") in groups]
        with in_the_job(options):
            composed = compose([*fixed, *chosen], config_dir)
        if number == 0:  # what the configs themselves sweep over
            params = OmegaConf.select(composed.config, "hydra.sweeper.params")
            known = {line.partition("=")[0].lstrip("+") for line in given}
            lines = [f"{key}={value}" for key, value in (params or {}).items() if key not in known]
            if lines:
                return check_sweep([*lines, *given], config_dir)
        added |= {
            line.partition("=")[0][2:] for line in composed.overrides if line.startswith("++")
        }
        with in_the_job(options):
            check_job(composed)
    return [f"++{line}" if line.partition("=")[0] in added else line for line in given]


@contextmanager
def in_the_job(options: Sequence[str]) -> Iterator[None]:
    """What is wrong with a key of a group that is swept is so with this job's option of it."""
    try:
        yield
    except InputError as error:
        groups = {line.partition("=")[0].lstrip("+"): line for line in options}
        option = groups.get(str(error).partition(".")[0])
        raise InputError(f"{error} (with {option})" if option else str(error)) from None


def first_job(given: Sequence[str], config_dir: Path | None) -> list[str]:
    """Each sweep's first value, of what `check_sweep` gave."""
    groups = read_groups(search_folders(config_dir))
    parsed = OverridesParser.create().parse_overrides(list(given))
    return [
        values(override, groups)[0] if sweeps(override) else line
        for line, override in zip(given, parsed, strict=True)
    ]


def check_job(composed: Composed) -> None:
    """One of the jobs. Raises InputError."""
    with located(composed.config, composed.overrides):
        config = check_command(resolved(composed.config), composed.overrides)
    devices = config["trainer"].get("devices", 1)
    if devices != 1:
        raise InputError(
            f"trainer.devices={devices}: a sweep's jobs are one process each; of several processes "
            "one run at a time, or slurm/ddp.sbatch on a cluster"
        )


def sweeps(override: Override) -> bool:
    return override.is_sweep_override() and not override.is_hydra_override()


def values(override: Override, groups: Groups) -> list[str]:
    """Each value of a sweep as an override; of an interval its ends."""
    key, swept = override.get_key_element(), override.value()
    if isinstance(swept, Glob):
        options = sorted(groups.get(override.key_or_group, {}))
        names = swept.filter(options)
        if not names:
            raise InputError(
                f"{override.input_line}: matches no option; allowed: {listed(options, 20)}"
            )
        return [f"{key}={name}" for name in names]
    if isinstance(swept, IntervalSweep):
        return [f"{key}={swept.start}", f"{key}={swept.end}"]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def combinations(swept: list[list[str]]) -> Iterator[tuple[str, ...]]:
    """All of them; where they are many, each value beside the first of the others."""
    count = 1
    for lines in swept:
        count *= len(lines)
    if count <= MOST:
        yield from itertools.product(*swept)
        return
    first = tuple(lines[0] for lines in swept)
    yield first
    for place, lines in enumerate(swept):
        for line in lines[1:]:
            yield (*first[:place], line, *first[place + 1 :])
