"""Config -> the plan of a run: what trains when, at which rates, and what frozen blocks cost."""

from collections.abc import Mapping
from typing import Any

import torch
import yaml
from torch import nn

from cnnexp.config.compose import search_folders
from cnnexp.config.instantiate import call, resolve
from cnnexp.config.loss_options import loss_options
from cnnexp.config.overlay import laid_over
from cnnexp.config.own_folder import named_folder
from cnnexp.data.image_set import ImageSet
from cnnexp.errors import InputError
from cnnexp.experiment import device_of, precision_of
from cnnexp.optimizing import check_optimization
from cnnexp.processes import here_of
from cnnexp.reporting.diagnosis.diagnose import steps_of_epoch
from cnnexp.reporting.run_report.words import target
from cnnexp.schedule import build_scheduler, by_epoch
from cnnexp.training.optimization import Optimization
from cnnexp.training.phases import (
    Phase,
    block_rates,
    frozen_prefix,
    parameter_counts,
    trainable_blocks,
    weighted_blocks,
)

Config = Mapping[str, Any]

# Optimizers whose step torch has as one kernel, on CPUs and on GPUs: 3 to 6 times as fast on a CPU.
FUSED = (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD)


def plan_phases(config: Config, network: nn.Sequential) -> list[Phase]:
    """The run's phases. Raises InputError where one names blocks that the network has not, or its
    optimizer or schedule does not take what the config gives it.
    """
    phases = [plan_phase(config, network, name) for name in config["phases"]]
    for phase in phases:
        check_optimization(phase, network)
    return phases


def plan_phase(config: Config, network: nn.Sequential, name: str) -> Phase:
    phase, key = config["phases"][name], f"phases.{name}"
    trainable = trainable_blocks(network, phase["trainable"], f"{key}.trainable")
    if not parameter_counts(network, trainable)[0]:
        raise InputError(
            f"{key}.trainable: {', '.join(trainable)}: the model itself has fixed all of their "
            "weights (requires_grad_(False)): nothing would train"
        )
    optimizer = laid_over(config["optimizer"], phase["optimizer"])
    scheduler = laid_over(config["scheduler"], phase["scheduler"])
    if by_epoch(scheduler) and phase["warmup"] % 1:
        raise InputError(
            f"{key}.warmup={phase['warmup']:g}: {target(scheduler)} goes on by epoch, and so "
            "does its warm-up; give a whole number"
        )
    return Phase(
        name=name,
        trainable=trainable,
        epochs=phase["epochs"],
        rates=block_rates(trainable, phase["lr_scale"], f"{key}.lr_scale"),
        optimization=Optimization(
            lr=optimizer["lr"],
            make_optimizer=lambda groups: call(
                fused(optimizer, config), "optimizer", params=groups
            ),
            make_scheduler=lambda built, length, epochs: build_scheduler(
                scheduler, built, length, warmup=round(phase["warmup"] * length / epochs)
            ),
            by_epoch=by_epoch(scheduler),
        ),
        early_stopping=phase["early_stopping"] or config["training"]["early_stopping"],
    )


def fused(node: Config, config: Config) -> Config:
    """The optimizer's node, with its step as one kernel where torch has that and the node asks for
    no other. With float16, whose gradients are scaled, such a step would undo that itself, after
    they are clipped.
    """
    clips = config["trainer"]["gradient_clip_val"] is not None
    if node.get("fused") and clips and precision_of(config) == "16-mixed":
        raise InputError(
            "optimizer.fused=true: with trainer.precision=16-mixed its gradients cannot be clipped "
            "(trainer.gradient_clip_val); use bf16-mixed, or take it out"
        )
    asks = node.keys() & {"fused", "foreach", "differentiable"}
    able = device_of(config).type in ("cpu", "cuda") and precision_of(config) != "16-mixed"
    if asks or not able or resolve(node["_target_"]) not in FUSED:
        return node
    return {**node, "fused": True}


def plan_lines(
    config: Config, network: nn.Sequential, phases: list[Phase], images: ImageSet
) -> list[str]:
    """The plan, for a person: a line for a run that is one phase of all blocks, else a table."""
    size, here = config["dataset"]["batch_size"], here_of(config)
    parts = f" in {here.size} parts, one for each process" if here.size > 1 else ""
    common = (
        f"batches of {size}{parts}, "
        f"augmentation {target(config['augmentation'])}, "
        f"{precision_of(config)} on {device_of(config)}"
    )
    limit = config["trainer"].get("limit_train_batches")
    if limit is not None:
        trained = len(images.split["train"])
        batches, some = (steps_of_epoch(trained, size, one) for one in (None, limit))
        common += f", {some:,} of its {batches:,} batches per epoch (trainer.limit_train_batches)"
    summed, ema = config["trainer"]["accumulate_grad_batches"], config["training"]["ema"]
    if summed > 1:
        common += f", the gradients of {summed} batches added up"
    if ema is not None:
        common += f", weights averaged ({ema:g})"
    common += "".join(f", {option}" for option in loss_options(config["training"]))
    if config["training"]["compile"] is not None:
        common += f", compiled ({config['training']['compile']})"
    rows = [("phase", "trains", "parameters", "epochs", "optimizer", "frozen part")]
    for phase in phases:
        node, scheduler = (
            laid_over(config[group], config["phases"][phase.name][group])
            for group in ("optimizer", "scheduler")
        )
        rates = sorted({phase.optimization.lr * share for share in phase.rates.values()})
        rate = " to ".join(f"{value:g}" for value in dict.fromkeys((rates[0], rates[-1])))
        each = " by epoch" if phase.optimization.by_epoch else ""
        how = f"{target(node)} at {rate}, {target(scheduler)}{each}"
        frozen = frozen_part(config, network, phase, images)
        own, total = parameter_counts(network, phase.trainable)
        most = "up to " if phase.early_stopping is not None else ""
        if len(phases) == 1 and own == total:
            epochs = "1 epoch" if phase.epochs == 1 else f"{most}{phase.epochs} epochs"
            return [f"{epochs}, {how}, {common}"]
        trains = ", ".join(phase.trainable)
        rows.append(
            (phase.name, trains, f"{own:,} of {total:,}", f"{most}{phase.epochs}", how, frozen)
        )
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


def views_of(config: Config) -> int:
    """Forms of each training image that are stored."""
    return 1 if is_identity(config["augmentation"]) else config["training"]["views"] or 1


def model_name(config: Config) -> str:
    """The option that was typed; where an experiment chose it, that whose settings it has most of,
    for several may be of one function: `baseline_deep`. Of a library's model its own name, too:
    `torchvision resnet18`.
    """
    node, found = config["model"], {}
    for folder in search_folders(named_folder()):
        for path in sorted((folder / "model").glob("*.yaml")):
            try:
                own = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError):
                continue
            if isinstance(own, Mapping) and own.get("_target_") == node["_target_"]:
                found[path.stem] = sum(node.get(key) == own[key] for key in own)
    if not found:
        return target(node)
    typed = {line.lstrip("+").removeprefix("model=") for line in config["overrides"]}
    best = max(found, key=lambda name: (name in typed, found[name]))
    return f"{best} {node['name']}" if "name" in node else best
