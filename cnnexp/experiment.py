"""Config -> images, network, training: what the tasks have in common.

A config here is a plain dict that the command line has composed and checked.
"""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cnnexp.config.instantiate import call, resolve
from cnnexp.data.batches import Batches, channel_statistics, on_device
from cnnexp.data.image_set import ImageSet
from cnnexp.data.prepare import prepare
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError
from cnnexp.models.normalize import Normalize
from cnnexp.reporting.journal import Journal
from cnnexp.training.classifier import Augmentation, Classifier
from cnnexp.training.fit import Fitted, fit
from cnnexp.training.loss import Loss, balanced_weights
from cnnexp.training.optimization import Optimization
from cnnexp.training.precision import resolve_precision

Config = Mapping[str, Any]

# What a schedule needs to know of the run and a config cannot.
STEPS = ("total_steps", "T_max")


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


def find_images(config: Config, download: bool = True) -> Source:
    """Where the images are; nothing is decoded yet. download: fetch them where that is needed."""
    options = config["dataset"]
    accepted = inspect.signature(resolve(options["_target_"])).parameters
    own = {key: value for key, value in options.items() if key in accepted or key == "_target_"}
    injected: dict[str, Any] = {"cache": cache_of(config)} if "cache" in accepted else {}
    if "download" in accepted and not download:
        injected["download"] = False
    return call(own, **injected)


def cache_of(config: Config) -> Path:
    return Path(config["paths"]["cache"]).expanduser().absolute()


def load_images(config: Config, source: Source) -> ImageSet:
    """Checked, decoded once, split."""
    options = config["dataset"]
    return prepare(
        source,
        image_size=options["image_size"],
        resize=options["resize"],
        split=options["split"],
        split_seed=options["split_seed"],
        per_class=options["per_class"],
        duplicates=options["duplicates"],
        cache=cache_of(config),
    )


def build_network(config: Config, classes: int) -> nn.Sequential:
    """The spine: normalize, blocks, head. Its weights depend on the seed alone.

    The statistics are 0 and 1 until `fit_normalization` or a checkpoint sets them.
    """
    one_logit = config["training"]["loss"] == "bce"
    if one_logit and classes != 2:
        raise InputError(
            f"training.loss=bce needs two classes and the data has {classes}; use cross_entropy"
        )
    size = config["dataset"]["image_size"]
    pl.seed_everything(config["seed"], verbose=False)
    chain = call(config["model"], image_size=size, outputs=1 if one_logit else classes)
    blocks = OrderedDict(chain.named_children())
    if list(blocks)[-1] != "head":
        raise InputError(
            f"model._target_={config['model']['_target_']}: the last block of a network is named "
            f"'head', this one's are {', '.join(blocks)}"
        )
    network = nn.Sequential(
        OrderedDict([("normalize", Normalize([0.0] * 3, [1.0] * 3)), *blocks.items()])
    )
    check_network(network, config)
    return network


def check_network(network: nn.Sequential, config: Config) -> None:
    """Refuse what would fail in the first batch: maps that vanish, batch norm over one image."""
    options = config["dataset"]
    size = options["image_size"]
    mode = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, size, size))
    except RuntimeError as error:
        raise InputError(
            f"dataset.image_size={size}: the network cannot take such images "
            f"({str(error).splitlines()[0]}); use larger images or fewer stages"
        ) from None
    finally:
        network.train(mode)
    norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
    if norms and options["batch_size"] == 1:
        raise InputError(
            "dataset.batch_size=1: batch norm cannot train on one image at a time; "
            "use at least 2, or model.norm=group"
        )


def fit_normalization(network: nn.Sequential, images: ImageSet) -> None:
    """Normalise by the training images' mean and standard deviation per channel."""
    mean, std = channel_statistics(images.images, images.split["train"])
    block = network.get_submodule("normalize")
    assert isinstance(block, Normalize)
    block.mean.copy_(torch.tensor(mean).view(3, 1, 1))
    block.std.copy_(torch.tensor(std).view(3, 1, 1))


def build_classifier(config: Config, network: nn.Sequential, images: ImageSet) -> Classifier:
    training, classes = config["training"], len(images.classes)
    labels = torch.from_numpy(np.asarray(images.labels)[images.split["train"]])
    balanced = training["class_weights"] == "balanced"
    augment: Augmentation = call(config["augmentation"])
    return Classifier(
        network.train().to(memory_format=torch.channels_last),
        classes=classes,
        loss=Loss(
            training["loss"],
            training["label_smoothing"],
            balanced_weights(labels, classes) if balanced else None,
        ),
        optimization=Optimization(
            make_optimizer=lambda groups: call(config["optimizer"], params=groups),
            make_scheduler=lambda optimizer, steps: build_scheduler(config, optimizer, steps),
        ),
        augment=augment,
        mixup=training["mixup"],
        cutmix=training["cutmix"],
        seed=config["seed"],
    )


def build_scheduler(
    config: Config, optimizer: torch.optim.Optimizer, steps: int
) -> LRScheduler | ReduceLROnPlateau:
    """The schedule, told how many steps the run has."""
    options = {key: value for key, value in config["scheduler"].items() if key not in STEPS}
    if "pct_start" in options:
        # OneCycleLR divides by pct_start * steps - 1 and by the steps that are left after it.
        options["pct_start"] = min(max(options["pct_start"], 1.5 / steps), 0.5)
        steps = max(steps, 4)
    known = {key: steps for key in STEPS if key in config["scheduler"]}
    return call(options, optimizer=optimizer, **known)


def build_batches(config: Config, images: ImageSet, split: str) -> Batches:
    """A split's batches: shuffled for training, in order else."""
    pixels, labels = on_device(images.images, images.labels, device_of(config))
    size = config["dataset"]["batch_size"]
    train = split == "train"
    return Batches(
        pixels,
        labels,
        images.split[split],
        # Without gradients there is room for more.
        batch_size=size if train else max(size, 256),
        shuffle_seed=config["seed"] if train else None,
    )


def train_network(
    config: Config,
    network: nn.Sequential,
    images: ImageSet,
    *,
    folder: Path,
    logger: object,
    journal: Journal,
) -> Fitted:
    """Train; checkpoints go to folder/checkpoints."""
    training = config["training"]
    classifier = build_classifier(config, network, images)
    options = dict(config["trainer"])
    device = device_of(config)
    options |= {"precision": precision_of(config), "accelerator": device.type}
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

    return fit(
        classifier,
        build_batches(config, images, "train"),
        build_batches(config, images, "validation"),
        make_trainer=make_trainer,
        logger=logger,
        folder=folder / "checkpoints",
        monitor=training["monitor"],
        early_stopping=training["early_stopping"],
        ema=training["ema"],
        journal=journal,
    )


def precision_of(config: Config) -> str:
    return resolve_precision(config["trainer"]["precision"], device_of(config))


def visualisers(config: Config) -> dict[str, Callable[..., dict]]:
    """Name -> probe -> figures by file stem."""
    return {
        name: (lambda probe, node=node: call(node, probe=probe))
        for name, node in (config["visualization"] or {}).items()
        if isinstance(node, Mapping)
    }
