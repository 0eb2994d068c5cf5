"""Pictures of a network: of its answers, and those that the config asks for."""

import copy
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from traceback import print_exception
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from cnnexp.answers import Tested
from cnnexp.data.image_set import ImageSet
from cnnexp.data.progress import Bar
from cnnexp.errors import Inapplicable, InputError, first_line
from cnnexp.experiment import device_of, visualisers
from cnnexp.frozen import at_hand
from cnnexp.logits import log_odds
from cnnexp.own_code import own_line, own_part
from cnnexp.reporting.calibration import reliability_diagram
from cnnexp.reporting.confusion import confusion_matrix
from cnnexp.reporting.page import told_apart
from cnnexp.reporting.picture import Picture, save_pictures
from cnnexp.reporting.ranking import roc_and_pr
from cnnexp.training.precision import native_precision
from cnnexp.visualization.looking import looking_in
from cnnexp.visualization.probe import (
    Chosen,
    Images,
    Probe,
    Progress,
    Stored,
    first_of_each_class,
    silently,
)

Config = Mapping[str, Any]
Item = TypeVar("Item")
OWN_PICTURES = ("learning_curves", "confusion_matrix", "reliability", "roc_and_pr")  # a run's


def check_pictures(
    config: Config,
    network: nn.Sequential,
    images: ImageSet,
    say: Callable[[str], None],
    *,
    precision: str,
) -> None:
    """Let each visualiser look at two training images: its mistakes come before the training. What
    the network cannot have is said. precision: of the answers that will be drawn.
    """
    few = replace(images, split=dict.fromkeys(images.split, images.split["train"][:2]))
    shares = np.full((len(few.split["test"]), len(images.classes)), 1 / len(images.classes))
    probe = make_probe(network, few, shares, device_of(config), rehearsal=True)
    there = {*OWN_PICTURES}
    for name, visualise in visualisers(config).items():
        try:
            with looking_in(native_precision(precision, device_of(config))):
                there |= named(name, visualise, probe, there).keys()
        except Inapplicable as reason:
            say(f"visualization.{name} is left out: {reason}")


def draw(
    config: Config,
    network: nn.Sequential,
    images: ImageSet,
    tested: Tested,
    folder: Path,
    say: Callable[[str], None],
    chosen: Chosen | None = None,
) -> list[Path]:
    """The pictures of a run: of its answers, and each configured visualiser's; the files. chosen:
    see `make_probe`.

    One that fails is left out, with its reason: of a long run the others and the report remain.
    """
    with told_apart(images.classes, say):
        labels, shares = tested.labels, tested.probabilities
        pictures: dict[str, Picture] = {
            "confusion_matrix": confusion_matrix(labels, shares.argmax(1), images.classes),
            "reliability": reliability_diagram(labels, shares, images.classes),
        }
        if len(images.classes) == 2:
            odds = log_odds(tested.logits)[:, 1].numpy()
            pictures["roc_and_pr"] = roc_and_pr(labels, odds, images.classes, tested.clusters)
        probe = make_probe(
            network,
            images,
            tested.probabilities,
            device_of(config),
            stored={
                split: at_hand(config, network, images, split, tested.precision)
                for split in ("train", "test")
            },
            chosen=chosen,
            progress=with_bar,
        )
        for name, visualise in visualisers(config).items():
            say(f"{name} …")
            try:
                with looking_in(native_precision(tested.precision, device_of(config))):
                    pictures |= named(name, visualise, probe, {*OWN_PICTURES, *pictures})
            except InputError as reason:
                say(f"{name} is left out: {reason}")
            except Exception as error:  # a person's own code may raise anything
                print_exception(type(error), error, own_part(error) or error.__traceback__)
                line = f"{type(error).__name__}: {first_line(error)}"
                say(f"{name} is left out, for it failed{own_line(error)}: {line}")
    return save_pictures(pictures, folder)


def named(
    name: str, visualise: Callable[..., dict], probe: Probe, there: Collection[str]
) -> dict[str, Picture]:
    """The visualiser's pictures. there: the names of others. Raises InputError where it gives
    something else.
    """
    key = f"visualization.{name}"
    # Whatever it does with the network and the images, the next one finds them as they were.
    own = replace(probe, network=copy.deepcopy(probe.network), images=probe.images.clone())
    gradients, kind = torch.is_grad_enabled(), torch.get_default_dtype()
    try:
        made = visualise(own)
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(kind)
    if not isinstance(made, Mapping):
        raise InputError(
            f"{key}: gives a {type(made).__name__}; return a dictionary of pictures, each by the "
            f"name of its file: {{'{name}': picture}}"
        )
    for stem, picture in made.items():
        if not isinstance(stem, str) or not re.fullmatch(r"\w[^/\\]*", stem):
            raise InputError(f"{key}: {stem!r} names a file; it begins with a letter and has no /")
        if stem in there:
            raise InputError(f"{key}: another picture is named '{stem}'; give it a name of its own")
        if not isinstance(picture, Picture):
            raise InputError(
                f"{key}: '{stem}' is a {type(picture).__name__}; return a "
                "cnnexp.reporting.picture.Picture, which has words beside the figure"
            )
        if wrong := picture.wrong():
            raise InputError(f"{key}: '{stem}' has {wrong}")
    return dict(made)


def make_probe(
    network: nn.Sequential,
    images: ImageSet,
    probabilities: np.ndarray,
    device: torch.device,
    *,
    stored: Mapping[str, Stored | None] | None = None,
    chosen: Chosen | None = None,
    rehearsal: bool = False,
    progress: Progress = silently,
) -> Probe:
    """What visualisers look at.

    probabilities: (N, K), of the test images in the split's order. stored: of a split's images.
    chosen: shown in the place of the first test images of each class.
    """
    pixels = read_only(images.images)
    masks = None if images.masks is None else read_only(images.masks)
    splits = {
        split: Images(
            pixels,
            members,
            np.asarray(images.labels)[members],
            tuple(images.paths[i] for i in members),
            masks,
            (stored or {}).get(split),
        )
        for split, members in images.split.items()
    }
    shown = chosen or first_of_each_class(splits["test"])
    return Probe(
        network=copy.deepcopy(network).eval().to(device),
        images=shown.images.to(device),
        labels=shown.labels.to(device),
        classes=images.classes,
        paths=shown.paths,
        masks=shown.masks,
        chosen=shown.name,
        train=splits["train"],
        test=splits["test"],
        probabilities=probabilities,
        rehearsal=rehearsal,
        progress=progress,
    )


def read_only(values: np.ndarray) -> np.ndarray:
    """A view that cannot be written to: the run goes on with these images."""
    view = values.view()
    view.flags.writeable = False
    return view


def with_bar(items: Sequence[Item], title: str) -> Iterator[Item]:
    """A bar on a terminal; a log has the picture's name, which is enough."""
    if not sys.stderr.isatty():
        yield from items
        return
    with Bar(title, len(items), "steps") as bar:
        for done, item in enumerate(items):
            bar.at(done)
            yield item
        bar.at(len(items))
