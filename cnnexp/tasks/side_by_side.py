"""task=visualize runs=[…]: the same test images through several finished runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnexp.answers import answer, verdict
from cnnexp.comparison.records import check_classes
from cnnexp.comparison.same_images import images_of, picture_of, rows_of
from cnnexp.comparison.test_images import common_test_images
from cnnexp.config.several import each_run, of_runs
from cnnexp.errors import InputError
from cnnexp.files import shown_path
from cnnexp.finished import load_run
from cnnexp.folders import run_folder
from cnnexp.reporting.journal import Journal
from cnnexp.reporting.picture import save_pictures
from cnnexp.runs import Result, create_run_folder, read_json


def visualize_runs(config: Mapping[str, Any]) -> Result:
    """The same test images through several runs; what cannot be compared is refused first."""
    with Journal() as journal:
        commands = each_run(config)
        with of_runs():
            folders = [run_folder(command) for command in commands]
            once(folders)
            check_classes({f: read_json(f / "run.json").get("classes") for f in folders})
        common = common_test_images(folders)
        runs, sets = [], []
        for command in commands:
            with of_runs():
                runs.append(load_run(command))
                sets.append(images_of(runs[-1]))
        rows = rows_of(common, sets)
        journal.topic(
            "images", f"{len(rows[0]):,} test images are in all {len(runs)} runs' test splits"
        )

        shares = []
        for run, images, members in zip(runs, sets, rows, strict=True):
            there = replace(images, split={"test": members})
            tested = answer(run.config, run.network, there, precision=run.precision)
            shares.append(tested.probabilities)
            journal.topic("run", f"{run.folder}: {verdict(tested)}")
        names = [str(run.info.get("name", run.folder.parent.name)) for run in runs]
        picture = picture_of(runs, sets, rows, shares, names)
        count, differ = len(rows[0]), picture.numbers["predictions_differ"]
        journal.topic("differ", f"their predictions, on {differ:,} of {count:,} images")
        folder = create_run_folder(Path(config["paths"]["outputs"]), "side_by_side")
        (path,) = save_pictures({"side_by_side": picture}, folder / "figures")
        journal.topic("saved", shown_path(path))
    return Result({"images": float(count), "differ": float(differ)}, folder)


def once(folders: Sequence[Path]) -> None:
    """Raises InputError where two are one run."""
    for number, folder in enumerate(folders):
        if folder in folders[:number]:
            raise InputError(f"runs: {folder} is named twice")
