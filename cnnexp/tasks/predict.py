"""task=predict: classify files with a finished run, print the answers and write them as CSV."""

import secrets
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from cnnexp.config.arguments import to_type
from cnnexp.data.batches import Batches
from cnnexp.data.gate import quiet
from cnnexp.data.given_files import read_files
from cnnexp.errors import InputError
from cnnexp.experiment import device_of
from cnnexp.files import files_named, printable, shown_path
from cnnexp.finished import load_run
from cnnexp.logits import to_probabilities
from cnnexp.reporting.journal import Journal
from cnnexp.reporting.predictions import write_predictions
from cnnexp.runs import Result
from cnnexp.training.predict import predict_logits

SHOWN = 20  # rows on the terminal; the CSV has all
AT_ONCE = 256  # images decoded and in memory together


def predict(config: Mapping[str, Any]) -> Result:
    with Journal() as journal, quiet():
        paths = sorted(files_named(config["input"]))
        run = load_run(config, partial(journal.topic, "note"))
        good: list[Path] = []
        shares: list[np.ndarray] = []
        left_out: list[tuple[Path, str]] = []
        for start in range(0, len(paths), AT_ONCE):
            given = read_files(paths[start : start + AT_ONCE], run.config["dataset"])
            good += given.paths
            left_out += given.left_out
            if given.pixels:
                logits, _, _ = predict_logits(
                    run.network,
                    in_order(np.stack(given.pixels)),
                    precision=run.precision,
                    device=device_of(run.config),
                )
                shares.append(to_probabilities(logits).numpy())
        for path, reason in left_out:
            journal.topic("left out", printable(f"{path}: {reason}"))
        if not good:
            raise InputError(
                f"input={config['input']}: none of {len(paths)} files is a readable image"
            )
        table = np.concatenate(shares)
        show(journal, run.classes, good, table)
        outputs = Path(config["paths"]["outputs"]).absolute() / "predict"
        stamp = f"{time.strftime('%Y%m%d-%H%M%S')}_{secrets.token_hex(3)}"
        target = outputs / f"{run.folder.name}_{stamp}.csv"
        write_predictions(
            target,
            classes=run.classes,
            paths=[printable(str(path)) for path in good],
            indices=np.arange(len(good)),
            probabilities=table,
            labels=None,
        )
        journal.topic("saved", shown_path(target))
        where = f"run={shown_path(run.folder)}", f"input={config['input']}"
        why = to_type("task=visualize", *where, "visualization=[gradcam,neighbours]")
        journal.topic("next", f"{why}  (which part decided)")
    return Result({"images": float(len(good))}, run.folder, run.network)


def in_order(pixels: np.ndarray) -> Batches:
    """(N, S, S, 3) uint8 as one batch; their labels are not known."""
    count = len(pixels)
    unknown = torch.zeros(count, dtype=torch.int64)
    return Batches(torch.from_numpy(pixels), unknown, np.arange(count), batch_size=count)


def show(
    journal: Journal, classes: tuple[str, ...], paths: list[Path], probabilities: np.ndarray
) -> None:
    """The first rows: path, the class, its probability, the runner-up."""
    table = Table(box=None, pad_edge=False)
    for column, side in (
        ("image", "left"),
        ("prediction", "left"),
        ("probability", "right"),
        ("second", "left"),
    ):
        table.add_column(column, justify=side, overflow="fold")  # type: ignore[arg-type]
    for path, row in list(zip(paths, probabilities, strict=True))[:SHOWN]:
        first, second = np.argsort(-row)[:2]
        table.add_row(
            printable(str(path)),
            classes[first],
            f"{row[first]:.3f}",
            f"{classes[second]} {row[second]:.3f}",
        )
    journal.console.print(table)
    if len(paths) > SHOWN:
        journal.say(f"… and {len(paths) - SHOWN} more in the file")
