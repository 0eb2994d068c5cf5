"""task=visualize runs=[…]: the same test images through several finished runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cnnexp.answers import answer, verdict
from cnnexp.config.groups import listed
from cnnexp.config.several import each_run, of_runs
from cnnexp.data.image_set import ImageSet
from cnnexp.errors import InputError
from cnnexp.experiment import device_of, find_images, load_images
from cnnexp.finished import FinishedRun, load_run, read_splits, run_folder
from cnnexp.reporting.journal import Journal
from cnnexp.reporting.picture import save_pictures
from cnnexp.runs import Result, create_run_folder, read_json, shown_path
from cnnexp.visualization.side_by_side import Column, choose_rows, side_by_side

ROWS = 8  # images of the side-by-side picture


def visualize_runs(config: Mapping[str, Any]) -> Result:
    """The same test images through several runs; what cannot be compared is refused first."""
    with Journal() as journal:
        commands = each_run(config)
        with of_runs():
            folders = [run_folder(command) for command in commands]
            check_classes(folders)
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

        shares, accuracies = [], []
        labels = np.asarray(sets[0].labels)[rows[0]]
        for run, images, members in zip(runs, sets, rows, strict=True):
            there = replace(images, split={"test": members})
            tested = answer(run.config, run.network, there, precision=run.precision)
            shares.append(tested.probabilities)
            accuracies.append(tested.metrics["test/accuracy"])
            journal.topic("run", f"{run.folder}: {verdict(tested)}")
        chosen = choose_rows(np.stack(shares), labels, ROWS)
        picture = side_by_side(
            [
                column(run, images, members[chosen.places], probabilities[chosen.places], accuracy)
                for run, images, members, probabilities, accuracy in zip(
                    runs, sets, rows, shares, accuracies, strict=True
                )
            ],
            labels=labels[chosen.places].tolist(),
            classes=runs[0].classes,
            paths=[sets[0].paths[i] for i in rows[0][chosen.places]],
            disagreed=chosen.disagreed,
            differ=chosen.differ,
            common=len(labels),
        )
        journal.topic(
            "differ", f"their predictions, on {chosen.differ:,} of {len(labels):,} images"
        )
        folder = create_run_folder(Path(config["paths"]["outputs"]), "side_by_side")
        (path,) = save_pictures({"side_by_side": picture}, folder / "figures")
        journal.topic("saved", shown_path(path))
    return Result({"images": float(len(labels)), "differ": float(chosen.differ)}, folder)


def check_classes(folders: Sequence[Path]) -> None:
    """Raises InputError where two are one run, or the classes are not the same."""
    first = read_json(folders[0] / "run.json").get("classes")
    for number, folder in enumerate(folders):
        if folder in folders[:number]:
            raise InputError(f"runs: {folder} is named twice")
        own = read_json(folder / "run.json").get("classes")
        if own is None or own != first:
            raise InputError(
                f"runs: the classes differ: {listed(own or ['none'])} in {folder}, "
                f"{listed(first or ['none'])} in {folders[0]}; give runs with the same"
            )


def common_test_images(folders: Sequence[Path]) -> list[tuple[str, str]]:
    """(sha256, class) of the images that are in all runs' test splits and that none has learned
    from, in the first run's order. Raises InputError where there is none.
    """
    splits = [read_splits(folder / "splits.csv") for folder in folders]
    learned = {sha for rows in splits for sha, _, split in rows if split != "test"}
    tests = [{row[:2]: None for row in rows if row[2] == "test"} for rows in splits]
    common = [key for key in tests[0] if key[0] not in learned and all(key in t for t in tests)]
    if not common:
        sizes = ", ".join(f"{len(test):,}" for test in tests)
        raise InputError(
            f"runs: no image is in all of their test splits (of {sizes} images) and learned from "
            "by none; give runs with the same data and dataset.split_seed"
        )
    return common


def images_of(run: FinishedRun) -> ImageSet:
    """As they are found today, in the run's size."""
    images = load_images(run.config, find_images(run.config))
    if images.classes != run.classes:
        raise InputError(
            f"run={run.folder}: the classes of its images are {listed(images.classes)} now, it "
            f"learned {listed(run.classes)}; point dataset.root at the runs' data"
        )
    return images


def rows_of(common: Sequence[tuple[str, str]], sets: Sequence[ImageSet]) -> list[np.ndarray]:
    """Where the common images that are still there lie in each set, in the same order."""
    places = []
    for images in sets:
        keys = zip(images.sha256, (images.classes[label] for label in images.labels), strict=True)
        places.append({key: i for i, key in reversed(list(enumerate(keys)))})  # copies: the first
    there = [key for key in common if all(key in place for place in places)]
    if not there:
        raise InputError(
            f"runs: none of their {len(common):,} common test images is here; "
            "dataset.root=… says where they are now"
        )
    return [np.array([place[key] for key in there], dtype=np.int64) for place in places]


def column(
    run: FinishedRun,
    images: ImageSet,
    rows: np.ndarray,
    probabilities: np.ndarray,
    accuracy: float,
) -> Column:
    device = device_of(run.config)
    pixels = torch.from_numpy(images.images[rows]).permute(0, 3, 1, 2).contiguous()
    return Column(
        name=str(run.info.get("name", run.folder.parent.name)),
        notes=(f"{run.folder.name[-6:]}, seed {run.config['seed']}",),
        network=run.network.to(device),
        images=pixels.to(device),
        probabilities=probabilities,
        accuracy=accuracy,
    )
