"""What is wrong with a config, and in which file of a person's own it stands."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from cnnexp.config.own_folder import named_folder
from cnnexp.errors import InputError
from cnnexp.files import shown_path

SHELL = re.compile(r"; a shell takes braces apart.*")  # what is said of a value that was typed
OPTION = re.compile(r"([a-z]+)=(\w+): must be a mapping(?! or)")


@contextmanager
def located(config: DictConfig, overrides: Sequence[str]) -> Iterator[None]:
    """An InputError gets file and line in front, where its key was not typed and stands in a file
    that was chosen from the folder of --config-dir.
    """
    try:
        yield
    except InputError as error:
        raise InputError(with_place(str(error), config, overrides)) from error.__cause__


def with_place(text: str, config: DictConfig, overrides: Sequence[str]) -> str:
    key = re.match(r"[\w.]+", text)
    if key is None or "hydra" not in config or any(says(line, key[0]) for line in overrides):
        return text
    files = list(chosen_files(config))
    for path in files:
        if number := line_of(key[0], path):
            text = SHELL.sub("; a space follows each colon", text)
            if option := OPTION.match(text):
                choice = f"- override /{option[1]}: {option[2]}"
                text += f"; an option is chosen in its defaults: '{choice}'"
            return f"{shown_path(path)}, line {number}: {text}"
    if text.startswith(f"{key[0]}: is missing"):
        lacks = [path for path in files if path.parent.name == key[0].partition(".")[0]]
        return f"{shown_path(lacks[0])}: {text}" if lacks else text
    return text


def says(line: str, key: str) -> bool:
    """Whether an override gives that key a value; a group's choice gives it no value of its own."""
    name, _, value = line.lstrip("+~").partition("=")
    above = f"{key}.".startswith(f"{name}.") and ("." in name or value.startswith("{"))
    return name == key or above


def chosen_files(config: DictConfig) -> Iterator[Path]:
    """Experiments first: they have the last word."""
    folder, choices = named_folder(), dict(config.hydra.runtime.choices)
    if folder is None:
        return
    # A list of options is no choice of Hydra's; each picture stands below the name of its file.
    choices["visualization"] = list(config.get("visualization") or ())
    for group in sorted(choices, key=lambda name: name != "experiment"):
        for name in re.findall(r"[\w.-]+", str(choices[group])):
            path = folder / str(group) / f"{name}.yaml"
            if path.is_file():
                yield path


def line_of(key: str, path: Path) -> int | None:
    """Where the key stands, below the package that the file has: its group, or what it says."""
    top, last = key.partition(".")[0], key.rpartition(".")[2]
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.splitlines()
    said = re.search(r"^#\s*@package\s+(\w+)", text, re.MULTILINE)
    package = said[1] if said else path.parent.name
    first = 0
    if package == "_global_":
        starts = [number for number, line in enumerate(lines) if re.match(rf"{top}\s*:", line)]
        if not starts:
            return None
        first = starts[0]
    elif package != top:
        return None
    for number, line in enumerate(lines[first:], start=first + 1):
        if re.match(rf"\s*['\"]?{re.escape(last)}['\"]?\s*:", line):
            return number
    return None
