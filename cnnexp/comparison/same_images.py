"""What needs images and networks: the same images through all groups, and those that flip.

Imports torch: the answer has been printed by then.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cnnexp.comparison.comparison import Comparison
from cnnexp.comparison.flip_gallery import flip_gallery
from cnnexp.comparison.names import brief
from cnnexp.comparison.test_images import Key, SplitFiles
from cnnexp.config.groups import listed
from cnnexp.config.rerun import rerun
from cnnexp.config.saved import saved_config
from cnnexp.data.image_set import ImageSet
from cnnexp.errors import InputError
from cnnexp.experiment import device_of, load_images
from cnnexp.finished import FinishedRun, load_run
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.predictions import read_predictions
from cnnexp.sources import find_images
from cnnexp.visualization.side_by_side import Column, choose_rows, side_by_side

MOST_GROUPS = 6  # side by side: what is still legible
ROWS = 8  # images of the side-by-side picture


def image_pictures(
    comparison: Comparison, config: Mapping[str, Any], say: Callable[[str], None]
) -> dict[str, Picture]:
    """By file name; what is not possible here is left out, with a line of reason."""
    pictures: dict[str, Picture] = {}
    for name, draw in (("flips", draw_flips), ("side_by_side", draw_side_by_side)):
        try:
            picture = draw(comparison, config)
        except InputError as error:
            say(f"no picture of {NAMES[name]}: {error}")
        else:
            pictures |= {name: picture} if picture is not None else {}
    return pictures


NAMES = {"flips": "images that flip", "side_by_side": "the same images through all groups"}


def draw_flips(comparison: Comparison, config: Mapping[str, Any]) -> Picture | None:
    """Of the best group and the next, the most decided; None where no image flips."""
    pairs = comparison.flips()
    if not pairs or not len(pairs[0].more_of_first) + len(pairs[0].more_of_second):
        return None
    folder = comparison.groups[0].runs[0].folder
    images = _images(_merged(folder, config), comparison.classes, folder)
    place = _places(images)
    return flip_gallery(comparison, pairs[0], lambda row: _pixels(images, place, comparison, row))


def draw_side_by_side(comparison: Comparison, config: Mapping[str, Any]) -> Picture | None:
    """One run per group, the lowest seed; None for a single group."""
    groups = comparison.groups[:MOST_GROUPS]
    if len(groups) < 2:
        return None
    runs = [load_run(_about(group.runs[0].folder, config)) for group in groups]
    known: dict[str, ImageSet] = {}
    sets = []
    for run in runs:
        text = json.dumps(run.config["dataset"], sort_keys=True, default=str)
        if text not in known:
            known[text] = images_of(run, download=False)
        sets.append(known[text])
    answers = comparison.answers
    here = [_places(images) for images in known.values()]
    there = [key for key in answers.keys if all(key in place for place in here)]
    rows = rows_of(there, sets)
    shares = [shares_of(run.folder, run.classes, there) for run in runs]
    names = brief([group.label for group in groups])
    return picture_of(runs, sets, rows, shares, names, of=len(comparison.groups))


def picture_of(
    runs: Sequence[FinishedRun],
    sets: Sequence[ImageSet],
    rows: Sequence[np.ndarray],
    shares: Sequence[np.ndarray],
    names: Sequence[str],
    of: int = 0,
) -> Picture:
    """The same images through R runs. rows: (N,) each, where these images lie in each run's set.
    shares: (N, K) each, the runs' probabilities of them. names: above the columns. of: how
    many were compared, of which these are the first.
    """
    labels = np.asarray(sets[0].labels)[rows[0]]
    chosen = choose_rows(np.stack(shares), labels, ROWS)
    columns = [
        column(
            name, run, images, members[chosen.places], probabilities[chosen.places],
            float((probabilities.argmax(1) == labels).mean()),
        )
        for name, run, images, members, probabilities in zip(
            names, runs, sets, rows, shares, strict=True
        )
    ]  # fmt: skip
    return side_by_side(
        columns,
        labels=labels[chosen.places].tolist(),
        classes=runs[0].classes,
        paths=[sets[0].paths[i] for i in rows[0][chosen.places]],
        disagreed=chosen.disagreed,
        differ=chosen.differ,
        common=len(labels),
        of=of,
    )


def shares_of(folder: Path, classes: Sequence[str], keys: Sequence[Key]) -> np.ndarray:
    """(N, K): a run's own probabilities, as it was tested, for images by their keys."""
    said = read_predictions(folder / "predictions.csv", classes)
    test = SplitFiles().read(folder).test
    row_of = {test.get(path): row for row, path in enumerate(said.paths)}
    return said.probabilities[[row_of[key] for key in keys]]


def _about(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The command, as if it were about one run."""
    return {**config, "run": str(folder), "runs": None}


def _merged(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    return rerun(saved_config(folder), _about(folder, config), config["overrides"])


def _images(config: Mapping[str, Any], classes: Sequence[str], folder: Path) -> ImageSet:
    images = load_images(config, find_images(config, download=False))
    if list(images.classes) != list(classes):
        raise InputError(f"the images of {folder} have other classes now")
    return images


def _places(images: ImageSet) -> dict[Key, int]:
    """Where each image lies; of copies the first."""
    keys = zip(images.sha256, (images.classes[label] for label in images.labels), strict=True)
    return {key: i for i, key in reversed(list(enumerate(keys)))}


def _pixels(
    images: ImageSet, place: Mapping[Key, int], comparison: Comparison, row: int
) -> np.ndarray | None:
    """(S, S, 3) uint8 of a common image; None where it is not here."""
    index = place.get(comparison.answers.keys[row])
    return None if index is None else np.asarray(images.images[index])


def images_of(run: FinishedRun, *, download: bool = True) -> ImageSet:
    """As they are found today, in the run's size."""
    images = load_images(run.config, find_images(run.config, download))
    if images.classes != run.classes:
        raise InputError(
            f"run={run.folder}: the classes of its images are {listed(images.classes)} now, it "
            f"learned {listed(run.classes)}; point dataset.root at the runs' data"
        )
    return images


def rows_of(common: Sequence[tuple[str, str]], sets: Sequence[ImageSet]) -> list[np.ndarray]:
    """Where the common images that are still there lie in each set, in the same order."""
    known = {id(images): images for images in sets}  # often one set
    found = {name: _places(images) for name, images in known.items()}
    places = [found[id(images)] for images in sets]
    there = [key for key in common if all(key in place for place in places)]
    if not there:
        raise InputError(
            f"runs: none of their {len(common):,} common test images is here; "
            "dataset.root=… says where they are now"
        )
    return [np.array([place[key] for key in there], dtype=np.int64) for place in places]


def column(
    name: str,
    run: FinishedRun,
    images: ImageSet,
    rows: np.ndarray,
    probabilities: np.ndarray,
    accuracy: float,
) -> Column:
    device = device_of(run.config)
    pixels = torch.from_numpy(images.images[rows]).permute(0, 3, 1, 2).contiguous()
    return Column(
        name=name,
        notes=(f"{run.folder.name[-6:]}, seed {run.config['seed']}",),
        network=run.network.to(device),
        images=pixels.to(device),
        probabilities=probabilities,
        accuracy=accuracy,
    )
