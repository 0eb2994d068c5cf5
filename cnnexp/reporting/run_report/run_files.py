"""What stands in a run's folder. What is missing or broken is empty: a killed run has less."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from cnnexp.errors import InputError
from cnnexp.reporting.json_values import at, mapping
from cnnexp.reporting.picture import read_words
from cnnexp.reporting.predictions import read_predictions

SPLITS = ("train", "validation", "test")
READ = (
    "train/loss",
    "val/loss",
    "train/accuracy",
    "val/accuracy",
    "val/f1",
    "lr",
)  # of metrics.csv
T = TypeVar("T")


@dataclass(frozen=True)
class Answers:
    """N test images: paths, labels (N,), probabilities (N, K). clusters: (N,) names of the groups
    that they belong to; None: each is of another.
    """

    paths: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    clusters: np.ndarray | None


@dataclass(frozen=True)
class Shown:
    """A picture: a path whose suffix says nothing, and its words."""

    file: Path
    title: str
    reading: str
    alt: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class RunFiles:
    """config, info: config.yaml and run.json. history: phase -> a row per epoch. gradients: (step,
    norm) where it was logged. counts: class -> split -> images. left_out: (path, reason).
    pictures: stem -> Shown, in order.
    """

    folder: Path
    config: dict[str, Any]
    info: dict[str, Any]
    classes: list[str]
    history: dict[str, list[dict[str, Any]]]
    gradients: list[tuple[int, float]]
    counts: dict[str, dict[str, int]]
    left_out: list[tuple[str, str]]
    notes: list[str]
    anatomy: list[dict[str, str]]
    answers: Answers | None
    pictures: dict[str, Shown]
    config_text: str


def read_run(folder: Path) -> RunFiles:
    """Raises InputError where the folder is no run's: it has neither run.json nor config.yaml."""
    info = _or(dict[str, Any], lambda: mapping(json.loads(_text(folder / "run.json"))))
    config_text = _or(str, lambda: _text(folder / "config.yaml"))
    config = _or(dict[str, Any], lambda: mapping(yaml.safe_load(config_text)))
    if not info and not config:
        raise InputError(f"{folder}: it has no run.json and no config.yaml; is it a run's folder?")
    counts = _or(dict[str, dict[str, int]], lambda: _counts(folder))
    named = info.get("classes")
    classes = [str(name) for name in named] if isinstance(named, list) else sorted(counts)
    return RunFiles(
        folder=folder,
        config=config,
        info=info,
        classes=classes,
        history=_history(folder, info, config),
        gradients=_or(list, lambda: _gradients(folder)),
        counts=counts,
        left_out=_or(
            list, lambda: [(r["path"], r["reason"]) for r in _rows(folder / "left_out.csv")]
        ),
        notes=_or(list, lambda: _notes(_text(folder / "log.txt"))),
        anatomy=_or(list, lambda: _rows(folder / "anatomy.csv")),
        answers=_or(lambda: None, lambda: _answers(folder, classes)),
        pictures=_pictures(folder / "figures") | _pictures(folder / "visualization"),
        config_text=config_text,
    )


def _or(empty: Callable[[], T], read: Callable[[], T]) -> T:
    try:
        return read()
    except (InputError, OSError, ValueError, KeyError, TypeError, csv.Error, yaml.YAMLError):
        return empty()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if None not in row and None not in row.values()]  # cut off


def _counts(folder: Path) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for row in _rows(folder / "splits.csv"):
        own = counts.setdefault(row["class"], dict.fromkeys(SPLITS, 0))
        own[row["split"]] += 1
    return counts


def _notes(log: str) -> list[str]:
    """What the journal noted of the data, each once: a run that went on repeats it."""
    log = re.sub(r"^network .*?(?=^run |\Z)", "", log, flags=re.MULTILINE | re.DOTALL)
    # How far the decoding was is no finding.
    found = re.findall(r"^(?:note      | {10}note: )(?!decoding )(.+)$", log, re.MULTILINE)
    return list(dict.fromkeys(found))


def _answers(folder: Path, classes: Sequence[str]) -> Answers | None:
    found = read_predictions(folder / "predictions.csv", classes)
    if not found.paths:
        return None
    place = {name: i for i, name in enumerate(classes)}
    labels = np.array([place[name] for name in found.labels])
    return Answers(found.paths, labels, found.probabilities, _clusters(folder, found.paths))


def _clusters(folder: Path, paths: Sequence[str]) -> np.ndarray | None:
    rows = _or(list[dict[str, str]], lambda: _rows(folder / "splits.csv"))
    group = {row["path"]: row.get("group") for row in rows}
    own = [group.get(path) or path for path in paths]
    return np.array(own) if len(set(own)) < len(own) else None


def _history(
    folder: Path, info: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """A phase that was cut off has its rows in metrics.csv alone."""
    found = {}
    for name, record in mapping(info.get("phases")).items():
        rows = at(record, "history")
        found[name] = [mapping(row) for row in rows] if isinstance(rows, list) else []
    open_phase = next((name for name, rows in found.items() if not rows), None)
    if open_phase is None:
        return found
    done = sum(len(rows) for rows in found.values())
    rest: dict[int, dict[str, Any]] = {}

    def read() -> None:
        for row in _rows(folder / "metrics.csv"):
            epoch = int(row["epoch"])
            if epoch > done and row["metric"] in READ:
                known = rest.setdefault(epoch, {"epoch": epoch})
                known[row["metric"]] = float(row["value"])

    _or(lambda: None, read)
    found[open_phase] = [rest[e] for e in sorted(rest) if "val/loss" in rest[e]]
    return {name: rows for name, rows in found.items() if rows}


def _gradients(folder: Path) -> list[tuple[int, float]]:
    rows = _rows(folder / "metrics.csv")
    return [
        (int(row["step"]), float(row["value"]))
        for row in rows
        if row["metric"] == "train/gradient_norm"
    ]


def _pictures(folder: Path) -> dict[str, Shown]:
    """Those whose files are there, in the order of pictures.json; the others by name behind."""
    if not folder.is_dir():
        return {}
    files = {p.stem: p for p in sorted(folder.iterdir()) if p.suffix in (".png", ".svg")}
    words = _or(dict[str, Any], lambda: mapping(read_words(folder)))
    order = [stem for stem in words if stem in files]
    order += [stem for stem in files if stem not in words]
    found = {}
    for stem in order:
        said = mapping(words.get(stem))
        name = stem.replace("_", " ").capitalize()
        title, reading, alt = (str(said.get(key) or "") for key in ("title", "reading", "alt"))
        found[stem] = Shown(
            files[stem], title or name, reading, alt or f"{title or name}, a figure of this run.",
            mapping(said.get("numbers")),
        )  # fmt: skip
    return found
