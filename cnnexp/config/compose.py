"""Overrides -> one composed config, as plain dicts and lists."""

import codecs
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir, version
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from packaging.version import Version

from cnnexp.config.explain import CONFIG_ERRORS, explained, unknown_key
from cnnexp.config.groups import config_folder, default_groups, read_groups
from cnnexp.config.own_folder import allow_folder, named_folder
from cnnexp.config.quoting import in_quotes, quoted
from cnnexp.errors import InputError
from cnnexp.files import shown_path

VERSION_BASE = "1.3"
PRIMARY = "config"
GLOBAL = ("experiment", "sweep", "debug")  # groups whose files say keys of the whole config


@dataclass(frozen=True)
class Composed:
    """config: unresolved, Hydra's own node included. overrides: as Hydra was given them."""

    config: DictConfig
    overrides: list[str]


def compose(overrides: Sequence[str], config_dir: Path | None = None) -> Composed:
    """Raises InputError for whatever Hydra cannot compose.

    A key that is not in the YAML files, such as optimizer.amsgrad, may still be an argument of the
    target: it is added as if by `++`, and validation judges it.
    """
    folders = search_folders(config_dir)
    given = rewritten(overrides)
    if config_dir is not None:
        check_places(config_dir, given)
    with hydra_at(config_dir) as extra:
        for _ in range(len(given) + 1):
            try:
                return Composed(
                    hydra_compose(PRIMARY, [*extra, *given], return_hydra_config=True), given
                )
            except (*CONFIG_ERRORS, ValueError, TypeError) as error:
                key = unknown_key(error)
                lines = [line for line in given if line.partition("=")[0] == key]
                if not lines or key is None or "@" in key or key.startswith("hydra."):
                    raise explained(error, given, read_groups(folders)) from None
                given = [f"++{line}" if line in lines else line for line in given]
        raise AssertionError("each turn adds one key")


def search_folders(config_dir: Path | None) -> list[Path]:
    return [config_folder(), *([config_dir] if config_dir else [])]


def read_option(group: str, name: str) -> Mapping[str, Any]:
    """What the YAML of a group's option says; {} where it cannot be read."""
    for folder in search_folders(named_folder()):
        try:
            found = yaml.safe_load((folder / group / f"{name}.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(found, Mapping):
            return found
    return {}


def user_folder(config_dir: str | Path | None) -> Path | None:
    """The folder named by --config-dir; its Python files may be named by configs from now on."""
    if config_dir is None:
        allow_folder(None)
        return None
    folder = Path(config_dir).expanduser().absolute()
    if not folder.is_dir():
        raise InputError(f"--config-dir {config_dir}: no such folder")
    check_names(folder)
    allow_folder(folder)
    return folder


def check_names(folder: Path) -> None:
    """Raises InputError for an option that cnnexp has, too: Hydra would take that one."""
    own = config_folder()
    if folder.resolve() == own.resolve():
        return
    for path in sorted(own.rglob("*.yaml")):
        name = path.relative_to(own)
        if (folder / name).is_file():
            raise InputError(
                f"--config-dir {shown_path(folder)}: cnnexp has a {name.as_posix()} of its own, "
                "which would be taken; rename yours"
            )


def check_places(folder: Path, overrides: Sequence[str]) -> None:
    """Raises InputError for a chosen file that would stand in another place of the config than it
    is meant for.
    """
    for line in overrides:
        group, _, value = line.lstrip("+").partition("=")
        for name in re.findall(r"[\w.-]+", value):
            path = folder / group / f"{name}.yaml"
            if not path.is_file():
                continue
            lines = _text(path).splitlines()
            place = next((line for line in lines if re.match(r"#\s*@package", line)), "")
            wanted = place or ("# @package _global_" if group in GLOBAL else "")
            if wanted and wanted != next(filter(None, lines), ""):
                raise InputError(
                    f"{shown_path(path)}: its first line must be '{wanted}', which says where its "
                    "keys belong; below another line Hydra does not see it"
                )


def _text(path: Path) -> str:
    """Of a person's own YAML. Raises InputError where Hydra could not read it as it is meant."""
    content = path.read_bytes()
    if content.startswith(codecs.BOM_UTF8):
        raise InputError(f"{shown_path(path)}: save it as UTF-8 without a BOM, which begins it now")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{shown_path(path)}, line {line}: save the file as UTF-8") from None


@contextmanager
def hydra_at(config_dir: Path | None) -> Iterator[list[str]]:
    """Hydra set up for our configs; gives the overrides it needs.

    What a Hydra program around us had set up is there again afterwards.
    """
    config, outer, base = (
        HydraConfig.instance().cfg,
        GlobalHydra.instance().hydra,
        version.getbase(),
    )
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder()), "cnnexp", version_base=VERSION_BASE):
            yield [f"hydra.searchpath=[{in_quotes(f'file://{config_dir}')}]"] if config_dir else []
    finally:
        HydraConfig.instance().cfg = config
        if outer is not None:
            GlobalHydra.instance().initialize(outer)
        if isinstance(base, Version):
            version.VersionBase.instance().setbase(base)


def rewritten(overrides: Sequence[str], *, sweep: bool = False) -> list[str]:
    """As Hydra wants them: groups without `+`, paths and names in quotes where they need some."""
    return [quoted(line, sweep=sweep) for line in without_plus(overrides)]


def without_plus(overrides: Sequence[str]) -> list[str]:
    """`+experiment=x` and `experiment=x` are one thing; so for each group of the defaults list.

    `experiment=null`, Hydra's default and no option, is dropped. Keys of a cluster's launcher are
    checked where it is used, with those that its YAML leaves out.
    """
    groups = default_groups(config_folder())
    launchers = [line.partition("=")[2] for line in overrides if "hydra/launcher=" in line]
    cluster = bool(launchers) and launchers[-1] not in ("basic", "joblib")
    lines = []
    for line in overrides:
        name, equals, value = line.partition("=")
        if equals and name.startswith("+") and name.lstrip("+") in groups:
            name = name.lstrip("+")
        if name in ("experiment", "sweep", "suite", "debug") and value == "null":
            continue
        if cluster and equals and name.startswith("hydra.launcher."):
            name = f"++{name}"
        lines.append(f"{name}{equals}{value}")
    return lines


def resolved(config: DictConfig) -> dict[str, Any]:
    """All but Hydra's node, with interpolations and `~` of `paths` resolved.

    Raises InputError, also for `???`.
    """
    former = HydraConfig.instance().cfg
    if "hydra" in config:
        HydraConfig.instance().cfg = cast(HydraConf, config)  # for ${hydra:runtime.choices.model}
    try:
        found = {str(key): plain(config, str(key)) for key in config if key != "hydra"}
    except CONFIG_ERRORS as error:
        raise explained(error, [], {}) from None
    finally:
        HydraConfig.instance().cfg = former
    if isinstance(paths := found.get("paths"), dict):
        found["paths"] = {
            key: os.path.expanduser(place) if isinstance(place, str) else place
            for key, place in paths.items()
        }
    return found


def plain(config: DictConfig, key: str) -> Any:
    value = config[key]
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
    return value
