"""Config -> phases -> a trained network: what trains when, at which rates, and what is stored."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.lr_scheduler import LinearLR, LRScheduler, ReduceLROnPlateau, SequentialLR

from cnnexp.augmentations.none import none
from cnnexp.config.instantiate import call
from cnnexp.config.phases import laid_over
from cnnexp.data.batches import as_tensor
from cnnexp.data.image_set import ImageSet
from cnnexp.experiment import build_batches, cache_of, device_of, precision_of
from cnnexp.reporting.journal import Journal
from cnnexp.training.classifier import Augmentation, Classifier
from cnnexp.training.fit import Fitted, fit
from cnnexp.training.loss import Loss, balanced_weights
from cnnexp.training.optimization import Optimization
from cnnexp.training.phases import (
    Phase,
    block_rates,
    frozen_prefix,
    parameter_counts,
    trainable_blocks,
    weighted_blocks,
)
from cnnexp.training.prefix_cache import Prefix, stored_outputs

Config = Mapping[str, Any]

# What a schedule needs to know of the run and a config cannot.
STEPS = ("total_steps", "T_max")


def plan_phases(config: Config, network: nn.Sequential) -> list[Phase]:
    """The run's phases. Raises InputError where one names blocks that the network has not."""
    return [plan_phase(config, network, name) for name in config["phases"]]


def plan_lines(
    config: Config, network: nn.Sequential, phases: list[Phase], images: ImageSet
) -> list[str]:
    """The plan, for a person: a line for a run that is one phase of all blocks, else a table."""
    common = (
        f"batches of {config['dataset']['batch_size']}, "
        f"augmentation {short_name(config['augmentation'])}, "
        f"{precision_of(config)} on {device_of(config)}"
    )
    rows = [("phase", "trains", "parameters", "epochs", "optimizer", "frozen part")]
    for phase in phases:
        node, scheduler = (
            laid_over(config[group], config["phases"][phase.name][group])
            for group in ("optimizer", "scheduler")
        )
        rates = sorted({phase.optimization.lr * share for share in phase.rates.values()})
        rate = " to ".join(f"{value:g}" for value in dict.fromkeys((rates[0], rates[-1])))
        how = f"{short_name(node)} at {rate}, {short_name(scheduler)}"
        frozen = frozen_part(config, network, phase, images)
        own, total = parameter_counts(network, phase.trainable)
        if len(phases) == 1 and own == total:
            return [f"{phase.epochs} epochs, {how}, {common}"]
        trains = ", ".join(phase.trainable)
        rows.append((phase.name, trains, f"{own:,} of {total:,}", str(phase.epochs), how, frozen))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return [common, *lines]


def frozen_part(config: Config, network: nn.Sequential, phase: Phase, images: ImageSet) -> str:
    """What the phase's frozen leading blocks cost: "" where there are none."""
    count = frozen_prefix(network, phase.trainable)
    if not count:
        return ""
    leading = [name for name, _ in network.named_children()][:count]
    names = [name for name in weighted_blocks(network) if name in leading]
    blocks = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
    train, validation = len(images.split["train"]), len(images.split["validation"])
    each_epoch = (train + validation) * phase.epochs
    if can_store(config, network, phase):
        once = train * views_of(config) + validation
        return f"{blocks} run {once:,} images once, not {each_epoch:,}"
    return f"{blocks} run {each_epoch:,} images in all"


def views_of(config: Config) -> int:
    """Forms of each training image that are stored."""
    return 1 if is_identity(config["augmentation"]) else config["training"]["views"] or 1


def short_name(node: Config) -> str:
    return str(node["_target_"]).rpartition(".")[2]


def plan_phase(config: Config, network: nn.Sequential, name: str) -> Phase:
    phase, key = config["phases"][name], f"phases.{name}"
    trainable = trainable_blocks(network, phase["trainable"], f"{key}.trainable")
    optimizer = laid_over(config["optimizer"], phase["optimizer"])
    scheduler = laid_over(config["scheduler"], phase["scheduler"])
    return Phase(
        name=name,
        trainable=trainable,
        epochs=config["trainer"]["max_epochs"] or phase["epochs"],
        rates=block_rates(trainable, phase["lr_scale"], f"{key}.lr_scale"),
        optimization=Optimization(
            lr=optimizer["lr"],
            make_optimizer=lambda groups: call(optimizer, params=groups),
            make_scheduler=lambda built, steps, epochs: build_scheduler(
                scheduler, built, steps, warmup_steps=round(phase["warmup"] * steps / epochs)
            ),
        ),
        early_stopping=phase["early_stopping"] or config["training"]["early_stopping"],
    )


