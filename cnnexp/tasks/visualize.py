"""task=visualize: pictures of a finished run, beside its own; or of several on the same images."""

import hashlib
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from cnnexp.answers import answer
from cnnexp.config.groups import listed
from cnnexp.data.gate import quiet
from cnnexp.data.given_files import read_files
from cnnexp.data.image_set import ImageSet
from cnnexp.drawing import check_pictures, draw
from cnnexp.errors import InputError, nearest
from cnnexp.files import files_named, shown_path
from cnnexp.finished import FinishedRun, load_run, load_test_images
from cnnexp.reporting.journal import Journal
from cnnexp.reporting.run_report.report import write_report
from cnnexp.runs import Result
from cnnexp.tasks.side_by_side import visualize_runs
from cnnexp.visualization.probe import SHOWN, Chosen


def visualize(config: Mapping[str, Any]) -> Result:
    if config["runs"] is not None:
        return visualize_runs(config)
    with Journal() as journal, quiet():
        note = partial(journal.topic, "note")
        run = load_run(config, note)
        journal.topic("run", shown_path(run.folder))
        images = load_test_images(run, note)
        chosen = None
        if config["input"] is not None:
            chosen = choose(config["input"], run, images, note)
            journal.topic("images", listed(list(chosen.paths)))
        # A slip in what was typed ends the command; what else is wrong with a picture, that one.
        try:
            check_pictures(
                run.config, run.network, images, lambda line: None, precision=run.precision
            )
        except InputError:
            raise
        except Exception:  # a person's own code: it is told when that picture is drawn
            pass
        tested = answer(run.config, run.network, images, precision=run.precision)
        folder = run.folder / "visualization"
        written = draw(
            run.config,
            run.network,
            images,
            tested,
            folder,
            lambda line: journal.topic("picture", line),
            chosen,
        )
        names = dict.fromkeys(path.stem for path in written)
        journal.topic("saved", f"{shown_path(folder)}  ({listed(list(names))})")
        journal.topic("report", f"{shown_path(write_report(run.folder))}  (open it in a browser)")
    return Result(tested.metrics, run.folder, run.network)


def short_name(wanted: str) -> str:
    """What was typed, where it is short and a file may have its name; else its end, and a digest
    that tells it from what ends alike.
    """
    end = "/".join(PurePath(wanted).parts[-2:]).lstrip("/")
    if end == wanted and len(end) <= 60 and re.fullmatch(r"[\w./ -]*\w[\w./ -]*", end):
        return end
    return f"{end[-40:]} {hashlib.sha256(wanted.encode()).hexdigest()[:6]}".strip()


def choose(wanted: str, run: FinishedRun, images: ImageSet, note: Callable[[str], None]) -> Chosen:
    """Files on this disk, or test images by their names as predictions.csv has them, at most SHOWN.

    Of a file that is one of the data set's images the class is known. note: is told of what is left
    out. Raises InputError where nothing is left.
    """
    name = short_name(wanted)
    if files := sorted(files_named(wanted)):
        paths: list[Path] = []
        pixels: list[np.ndarray] = []
        while files and len(paths) < SHOWN:
            given = read_files(files[: SHOWN - len(paths)], run.config["dataset"])
            files = files[SHOWN - len(paths) :]
            paths += given.paths
            pixels += given.pixels
            for path, reason in given.left_out:
                note(f"left out: {path}: {reason}")
        if files:
            note(f"{len(paths)} images are looked at, {len(files):,} files more are not")
        if not paths:
            raise InputError(f"input={wanted}: there is no readable image")
        known = dict(zip(images.sha256, images.labels.tolist(), strict=True))
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        labels = torch.tensor([known.get(digest, -1) for digest in digests])
        shown = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        return Chosen(name, shown, labels, tuple(map(str, paths)))
    test = images.split["test"].tolist()
    named = {images.paths[i]: i for i in test}
    found = [named[wanted]] if wanted in named else []
    found = found or [i for i in test if fnmatchcase(images.paths[i], wanted)][:SHOWN]
    if not found:
        raise InputError(
            f"input={wanted}: no such file, and no test image of that name"
            f"{nearest(wanted, named) or '; predictions.csv lists them'}"
        )
    masks = None if images.masks is None else torch.from_numpy(np.array(images.masks[found]))
    return Chosen(
        name,
        torch.from_numpy(images.images[found]).permute(0, 3, 1, 2),
        torch.from_numpy(np.asarray(images.labels)[found]),
        tuple(images.paths[i] for i in found),
        masks,
    )
