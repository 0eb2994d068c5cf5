"""The command line's words: options, and overrides such as model=lenet5."""

import argparse
import re
import shlex
from collections.abc import Sequence
from typing import NoReturn

from cnnexp.config.groups import OFTEN_MEANT
from cnnexp.config.own_folder import named_folder
from cnnexp.errors import InputError, nearest
from cnnexp.files import config_dir_argv, our_command

INFORMATION = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class Parser(argparse.ArgumentParser):
    """argparse, with one line for what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def parser() -> Parser:
    """Hydra's options without those that would load a pickle or swap the primary config."""
    options = Parser("cnnexp", add_help=False, allow_abbrev=False)
    add = options.add_argument
    add("overrides", nargs="*")
    add("--help", "-h", action="store_true")
    add("--version", action="store_true")
    add("--multirun", "-m", action="store_true")
    add("--run", "-r", action="store_true")
    add("--cfg", "-c", choices=["job", "hydra", "all"])
    add("--resolve", action="store_true")
    add("--package", "-p")
    add("--config-dir", "-cd")
    add("--shell-completion", "-sc", action="store_true")
    add("--completion", choices=["bash"])
    add("--info", "-i", nargs="?", const="all", choices=INFORMATION)
    add("--hydra-help", action="store_true")
    return options


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options and overrides in any order. Raises InputError."""
    options = parser()
    names = [name for action in options._actions for name in action.option_strings]
    flags = {name for one in options._actions if one.nargs == 0 for name in one.option_strings}
    for word in argv:
        name, given, _ = word.partition("=")
        if given and name in flags:
            raise InputError(f"{word}: {name} takes no value; see cnnexp --help")
    # argparse would take -model=lenet5 for -m with a value.
    rest = [
        word
        for word in argv
        if word.startswith("-") and "=" in word and word.partition("=")[0] not in names
    ]
    if not rest:
        arguments, rest = options.parse_known_intermixed_args(list(argv))
    if rest:
        key, _, value = rest[0].strip("-").partition("=")
        near = nearest(key, [n.strip("-") for n in names]) and nearest(rest[0], names)
        typed = f"{OFTEN_MEANT.get(key, key)}={value or '…'}"
        setting = f"; a setting has no dashes: {typed};" if len(key) > 1 else ";"
        raise InputError(f"{rest[0]}: unknown option{near or setting} see cnnexp --help")
    words = arguments.overrides
    empty = [word for word in words if re.fullmatch(r"[+]*[\w./@-]+=", word)]
    apart = any("=" not in word for word in words)  # a value behind a space: told elsewhere
    if empty and not apart and not arguments.shell_completion:
        raise InputError(f"{empty[0]}: is empty; give a value, or null for none, or leave it out")
    if arguments.cfg and arguments.info:
        raise InputError("--cfg, --info: one of them")
    if "help" in arguments.overrides:
        arguments.help = True
    if arguments.shell_completion and arguments.overrides == ["install=bash"]:
        arguments.completion = "bash"  # ours also completes `python -m cnnexp`
    return arguments


def hydra_argv(arguments: argparse.Namespace, overrides: Sequence[str]) -> list[str]:
    """The same for Hydra's own parser, which wants its options first."""
    argv: list[str] = []
    if arguments.config_dir is not None:
        argv += ["--config-dir", arguments.config_dir]
    shows = arguments.cfg or arguments.info  # how it would be run Hydra does not ask then
    modes = () if shows else ("multirun", "run")
    for name in (*modes, "shell_completion", "hydra_help", "resolve"):
        if getattr(arguments, name):
            argv.append("--" + name.replace("_", "-"))
    for name in ("cfg", "package", "info"):
        value = getattr(arguments, name)
        if value is not None:
            argv += ["--" + name, value]
    return [*argv, *overrides]


def own_argv() -> list[str]:
    """The option that this command named its user's folder by, if it did."""
    return config_dir_argv(named_folder())


def to_type(*words: str) -> str:
    """A command for people to type, which finds the same configs and code as this one."""
    return shlex.join([*our_command(named_folder()), *words])


def names_sweep(
    overrides: Sequence[str], groups: Sequence[str] = ("sweep", "suite", "hydra/launcher")
) -> bool:
    """`sweep=optuna`, `suite=cats_dogs`, `hydra/launcher=slurm_gpu`: many runs without -m."""
    chosen = [line.lstrip("+").partition("=") for line in overrides]
    return any(key in groups and value != "null" for key, _, value in chosen)
