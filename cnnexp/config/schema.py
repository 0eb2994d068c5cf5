"""The keys of a config that are the product's own, their types, and what must fit together.

The arguments of models, datasets, … are not here: signatures say them (`signature.py`). Where a key
is in both, as a library's `lr: float`, the type here counts.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

from annotated_types import Ge, Gt, Lt
from pydantic import Strict

from cnnexp.config.check import shown
from cnnexp.config.types import (
    Fraction01,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Share,
)
from cnnexp.errors import InputError

OpenFraction = Annotated[float, Gt(0), Lt(1)]
Size = PositiveInt | OpenFraction  # images per class, or a share of them


class Paths(TypedDict):
    outputs: str
    cache: str


class Training(TypedDict):
    loss: Literal["cross_entropy", "bce"] | dict[str, Any]
    label_smoothing: Fraction01
    class_weights: Literal["balanced"] | None
    mixup: NonNegativeFloat
    cutmix: NonNegativeFloat
    ema: OpenFraction | None
    compile: Literal["default", "reduce-overhead"] | None
    early_stopping: PositiveInt | None
    test: bool
    monitor: Literal["val/accuracy", "val/f1", "val/loss"]
    prefix_cache: bool
    prefix_cache_gb: PositiveFloat
    views: PositiveInt | None


class Phase(TypedDict):
    """One stretch of training; what is left out comes from PHASE_DEFAULTS.

    optimizer, scheduler: laid over the run's own, or in their place where they name a `_target_`.
    """

    trainable: Literal["all"] | PositiveInt | list[str]
    epochs: PositiveInt
    lr_scale: PositiveFloat | dict[str, PositiveFloat]
    warmup: NonNegativeFloat
    early_stopping: PositiveInt | None
    optimizer: dict
    scheduler: dict


class Search(TypedDict):
    trials: PositiveInt | None
    pruning: bool


class Config(TypedDict):
    name: str
    seed: Annotated[int, Ge(0), Lt(2**32)]  # as numpy's seeds
    run: str | None
    runs: list[str] | None
    a: str | None
    b: str | None
    input: str | None
    format: Literal["onnx", "torch"]
    search: Search
    suite: dict | None
    n_jobs: PositiveInt
    resume: str | None
    init_from: str | None
    paths: Paths
    training: Training
    task: dict
    dataset: dict
    augmentation: dict
    model: dict
    optimizer: dict
    scheduler: dict
    phases: dict
    trainer: dict
    tracking: dict
    visualization: dict | None


class Split(TypedDict):
    train: Size
    validation: Size
    test: Size


class DatasetOptions(TypedDict):
    """Keys of every dataset, beside its function's arguments."""

    image_size: Annotated[int, Ge(2)]
    resize: Literal["crop", "stretch", "pad"]
    batch_size: PositiveInt
    per_class: PositiveInt | None
    fold: NonNegativeInt | None
    folds: Annotated[int, Ge(2)]
    split: Split
    split_seed: NonNegativeInt
    duplicates: Literal["leave_out", "keep"]
    group_by: str | None


class Optimizer(TypedDict):
    """Bounds that torch's signatures do not say."""

    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    momentum: Fraction01
    dampening: Fraction01
    alpha: Fraction01
    eps: PositiveFloat
    betas: Annotated[tuple[Fraction01, Fraction01], Strict(False)]  # a list in YAML


class Scheduler(TypedDict):
    total_steps: PositiveInt | None
    T_max: PositiveInt | None
    total_iters: NonNegativeInt | None
    pct_start: Fraction01
    div_factor: PositiveFloat
    final_div_factor: PositiveFloat
    eta_min: NonNegativeFloat
    min_lr: NonNegativeFloat
    factor: Annotated[float, Gt(0)]
    patience: NonNegativeInt
    step_size: PositiveInt


class Trainer(TypedDict):
    """All that a config may say to Lightning: its other options would break a run."""

    max_epochs: PositiveInt | None
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: PositiveInt | Literal["auto"]
    sync_batchnorm: bool
    accumulate_grad_batches: PositiveInt
    gradient_clip_val: PositiveFloat | None
    gradient_clip_algorithm: Literal["norm", "value"] | None
    deterministic: bool
    benchmark: bool | None
    max_time: str | None
    limit_train_batches: PositiveInt | Share | None
    log_every_n_steps: PositiveInt


REFINED: dict[str, dict[str, Any]] = {
    "optimizer": get_type_hints(Optimizer, include_extras=True),
    "scheduler": get_type_hints(Scheduler, include_extras=True),
    "trainer": get_type_hints(Trainer, include_extras=True),
    "dataset": get_type_hints(DatasetOptions, include_extras=True),
}

