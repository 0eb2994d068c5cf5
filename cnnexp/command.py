"""One command: compose, check, then the task. Torch is imported by the task, after the check."""

import logging
import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from cnnexp.config.arguments import hydra_argv, names_sweep
from cnnexp.config.completion import completion_line
from cnnexp.config.compose import (
    PRIMARY,
    VERSION_BASE,
    compose,
    resolved,
    rewritten,
    search_folders,
    user_folder,
)
from cnnexp.config.explain import CONFIG_ERRORS, explained, parsed
from cnnexp.config.groups import config_folder, read_groups
from cnnexp.config.located import located
from cnnexp.config.phases import check_heeded
from cnnexp.config.rerun import check_epochs, check_per_class, effective, takes_run
from cnnexp.errors import InputError
from cnnexp.execution import check_single, checked, execute, run_one
from cnnexp.processes import beside_the_first, place, several, start

# Refused, or set by a script that a person adds words to.
NOT_TWICE = r"(input|run|runs)$|hydra\b"


def run(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Any:
    """What `cnnexp <overrides>` does, see `cnnexp.run`."""
    if isinstance(overrides, str):
        raise InputError(f"run({overrides!r}): give a list of overrides: run([{overrides!r}])")
    folder = user_folder(config_dir)
    if names_sweep(overrides):
        return sweep(overrides, folder)
    return run_one(overrides, folder)


def command(arguments: Namespace) -> int:
    """The exit code. Raises InputError."""
    folder = user_folder(arguments.config_dir)
    if arguments.shell_completion:
        with completion_line():
            return hydra_main(arguments, arguments.overrides)
    if arguments.cfg or arguments.info:
        check_one_config(arguments)
    if arguments.hydra_help or arguments.info or arguments.cfg in ("hydra", "all"):
        return hydra_main(arguments, rewritten(arguments.overrides))
    many = arguments.multirun or names_sweep(arguments.overrides)
    if not beside_the_first():
        say_twice(arguments.overrides)
    if many and arguments.cfg is None:
        return sweep(arguments.overrides, folder).exit_code
    if arguments.cfg == "job" and names_sweep(arguments.overrides, ["suite"]):
        from cnnexp.sweeps.suite import read_suite

        suite = read_suite(arguments.overrides, folder)
        print_yaml({"suite": suite.as_config()}, arguments.package)
        return 0
    composed = compose(arguments.overrides, folder)
    if arguments.cfg == "job":
        print_config(composed.config, composed.overrides, arguments)
    elif composed.config.hydra.mode == RunMode.MULTIRUN:
        return sweep(arguments.overrides, folder).exit_code
    elif wants_hydra(composed.config):
        check_single(arguments.overrides)
        return hydra_main(arguments, composed.overrides)
    else:
        check_single(arguments.overrides)
        config = checked(composed.config, composed.overrides)
        if several(config) and place(config) is None:
            return start(config, hydra_argv(arguments, arguments.overrides))
        return getattr(execute(config), "exit_code", 0)
    return 0


def say_twice(overrides: Sequence[str]) -> None:
    """A line for a key that was typed twice with different values, of which the last counts."""
    typed: dict[str, str] = {}
    for line in overrides:
        key, _, value = line.lstrip("+").partition("=")
        if typed.get(key, value) != value and not re.match(NOT_TWICE, key):
            print(f"note: {key} is typed twice; the last counts: {line}", file=sys.stderr)
        typed[key] = value


def check_one_config(arguments: Namespace) -> None:
    """Raises InputError for several values: what --cfg and --info show is of one run."""
    option = "--cfg" if arguments.cfg else "--info"
    for override in parsed(arguments.overrides):
        if override.is_sweep_override():
            key, _, values = str(override.input_line).partition("=")
            listing = f"; a list is written {key}=[{values}]" if "(" not in values else ""
            raise InputError(f"{key}={values}: {option} shows one config, give one value{listing}")


def sweep(overrides: Sequence[str], config_dir: Path | None) -> Any:
    from cnnexp.sweeps.sweep import run_sweep

    return run_sweep(overrides, config_dir)


def wants_hydra(config: DictConfig) -> bool:
    """Whether a single run asks for what only Hydra's own main does."""
    node = config.hydra
    return bool(node.callbacks or node.job.env_set or node.job.chdir)


def print_config(config: DictConfig, overrides: Sequence[str], arguments: Namespace) -> None:
    """--cfg job: checked as for a run, but for what only running needs."""
    composed = resolved(config)
    with located(config, overrides):
        plain = effective(composed, overrides)
        check_epochs(plain, parsed(overrides))
        check_per_class(plain, parsed(overrides))
        check_heeded(config, overrides)
    if arguments.resolve or takes_run(composed) or composed.get("resume") is not None:
        print_yaml(plain, arguments.package)
    else:
        with open_dict(config):
            del config["hydra"]
        # What a YAML leaves out has its default, and trainer.max_epochs stands for all phases';
        # interpolations stay as they are written.
        epochs = {name: {"epochs": phase["epochs"]} for name, phase in plain["phases"].items()}
        config = cast(DictConfig, OmegaConf.merge(plain, config, {"phases": epochs}))
        print_yaml(config, arguments.package)


def print_yaml(config: DictConfig | dict[str, Any], package: str | None) -> None:
    """The config, or what is at the key `package`. Raises InputError.

    Of a plain one nothing is resolved: a run's may be a stranger's, and ask for the environment.
    """
    node: Any = config
    if package and isinstance(config, DictConfig):
        node = OmegaConf.select(config, package)
    elif package:
        node = at_key(config, package)
    if node is None:
        raise InputError(
            f"--package {package}: no such key; allowed: {', '.join(map(str, config))}"
        )
    if OmegaConf.is_config(node):
        node = OmegaConf.to_yaml(node).rstrip()
    elif isinstance(node, dict | list):
        node = yaml.safe_dump(node, sort_keys=False, allow_unicode=True).rstrip()
    print(node)


def at_key(tree: Any, key: str) -> Any:
    """`a.b[0]` of plain dicts and lists; None where there is none."""
    for part in re.findall(r"[^.\[\]]+", key):
        if isinstance(tree, list):
            tree = dict(enumerate(tree)).get(int(part) if part.isdecimal() else -1)
        else:
            tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def hydra_main(arguments: Namespace, overrides: Sequence[str]) -> int:
    """Hydra's own main, for what only that does: its own questions, and runs with its callbacks,
    environment or folder around them. Its errors reach us raw.
    """
    folder, codes = config_folder(), [0]

    def job(config: DictConfig) -> None:
        done = execute(checked(config, HydraConfig.get().overrides.task))
        codes.append(getattr(done, "exit_code", 0))

    decorated = hydra.main(config_path=str(folder), config_name=PRIMARY, version_base=VERSION_BASE)(
        job
    )
    with hydra_process(hydra_argv(arguments, overrides)):
        try:
            decorated()
        except CONFIG_ERRORS as error:
            groups = read_groups(search_folders(user_folder(arguments.config_dir)))
            raise explained(error, [], groups) from None
        except SystemExit as leaving:
            return leaving.code if isinstance(leaving.code, int) else 1
    return codes[-1]


@contextmanager
def hydra_process(argv: list[str]) -> Iterator[None]:
    """sys.argv and the switch for raw errors, as Hydra's main reads them; its logging ends, too."""
    former, switch = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    sys.argv = [former[0], *argv]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = former
        root.setLevel(level)
        root.handlers[:] = handlers
        if switch is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = switch
