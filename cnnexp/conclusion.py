"""What is made of a network when its phases are done: pictures, the exported model, the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnexp.answers import Tested
from cnnexp.config.arguments import to_type
from cnnexp.config.loss_options import loss_options
from cnnexp.drawing import draw
from cnnexp.files import shown_path
from cnnexp.recording import ENDED, RUN, Records, log_files
from cnnexp.reporting.curves import learning_curves, rates_of
from cnnexp.reporting.diagnosis.diagnose import NOTHING
from cnnexp.reporting.journal import Journal
from cnnexp.reporting.picture import Picture, save_pictures
from cnnexp.reporting.run_report.report import REPORT, findings, write_report
from cnnexp.runs import json_text, now, write_json
from cnnexp.start import Begun
from cnnexp.tracking.metrics_file import read_metrics
from cnnexp.tracking.none import NullTracker


def conclude(
    config: Mapping[str, Any],
    begun: Begun,
    tested: Tested | None,
    tracker: NullTracker,
    journal: Journal,
) -> None:
    """Afterwards nothing of the run is missing, and run.json says FINISHED. tested: None without a
    test.
    """
    network, images, folder = begun.network, begun.images, begun.folder
    if not (folder / "config.yaml").exists():
        raise FileNotFoundError(f"{folder}: it has no config.yaml any more")
    figures = folder / "figures"
    save_pictures({"learning_curves": curves_of(config, begun)}, figures)
    if tested is not None:
        draw(config, network, images, tested, figures, lambda s: journal.topic("picture", s))
    network.cpu()
    pixels = images.images[images.split["train"][:2]]  # (2, S, S, 3)
    tracker.log_model(network, np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), images.classes)
    begun.info.pop("problem", None)  # of an interruption
    finished = {**begun.info, "status": "FINISHED", "finished": now()}
    for line in [finding.line for finding in findings(folder)] or [NOTHING]:
        journal.topic("noticed", line)
    write_report(folder, finished)
    for topic, text in last_words(folder, tracker):
        journal.topic(topic, text)
    tracker.log_folder(figures, "figures")
    log_files(tracker, folder, ENDED)
    tracker.log_text(json_text(finished), RUN)
    tracker.finish()
    write_json(folder / RUN, finished)  # last: a run that says so lacks nothing


def curves_of(config: Mapping[str, Any], begun: Begun) -> Picture:
    records: Records = begun.info["phases"]
    return learning_curves(
        [row for record in records.values() for row in record["history"]],
        rates=rates_of(read_metrics(begun.folder)),
        monitor=config["training"]["monitor"],
        options=loss_options(config["training"]),
        phases={name: len(record["history"]) for name, record in records.items()},
        chosen=records[begun.phases[-1].name]["best_epoch"],
    )


def last_words(folder: Path, tracker: NullTracker) -> list[tuple[str, str]]:
    """Where everything is, and what to type next."""
    tested = "predictions.csv, " if (folder / "predictions.csv").is_file() else ""
    predict = to_type("task=predict", f"run={shown_path(folder)}")
    lines = [
        ("saved", f"{shown_path(folder)}  (figures/, {tested}metrics.csv)"),
        ("report", f"{shown_path(folder / REPORT)}  (open it in a browser)"),
    ]
    if tracker.hint:
        lines.append(("compare", tracker.hint))
    return [
        *lines,
        ("next", f"{predict} input=<file, folder or glob>"),
    ]
