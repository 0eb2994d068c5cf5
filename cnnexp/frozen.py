"""Config -> what a network's frozen leading blocks make of a split: run once, read from then on."""

import json
from collections.abc import Mapping
from typing import Any

import torch
import torchvision
from torch import nn

from cnnexp.augmenting import build_augmentation
from cnnexp.config.source import module_path, split_target
from cnnexp.data.batches import as_tensor, channels_first
from cnnexp.data.image_set import ImageSet
from cnnexp.experiment import device_of, untrained_batch
from cnnexp.files import digest
from cnnexp.plan import is_identity, views_of
from cnnexp.sources import cache_of
from cnnexp.training.phases import frozen_prefix, trainable_blocks
from cnnexp.training.prefix_cache import BATCH, Prefix, outputs_at_hand, stored_outputs
from cnnexp.visualization.probe import Stored

Config = Mapping[str, Any]


def store_outputs(
    config: Config,
    network: nn.Sequential,
    images: ImageSet,
    split: str,
    *,
    blocks: int,
    precision: str,
) -> torch.Tensor | None:
    """Of the first `blocks` blocks, for a split as it is trained or tested on: see
    `stored_outputs`.
    """
    augmented = split == "train" and not is_identity(config["augmentation"])
    prefix = _prefix(config, network[:blocks], images, split, precision, augmented=augmented)
    return stored_outputs(
        prefix,
        cache_of(config),
        config["training"]["prefix_cache_gb"] * 1e9,
        evict=split != "test",  # it is read once by a run, what is trained on in each epoch
    )


def last_frozen(config: Config, network: nn.Sequential) -> int:
    """How many leading blocks the last phase leaves frozen; 0 where nothing is to be stored."""
    if not config["training"]["prefix_cache"]:
        return 0
    *_, (name, phase) = config["phases"].items()
    trainable = trainable_blocks(network, phase["trainable"], f"phases.{name}.trainable")
    return frozen_prefix(network, trainable)


def at_hand(
    config: Config, network: nn.Sequential, images: ImageSet, split: str, precision: str
) -> Stored | None:
    """For a split's images as they are, where a run has stored it; nothing is computed."""
    if not (blocks := last_frozen(config, network)):
        return None
    prefix = _prefix(config, network[:blocks], images, split, precision, augmented=False)
    found = outputs_at_hand(prefix, cache_of(config))
    return None if found is None else Stored(blocks, channels_first(found))


def _prefix(
    config: Config,
    blocks: nn.Sequential,
    images: ImageSet,
    split: str,
    precision: str,
    *,
    augmented: bool,
) -> Prefix:
    options, members = config["dataset"], images.split[split]
    return Prefix(
        blocks=blocks,
        images=as_tensor(images.images),
        indices=members,
        precision=precision,
        device=device_of(config),
        content=[
            f"{options['image_size']} {options['resize']}",
            drawn_by(config) if augmented else "",
            *(images.sha256[i] for i in members),
        ],
        augment=build_augmentation(config) if augmented else None,
        views=views_of(config) if augmented else 1,
        seed=config["seed"],
        # What is drawn for a batch is drawn for so many; else no more than a test has at a time.
        batch=BATCH if augmented else min(BATCH, untrained_batch(config, images.images)),
    )


def drawn_by(config: Config) -> str:
    """What the augmentation's pixels depend on: its config, its code, the library that it calls."""
    node = config["augmentation"]
    path = module_path(split_target(str(node["_target_"]))[0])
    return json.dumps([node, digest(path) if path else "", torchvision.__version__])
