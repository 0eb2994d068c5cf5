"""Config -> images and network: what the tasks have in common.

A config here is a plain dict that the command line has composed and checked.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from cnnexp.config.instantiate import call
from cnnexp.config.saved import record
from cnnexp.data.batches import Batches, as_tensor, channel_statistics, on_device
from cnnexp.data.image_set import ImageSet
from cnnexp.data.prepare import prepare
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError
from cnnexp.models.normalize import Normalize
from cnnexp.models.whitening import Whiten
from cnnexp.rehearsal import try_out
from cnnexp.sources import cache_of
from cnnexp.spine import as_spine, has_batch_norm
from cnnexp.training.precision import native_precision, resolve_precision

Config = Mapping[str, Any]
WHITENED = 5000 * 32 * 32  # pixels that a whitening layer is computed from, at most
# Values in a batch that is not trained on: 85 images of 32x32, 1,365 digits; on a GPU, where each
# kernel costs a start, 1,365 images of 32x32.
UNTRAINED, UNTRAINED_ON_GPU = 2**18, 2**22


def device_of(config: Config) -> torch.device:
    """The device that the trainer will choose."""
    accelerator = config["trainer"]["accelerator"]
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    found = next((kind for kind, is_there in there.items() if is_there), "cpu")
    wanted = {"auto": found, "gpu": found if found != "cpu" else "cuda"}.get(
        accelerator, accelerator
    )
    if not there.get(wanted, True):
        raise InputError(
            f"trainer.accelerator={accelerator}: torch sees no such device here; use auto or cpu"
        )
    return torch.device(wanted)


def load_images(config: Config, source: Source, *, train: bool = True) -> ImageSet:
    """Checked, decoded once, split; or, where nothing is trained, all for testing."""
    options = config["dataset"]
    return prepare(
        source,
        image_size=options["image_size"],
        resize=options["resize"],
        split=options["split"] if train else None,
        split_seed=options["split_seed"],
        per_class=options["per_class"],
        fold=options["fold"],
        folds=options["folds"],
        duplicates=options["duplicates"],
        group_by=options["group_by"],
        cache=cache_of(config),
        spot_check=not options["_target_"].startswith("cnnexp."),  # a person's own
    )


def build_network(config: Config, classes: int) -> nn.Sequential:
    """The spine: normalize, blocks, head. Weights that are drawn depend on the seed alone.

    A model with trained weights brings the normalize block that belongs to them; that of any other
    waits for `fit_to_images` or a checkpoint.
    """
    one_logit = config["training"]["loss"] == "bce"
    if one_logit and classes != 2:
        raise InputError(
            f"training.loss=bce needs two classes and the data has {classes}; use cross_entropy"
        )
    size = config["dataset"]["image_size"]
    pl.seed_everything(config["seed"], verbose=False)
    outputs = 1 if one_logit else classes
    try:
        chain = call(config["model"], "model", image_size=size, outputs=outputs)
    except RuntimeError as problem:
        wanted = re.search(
            r"can't allocate memory: you tried to allocate (\d+) bytes", str(problem)
        )
        if wanted is None:
            raise
        raise InputError(
            f"model: the network does not fit into this machine's memory (a layer of it has "
            f"{int(wanted[1]) / 1e9:,.0f} GB); use fewer or smaller layers"
        ) from None
    network = as_spine(chain, config["model"]["_target_"])
    try_out(network, size, outputs)
    if config["dataset"]["batch_size"] == 1 and has_batch_norm(network):
        raise InputError(
            "dataset.batch_size=1: batch norm cannot train on one image at a time; "
            f"use at least 2{', or model.norm=group' if 'norm' in config['model'] else ''}"
        )
    return network


def without_weights(config: Config) -> Config:
    """The same network, drawn: its trained weights will come from a run's checkpoint."""
    if "weights" not in config["model"]:
        return config
    return {**config, "model": {**config["model"], "weights": None}}


def fit_to_images(network: nn.Sequential, images: ImageSet) -> None:
    """What a network computes of the training images before it learns: their mean and standard
    deviation per channel, if it brought none; filters that whiten them, if it has such a layer.
    """
    train = images.split["train"]
    normalize = network.get_submodule("normalize")
    assert isinstance(normalize, Normalize)
    if not normalize.fitted:
        normalize.fit(*channel_statistics(images.images, train))
    for layer in network.modules():
        if isinstance(layer, Whiten) and not layer.fitted:
            most = max(1, WHITENED // images.images[0, ..., 0].size)
            some = np.sort(train)[:: -(-len(train) // most)]
            layer.fit(normalize(as_tensor(images.images[some]).permute(0, 3, 1, 2)))


def mark_fitted(network: nn.Sequential) -> None:
    """A network whose weights came from a checkpoint needs no images for them."""
    for layer in network.modules():
        if isinstance(layer, (Normalize, Whiten)):
            layer.fitted = True


def untrained_batch(config: Config, images: torch.Tensor | np.ndarray) -> int:
    """Images at a time without gradients: there is room for more, where they are small.

    images: (N, ...).
    """
    values = UNTRAINED_ON_GPU if device_of(config).type == "cuda" else UNTRAINED
    return max(config["dataset"]["batch_size"], values // math.prod(images.shape[1:]))


def build_batches(
    config: Config,
    images: ImageSet,
    split: str,
    *,
    seed: int = 0,
    first_epoch: int = 0,
    stored: torch.Tensor | None = None,
    beside: Batches | None = None,
    part: tuple[int, int] = (0, 1),
) -> Batches:
    """A split's batches: for training shuffled with `seed`, in order else.

    stored: what the first blocks made of the split's images, (views * N, ...), in place of them.
    beside: batches of another split; where nothing is stored, both share one copy on a GPU.
    part: see `Batches`.
    """
    size, train = config["dataset"]["batch_size"], split == "train"
    device = device_of(config)
    indices = images.split[split]
    labels = torch.from_numpy(np.asarray(images.labels, dtype=np.int64))
    if stored is not None:
        labels, indices = labels[indices], np.arange(len(indices))
    if stored is None and beside is not None:
        pixels, labels = beside.images, beside.labels
    else:
        source = as_tensor(images.images) if stored is None else stored
        pixels, labels = on_device(source, labels, device)
    return Batches(
        pixels,
        labels,
        indices,
        batch_size=size if train else untrained_batch(config, pixels),
        shuffle_seed=seed if train else None,
        first_epoch=first_epoch,
        views=len(pixels) // len(labels) if stored is not None else 1,
        part=part,
        members=images.split[split] if stored is not None else None,
        pin=device.type == "cuda" and not pixels.is_cuda,
    )


def precision_of(config: Config) -> str:
    """Of a run that goes on with `auto`: as it began, where this device has that one."""
    device = device_of(config)
    here = resolve_precision(config["trainer"]["precision"], device)
    if config["trainer"]["precision"] != "auto" or config["resume"] is None:
        return here
    began = record(Path(config["resume"])).get("precision", here)
    return native_precision(began, device)


def visualisers(config: Config) -> dict[str, Callable[..., dict]]:
    """Name -> probe -> figures by file stem."""
    return {
        name: (lambda probe, name=name, node=node: call(node, f"visualization.{name}", probe=probe))
        for name, node in (config["visualization"] or {}).items()
        if isinstance(node, Mapping)
    }