# Arguments that the program fills in: they are no keys.
FILLED_IN: dict[str, frozenset[str]] = {
    "task": frozenset({"config"}),
    "dataset": frozenset({"cache"}),
    "model": frozenset({"image_size", "outputs"}),
    "optimizer": frozenset({"params"}),
    "scheduler": frozenset({"optimizer", "max_lr"}),
    "trainer": frozenset(
        {
            "callbacks",
            "default_root_dir",
            "enable_model_summary",
            "enable_progress_bar",
            "logger",
            "num_sanity_val_steps",
            "use_distributed_sampler",
        }
    ),
    "tracking": frozenset({"experiment", "run_name", "run_id", "folder", "tags"}),
    "visualization": frozenset({"probe"}),
}

# What the program reads itself; their functions have defaults of their own.
REQUIRED: dict[str, tuple[str, ...]] = {
    "optimizer": ("lr",),
    "trainer": ("max_epochs", "precision", "accelerator", "devices"),
}

DATASET_DEFAULTS: dict[str, Any] = {
    "resize": "crop",
    "batch_size": 64,
    "per_class": None,
    "fold": None,
    "folds": 5,
    "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
    "split_seed": 0,
    "duplicates": "leave_out",
    "group_by": None,
}

PHASE_DEFAULTS: dict[str, Any] = {
    "trainable": None,  # a phase says it
    "epochs": 20,
    "lr_scale": 1.0,
    "warmup": 0,
    "early_stopping": None,
    "optimizer": {},
    "scheduler": {},
}

NEEDS_RUN = ("evaluate", "predict", "visualize", "export", "reproduce")
TAKES_RUNS = ("visualize",)  # several, in place of one
COMPARES = ("compare", "diff", "sync")  # or moves finished runs, and begins none


def check_together(config: Mapping[str, Any]) -> None:
    """What is right key by key and wrong together. Raises InputError."""
    trainer, optimizer, name = config["trainer"], config["optimizer"], config["name"]
    if not re.fullmatch(r"\w([\w .+-]{,98}[\w.+-])?", name):
        raise InputError(
            f"name={shown(name)}: names a folder; use letters, digits, spaces, - _ . + "
            "and a letter first, 100 characters at most"
        )
    devices, batch_size = trainer["devices"], config["dataset"].get("batch_size")
    if isinstance(devices, int) and isinstance(batch_size, int) and 1 < devices > batch_size // 2:
        raise InputError(
            f"trainer.devices={devices}: each process needs 2 images of every batch "
            f"(dataset.batch_size={batch_size}); use {max(1, batch_size // 2)} at most"
        )
    if "image_size" not in config["dataset"]:
        raise InputError("dataset.image_size: is missing; it is the images' side in pixels")
    fold, folds = config["dataset"].get("fold"), config["dataset"].get("folds")
    if fold is not None and folds is not None and fold >= folds:
        raise InputError(
            f"dataset.fold={fold}: with dataset.folds={folds} there are 0 to {folds - 1}; "
            f"all of them: -m dataset.fold={','.join(map(str, range(folds)))}"
        )
    split = config["dataset"]["split"]
    if len({isinstance(size, int) for size in split.values()}) > 1:
        raise InputError(
            f"dataset.split={shown(split)}: mixes images per class and fractions (a share that "
            "is not typed is the dataset's or the experiment's); give three integers, or three "
            "fractions"
        )
    if all(isinstance(size, float) for size in split.values()) and sum(split.values()) > 1 + 1e-9:
        raise InputError(
            f"dataset.split={shown(split)}: these fractions sum to {sum(split.values()):g}; "
            "they may sum to at most 1 (one that is not typed is the dataset's or the experiment's)"
        )
    if optimizer.get("nesterov") and (not optimizer.get("momentum") or optimizer.get("dampening")):
        raise InputError(
            "optimizer.nesterov=true: needs optimizer.momentum greater than 0 and no dampening"
        )
    summed = trainer["accumulate_grad_batches"]
    if config["training"]["compile"] == "reduce-overhead" and summed > 1:
        raise InputError(
            "training.compile=reduce-overhead: would overwrite the gradients that "
            f"trainer.accumulate_grad_batches={summed} adds up; use default"
        )
    if trainer.get("precision") == "16-mixed" and trainer.get("accelerator") == "cpu":
        raise InputError(
            "trainer.precision=16-mixed: needs a GPU; with trainer.accelerator=cpu use auto, "
            "bf16-mixed or 32-true"
        )
    limit = trainer.get("max_time")
    if limit is not None and not re.fullmatch(r"\d\d:\d\d:\d\d:\d\d", limit):
        raise InputError(
            f"trainer.max_time={shown(limit)}: must be days:hours:minutes:seconds, "
            "such as 00:01:30:00"
        )
