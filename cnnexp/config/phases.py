"""The phases of a config: what is left out filled in, what is wrong said. Imports no torch."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from cnnexp.config.check import shown
from cnnexp.config.compose import read_option
from cnnexp.config.schema import PHASE_DEFAULTS
from cnnexp.errors import InputError, nearest

# A schedule's length, in steps: the program knows it, and fills it in where it is not given.
LENGTHS = ("total_steps", "T_max", "total_iters")
# These set absolute rates of their own, or go by epochs: no warm-up can be laid over them.
OWN_WARMUP = ("OneCycleLR", "ReduceLROnPlateau")


def filled(phases: Any, trainer: Any) -> Any:
    """With the defaults of each phase, and the epochs of trainer.max_epochs where that is given;
    what is no mapping is left to the check.
    """
    if not isinstance(phases, Mapping):
        return phases
    most = trainer.get("max_epochs") if isinstance(trainer, Mapping) else None
    epochs = {} if most is None else {"epochs": most}
    return {
        name: {**PHASE_DEFAULTS, **phase, **epochs} if isinstance(phase, Mapping) else phase
        for name, phase in phases.items()
    }


def check_heeded(config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse epochs that an experiment gives a phase where trainer.max_epochs stands for all of
    them; those of the chosen option of `phases` yield. Who types trainer.max_epochs means it, and
    so does a debug run.

    config: as composed.
    """
    if "hydra" not in config:  # a sweep's job, which was checked before the sweep began
        return
    most, choices = config.trainer.get("max_epochs"), config.hydra.runtime.choices
    typed = any("trainer.max_epochs=" in line for line in overrides)
    trains = config.task.get("name") == "train" and config.resume is None
    if most is None or typed or choices.get("debug") or not trains:
        return
    option = read_option("phases", str(choices.phases))
    for name, phase in config.phases.items():
        own = phase.get("epochs")
        if own not in (None, most, (option.get(name) or {}).get("epochs")):
            raise InputError(
                f"phases.{name}.epochs={own}: trainer.max_epochs={most} stands for all phases; "
                "beside these epochs write trainer: {max_epochs: null}"
            )


def check_meant(name: str, phases: Mapping[str, Any]) -> None:
    """Refuse phases.finetun.epochs=3: beside `finetune`, it would be a phase of its own."""
    known = [n for n, phase in phases.items() if isinstance(phase, Mapping) and phase["trainable"]]
    if isinstance(phases[name], Mapping) and phases[name]["trainable"] is None:
        raise InputError(
            f"phases.{name}: there is no such phase{nearest(name, known) or ';'} the run has "
            f"{', '.join(known) or 'none'}; a new one says what it trains: "
            f"phases.{name}.trainable=[head]"
        )


def check_phase(name: str, phase: Mapping[str, Any], scheduler: Mapping[str, Any]) -> None:
    """What types do not say. scheduler: as the phase has it."""
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise InputError(f"phases.{name}: names a folder; use letters, digits, - and _")
    if phase["trainable"] == []:
        raise InputError(f"phases.{name}.trainable=[]: nothing would train; name blocks, or all")
    kind = str(scheduler["_target_"]).rpartition(".")[2]
    own = [key for key in ("total_steps", "epochs", "steps_per_epoch") if scheduler.get(key)]
    if kind == "OneCycleLR" and own:  # with fewer it would end in the middle of the phase
        raise InputError(
            f"scheduler.{own[0]}={shown(scheduler[own[0]])}: OneCycleLR lasts for the whole phase, "
            "which the program fills in; take it out"
        )
    if phase["warmup"] and kind in OWN_WARMUP:
        raise InputError(
            f"phases.{name}.warmup={shown(phase['warmup'])}: {kind} sets the rate itself; "
            "use scheduler=cosine or constant, or warmup=0"
        )
