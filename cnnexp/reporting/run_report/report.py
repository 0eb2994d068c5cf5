"""The report of a run: one HTML file, from the files of the run's folder alone."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnexp.reporting.diagnosis.diagnose import NOTHING, diagnose
from cnnexp.reporting.diagnosis.finding import Finding
from cnnexp.reporting.embedded_picture import Embedded, embed
from cnnexp.reporting.json_values import mapping, number
from cnnexp.reporting.run_report import words
from cnnexp.reporting.run_report.per_class import per_class
from cnnexp.reporting.run_report.plan import anatomy, plan
from cnnexp.reporting.run_report.run_files import RunFiles, Shown, read_run
from cnnexp.reporting.run_report.template import write_page
from cnnexp.reporting.units import percent

REPORT = "report.html"
MOST = 9_000_000  # bytes of pictures: the file stays below 10 MB
WORST = 10  # mistakes in the table

# Section -> how the stems of its pictures begin; the last takes all others.
SECTIONS = {
    "Data": ("samples", "augmentation", "class_balance", "mean_images", "left_out"),
    "Learning curves": ("learning_curves",),
    "Confusion": ("confusion",),
    "Calibration and other figures": (
        "calibration",
        "reliability",
        "roc",
        "precision",
        "per_class",
    ),
    "Mistakes": ("mistakes", "most_confident", "least_confident"),
    "What the network sees": ("",),
}


def write_report(folder: Path, info: Mapping[str, Any] | None = None) -> Path:
    """Write <folder>/report.html, again if it is there; its path. See `run_files.RunFiles` for what
    is read. Raises InputError where the folder is no run's.

    info: what run.json will say, where that is not yet written.

    The file loads nothing and runs nothing, which its own content security policy enforces; all
    that comes from files is escaped. What a partial run lacks is left out.
    """
    run = read_run(folder)
    if info is not None:
        run = replace(run, info=dict(info))
    path = folder / REPORT
    write_page(path, REPORT, contents(run))
    return path


def findings(folder: Path) -> list[Finding]:
    """What the diagnosis notices in a run's folder: the same as its report says."""
    return noticed(read_run(folder))


def noticed(run: RunFiles) -> list[Finding]:
    answers = run.answers
    return diagnose(
        classes=run.classes,
        phases=run.history,
        gradients=run.gradients,
        train_counts=[run.counts.get(name, {}).get("train", 0) for name in run.classes]
        if run.counts
        else (),
        validation_images=sum(split["validation"] for split in run.counts.values()),
        labels=None if answers is None else answers.labels,
        probabilities=None if answers is None else answers.probabilities,
        clusters=None if answers is None else answers.clusters,
        dead=_dead_channels(run),
        config=run.config,
    )


def contents(run: RunFiles) -> dict[str, Any]:
    """What the template fills in."""
    sections = _sections(run)
    data_pictures = sections.pop("Data", [])
    return {
        "head": words.head(run),
        "result": words.result(run),
        "how": words.how(run),
        "data": words.data(run),
        "data_pictures": data_pictures,
        "plan": plan(run),
        "findings": noticed(run),
        "nothing": NOTHING,
        "sections": sections,
        "per_class": per_class(run),
        "worst": _worst_mistakes(run) if "Mistakes" in sections else [],
        "anatomy": anatomy(run),
        "config": run.config_text,
    }


def _dead_channels(run: RunFiles) -> dict[str, tuple[int, int]]:
    """Block -> (dead, all), as the pictures counted them."""
    found: dict[str, tuple[int, int]] = {}
    for shown in run.pictures.values():
        channels = mapping(shown.numbers.get("channels"))
        for block, value in mapping(shown.numbers.get("dead_channels")).items():
            dead, total = number(value), number(channels.get(block))
            if dead is not None and total is not None:
                found[block] = max((int(dead), int(total)), found.get(block, (0, 0)))
    return found


def _sections(run: RunFiles) -> dict[str, list[dict[str, Any]]]:
    """Heading -> groups of pictures that are read in the same way."""
    found: dict[str, list[dict[str, Any]]] = {heading: [] for heading in SECTIONS}
    room = MOST
    for stem, shown in run.pictures.items():
        heading = next(h for h, starts in SECTIONS.items() if stem.startswith(starts))
        embedded = embed(shown.file)
        if embedded is not None:
            room -= len(embedded.source)
            groups = found[heading]
            if not groups or groups[-1]["reading"] != shown.reading:
                groups.append({"reading": shown.reading, "figures": []})
            groups[-1]["figures"].append(_figure(run, shown, embedded if room > 0 else None))
            if room <= 0:
                room += len(embedded.source)
    tables = {"Confusion"} if run.answers is not None else set()
    if tables and _wrong(run).any():
        tables.add("Mistakes")
    figures = [figure for groups in found.values() for g in groups for figure in g["figures"]]
    for count, figure in enumerate(figures, start=1):
        figure["number"] = count
    return {h: g for h, g in found.items() if g or h in tables}


def _figure(run: RunFiles, shown: Shown, embedded: Embedded | None) -> dict[str, Any]:
    return {
        "title": shown.title,
        "alt": shown.alt,
        "picture": embedded,
        "file": shown.file.relative_to(run.folder).as_posix(),
    }


def _wrong(run: RunFiles) -> np.ndarray:
    assert run.answers is not None
    return run.answers.probabilities.argmax(1) != run.answers.labels


def _worst_mistakes(run: RunFiles) -> list[dict[str, str]]:
    """The wrong answers that were given with the highest probability."""
    if run.answers is None:
        return []
    shares = run.answers.probabilities
    wrong = np.flatnonzero(_wrong(run))
    order: Callable[[int], float] = lambda i: -shares[i].max()  # noqa: E731
    return [
        {
            "path": run.answers.paths[i],
            "true": run.classes[run.answers.labels[i]],
            "said": run.classes[int(shares[i].argmax())],
            "sure": percent(float(shares[i].max())),
            "own": percent(float(shares[i][run.answers.labels[i]])),
        }
        for i in sorted(wrong.tolist(), key=order)[:WORST]
    ]