def build_scheduler(
    node: Config, optimizer: torch.optim.Optimizer, steps: int, warmup_steps: int = 0
) -> LRScheduler | ReduceLROnPlateau:
    """The schedule, told how many steps the phase has; before it a linear rise from nearly zero."""
    options = {key: value for key, value in node.items() if key not in STEPS}
    warmup_steps = min(warmup_steps, steps - 1)
    steps -= warmup_steps
    if "pct_start" in options:
        # OneCycleLR divides by pct_start * steps - 1 and by the steps that are left after it.
        options["pct_start"] = min(max(options["pct_start"], 1.5 / steps), 0.5)
        options["max_lr"] = [group["lr"] for group in optimizer.param_groups]
        steps = max(steps, 4)
    known = {key: steps for key in STEPS if key in node}
    schedule = call(options, optimizer=optimizer, **known)
    if not warmup_steps:
        return schedule
    rise = LinearLR(optimizer, start_factor=1 / (warmup_steps + 1), total_iters=warmup_steps)
    return SequentialLR(optimizer, [rise, schedule], milestones=[warmup_steps])


def build_classifier(
    config: Config,
    network: nn.Sequential,
    images: ImageSet,
    phase: Phase,
    *,
    first_epoch: int,
    cached: bool,
) -> Classifier:
    """cached: its batches hold what the frozen leading blocks made of augmented images."""
    training, classes = config["training"], len(images.classes)
    labels = torch.from_numpy(np.asarray(images.labels)[images.split["train"]])
    balanced = training["class_weights"] == "balanced"
    augment: Augmentation = none() if cached else call(config["augmentation"])
    return Classifier(
        network.to(memory_format=torch.channels_last),
        classes=classes,
        loss=Loss(
            training["loss"],
            training["label_smoothing"],
            balanced_weights(labels, classes) if balanced else None,
        ),
        phase=phase,
        augment=augment,
        mixup=training["mixup"],
        cutmix=training["cutmix"],
        seed=config["seed"],
        first_epoch=first_epoch,
        skip=frozen_prefix(network, phase.trainable) if cached else 0,
    )


def can_store(config: Config, network: nn.Sequential, phase: Phase) -> bool:
    """Whether the phase's frozen leading blocks see the same pixels in every epoch, or in as many
    forms as `training.views` says.
    """
    training = config["training"]
    same = is_identity(config["augmentation"]) or training["views"] is not None
    mixes = training["mixup"] or training["cutmix"]
    wanted = training["prefix_cache"] and same and not mixes and phase.epochs > 1
    return bool(wanted and frozen_prefix(network, phase.trainable))


def is_identity(node: Config) -> bool:
    return node["_target_"] == "cnnexp.augmentations.none.none"


def store_prefix(
    config: Config, network: nn.Sequential, images: ImageSet, phase: Phase, split: str
) -> torch.Tensor | None:
    """What the phase's frozen leading blocks make of a split, see `stored_outputs`."""
    options, augmented = (
        config["dataset"],
        split == "train" and not is_identity(config["augmentation"]),
    )
    members = images.split[split]
    prefix = Prefix(
        blocks=network[: frozen_prefix(network, phase.trainable)],
        images=as_tensor(images.images),
        indices=members,
        precision=precision_of(config),
        device=device_of(config),
        content=[
            f"{options['image_size']} {options['resize']}",
            json.dumps(config["augmentation"]) if augmented else "",
            *(images.sha256[i] for i in members),
        ],
        augment=call(config["augmentation"]) if augmented else None,
        views=views_of(config) if augmented else 1,
        seed=config["seed"],
    )
    limit_bytes = config["training"]["prefix_cache_gb"] * 1e9
    return stored_outputs(prefix, cache_of(config), limit_bytes)


def train_phase(
    config: Config,
    network: nn.Sequential,
    images: ImageSet,
    phase: Phase,
    *,
    first_epoch: int,
    folder: Path,
    logger: object,
    journal: Journal,
) -> Fitted:
    """Train one phase; its checkpoints go to folder/checkpoints/<phase>.

    Its time is that of the epochs and of the frozen blocks' outputs, where they were computed now.
    """
    training, began_s = config["training"], time.perf_counter()
    stored: dict[str, torch.Tensor | None] = dict.fromkeys(("train", "validation"))
    if can_store(config, network, phase):
        stored = {split: store_prefix(config, network, images, phase, split) for split in stored}
    cached = all(values is not None for values in stored.values())
    stored_s = time.perf_counter() - began_s
    classifier = build_classifier(
        config, network, images, phase, first_epoch=first_epoch, cached=cached
    )
    options = dict(config["trainer"])
    device = device_of(config)
    options |= {
        "precision": precision_of(config),
        "accelerator": device.type,
        "max_epochs": phase.epochs,
    }
    if options["deterministic"] and device.type == "cuda":
        options["deterministic"] = "warn"  # adaptive pooling has no deterministic backward there

    def make_trainer(**injected: Any) -> pl.Trainer:
        return call(
            options,
            default_root_dir=str(folder),
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **injected,
        )

    train, validation = (
        build_batches(config, images, split, first_epoch=first_epoch, stored=stored[split])
        if cached
        else build_batches(config, images, split, first_epoch=first_epoch)
        for split in ("train", "validation")
    )
    fitted = fit(
        classifier,
        train,
        validation,
        make_trainer=make_trainer,
        logger=logger,
        folder=folder / "checkpoints" / phase.name,
        monitor=training["monitor"],
        ema=training["ema"],
        journal=journal,
    )
    return replace(fitted, train_s=fitted.train_s + stored_s)
