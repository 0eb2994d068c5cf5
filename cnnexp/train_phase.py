"""Config -> a trained phase: its images or what frozen blocks made of them, its classifier."""

import functools
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from cnnexp.augmentations.none import none
from cnnexp.augmenting import build_augmentation
from cnnexp.config.instantiate import call
from cnnexp.data.image_set import ImageSet
from cnnexp.experiment import build_batches, device_of, precision_of
from cnnexp.frozen import store_outputs
from cnnexp.loss import build_loss
from cnnexp.plan import can_store
from cnnexp.processes import cluster, here_of
from cnnexp.reporting.journal import Journal
from cnnexp.spine import channels_last
from cnnexp.training.checkpoints import WholeFileIO
from cnnexp.training.classifier import Augmentation, Classifier
from cnnexp.training.fit import Fitted, fit
from cnnexp.training.phases import Phase, frozen_prefix

Config = Mapping[str, Any]


def build_classifier(
    config: Config,
    network: nn.Sequential,
    images: ImageSet,
    phase: Phase,
    *,
    seed: int,
    first_epoch: int,
    cached: bool,
    processes: int = 1,
    compile_mode: str | None = None,
) -> Classifier:
    """seed: of what is drawn in a step. cached: its batches hold what the frozen leading blocks
    made of augmented images. compile_mode: see `Classifier`.
    """
    training, classes = config["training"], len(images.classes)
    labels = torch.from_numpy(np.asarray(images.labels)[images.split["train"]])
    augment: Augmentation = none() if cached else build_augmentation(config)
    return Classifier(
        channels_last(network),
        classes=classes,
        loss=build_loss(training, labels, classes),
        phase=phase,
        augment=augment,
        mixup=training["mixup"],
        cutmix=training["cutmix"],
        seed=seed,
        first_epoch=first_epoch,
        skip=frozen_prefix(network, phase.trainable) if cached else 0,
        processes=processes,
        compile_mode=compile_mode,
    )


def make_trainer(config: Config, epochs: int, folder: Path, **injected: Any) -> pl.Trainer:
    """Lightning's trainer as the config has it; injected: its logger, callbacks and so on."""
    device = device_of(config)
    here = here_of(config)
    options = {
        **config["trainer"],
        "precision": precision_of(config),
        "accelerator": device.type,
        "max_epochs": epochs,
        "devices": here.devices,
        "num_nodes": here.size // here.devices,
        "strategy": "ddp" if here.size > 1 else "auto",
        "plugins": [cluster(here), WholeFileIO()],
    }
    if options["deterministic"] and device.type == "cuda":
        options["deterministic"] = "warn"  # adaptive pooling has no deterministic backward there
    return call(
        options,
        default_root_dir=str(folder),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **injected,
    )


def train_phase(
    config: Config,
    network: nn.Sequential,
    images: ImageSet,
    phase: Phase,
    *,
    seed: int,
    first_epoch: int,
    folder: Path,
    logger: object,
    journal: Journal,
) -> Fitted:
    """Train one phase; its checkpoints go to folder/checkpoints/<phase>.

    seed: of the images' order and of what is drawn in a step.
    Its time is that of the epochs and of the frozen blocks' outputs, where they were computed now.
    """
    training, began_s, here = config["training"], time.perf_counter(), here_of(config)
    stored: dict[str, torch.Tensor | None] = dict.fromkeys(("train", "validation"))
    if can_store(config, network, phase):
        blocks, precision = frozen_prefix(network, phase.trainable), precision_of(config)
        stored = {
            split: store_outputs(config, network, images, split, blocks=blocks, precision=precision)
            for split in stored
        }
    cached = all(values is not None for values in stored.values())
    stored_s = time.perf_counter() - began_s
    classifier = build_classifier(
        config,
        network,
        images,
        phase,
        seed=seed,
        first_epoch=first_epoch,
        cached=cached,
        processes=here.size,
        compile_mode=training["compile"],
    )
    batches = functools.partial(
        build_batches,
        config,
        images,
        seed=seed,
        first_epoch=first_epoch,
        part=(here.rank, here.size),
    )
    train = batches("train", stored=stored["train"] if cached else None)
    validation = batches(
        "validation",
        stored=stored["validation"] if cached else None,
        beside=train,
    )
    fitted = fit(
        classifier,
        train,
        validation,
        make_trainer=functools.partial(make_trainer, config, phase.epochs, folder),
        logger=logger,
        folder=folder / "checkpoints" / phase.name,
        monitor=training["monitor"],
        ema=training["ema"],
        journal=journal,
        stop=config["job"].stop if "job" in config else None,
    )
    return replace(fitted, train_s=fitted.train_s + stored_s)
