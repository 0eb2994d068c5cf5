"""A finished run, from its folder alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from cnnexp.ancestry import read_before, read_splits
from cnnexp.config.arguments import to_type
from cnnexp.config.rerun import rerun
from cnnexp.config.saved import edited, saved_config
from cnnexp.data.image_set import ImageSet
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError
from cnnexp.experiment import (
    build_network,
    device_of,
    load_images,
    precision_of,
    without_weights,
)
from cnnexp.files import shown_path
from cnnexp.folders import check_run, run_folder
from cnnexp.own_code import changed_note
from cnnexp.sources import find_images
from cnnexp.spine import channels_last
from cnnexp.training.checkpoints import best_checkpoint, load_network
from cnnexp.training.precision import native_precision


@dataclass(frozen=True)
class FinishedRun:
    """folder: of the run. config: as it ran, with what this command says of data and pictures.

    network: with the best checkpoint's weights, in eval mode. precision: the one it trained in,
    where this device has it, or the one that this command names.
    """

    folder: Path
    config: dict[str, Any]
    info: dict[str, Any]
    classes: tuple[str, ...]
    network: nn.Sequential
    precision: str


def load_run(
    config: Mapping[str, Any], note: Callable[[str], None] = lambda line: None
) -> FinishedRun:
    """The run that `run=` names; nothing that lies in its folder is executed.

    note: is told where code of a person's own has changed since.
    """
    folder = run_folder(config)
    info = check_run(folder)
    merged = rerun(saved_config(folder), config, config["overrides"])
    network = build_network(without_weights(merged), len(info["classes"]))
    for line in (edited(folder, info), changed_note(info)):
        if line:
            note(line)
    checkpoint = best_checkpoint(folder, list(merged["phases"]))
    if checkpoint is None:
        phases = ", ".join(merged["phases"])
        raise InputError(f"run={shown_path(folder)}: it has no checkpoint of its phases ({phases})")
    if info.get("status") != "FINISHED":
        again = to_type(f"resume={shown_path(folder)}")
        note(f"the run is not finished: these are its best weights so far; to go on: {again}")
    load_network(network, checkpoint)
    channels_last(network)
    typed = any(line.lstrip("+").startswith("trainer.precision=") for line in config["overrides"])
    began = info["precision"]
    precision = precision_of(merged) if typed else native_precision(began, device_of(merged))
    if precision != began and not typed:
        note(f"it trained in {began}, which this device has not: answers are in {precision}")
    return FinishedRun(folder, merged, info, tuple(info["classes"]), network.eval(), precision)


def load_test_images(
    run: FinishedRun, note: Callable[[str], None], *, few: bool = False
) -> ImageSet:
    """The run's images as they are found today.

    Where they are not those of the run: its test images that are still there; without one, all of
    the new images, or those that are given as test images, but for those that the run learned from.
    few: a class may have one image, or none; there are none for training then.
    Raises InputError where the classes are others, or nothing is left to test on.
    """
    source = find_images(run.config)
    if tuple(source.classes) != run.classes:
        source = relabelled(source, run.classes, few)
        images = load_images(run.config, source, train=False)
    else:
        try:
            images = load_images(run.config, source)
        except InputError:  # too few to be split, and so not the run's
            if not few:
                raise
            images = load_images(run.config, source, train=False)
    if images.digest == run.info["data"]["digest"]:
        return images
    splits = read_splits(run.folder / "splits.csv")
    own = {sha256 for sha256, _, split in splits if split == "test"}
    known = ({sha256 for sha256, *_ in splits} - own) | read_before(run.folder)
    first = {
        sha256: i for i, sha256 in reversed(list(enumerate(images.sha256)))
    }  # copies count once
    there = np.array(sorted(first[sha256] for sha256 in own & first.keys()), dtype=np.int64)
    given = source.given is not None and "test" in source.given
    if len(there):
        here = images.split["test"] if given else np.arange(len(images.sha256))
        new = len({images.sha256[i] for i in here} - own - known)
        others = f"; {new:,} that it has not seen are left out beside these" if new else ""
        note(
            f"the images are not those of the run: of its {len(own):,} test images "
            f"{len(there):,} are here and are tested on{others}"
        )
        return replace(images, split={**images.split, "test": there})
    if few and len(images.split["train"]):  # the split may have asked for a part of them
        images = load_images(run.config, source, train=False)
    test = images.split["test"] if given else np.sort(np.concatenate([*images.split.values()]))
    unseen = np.array([i for i in test if images.sha256[i] not in known], dtype=test.dtype)
    lost = len(test) - len(unseen)
    what = f"{len(test):,} {'test ' if given else ''}image{'s' * (len(test) != 1)}"
    note(
        f"the images are not those of the run: of {what}, {lost:,} were trained or validated on "
        "and are left out"
        if lost
        else f"the images are not those of the run, which has learned from none of these {what}"
    )
    if not len(unseen):
        raise InputError("dataset: the run has seen every test image; give it others")
    return replace(images, split={**images.split, "test": unseen})


def relabelled(source: Source, learned: Sequence[str], few: bool) -> Source:
    """With the classes that the run learned, of which the images have some; few: as above."""
    names = [*source.classes]
    other = [name for name in names if name not in learned]
    if other or not few:
        mend = "point dataset.root at the run's data"
        if [name.casefold() for name in names] == [name.casefold() for name in learned]:
            mend = "only capitals differ: name the folders alike"
        elif not other:
            mend = "of some of its classes task=evaluate takes images"
        elif len(other) < len(names):
            mend = "leave the others out, or ask for answers alone: task=predict input=…"
        raise InputError(
            f"dataset: the classes are {', '.join(names)}, the run learned {', '.join(learned)}; "
            f"{mend}"
        )
    labels = np.array([list(learned).index(name) for name in names], dtype=np.int64)
    return replace(source, classes=tuple(learned), labels=labels[source.labels])
