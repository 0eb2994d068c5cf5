"""A composed config, checked whole: keys, types, bounds, combinations. Imports no torch."""

import re
from collections.abc import Mapping
from typing import Any, get_type_hints, is_typeddict

from cnnexp.config.annotations import unclear
from cnnexp.config.check import check_keys, check_value, fits, members, shown
from cnnexp.config.groups import OFTEN_MEANT
from cnnexp.config.instantiate import check_allowed
from cnnexp.config.loss_options import check_own_loss
from cnnexp.config.overlay import laid_over
from cnnexp.config.own_folder import is_own
from cnnexp.config.phases import LENGTHS, check_meant, check_phase, filled
from cnnexp.config.schema import (
    DATASET_DEFAULTS,
    FILLED_IN,
    REFINED,
    REQUIRED,
    Config,
    Phase,
    check_together,
)
from cnnexp.config.signature import target_signature
from cnnexp.errors import InputError, nearest

NODES = (
    "task",
    "dataset",
    "augmentation",
    "model",
    "optimizer",
    "scheduler",
    "trainer",
    "tracking",
    "visualization",
)


def validate(config: Mapping[str, Any], *, known: bool = True) -> dict[str, Any]:
    """The config with the dataset's defaults filled in. Raises InputError.

    known: False where the dataset and all but the typed keys will be those of a run that is found
    later: then only what belongs to this command is checked.
    """
    checked = dict(config)
    if isinstance(config.get("dataset"), Mapping):
        left = {k: v for k, v in DATASET_DEFAULTS.items() if k not in config["dataset"]}
        checked["dataset"] = {**config["dataset"], **left}
    if "phases" in config:
        checked["phases"] = filled(config["phases"], config.get("trainer"))
    check_top(checked)
    check_section(get_type_hints(Config, include_extras=True), checked, "")
    for group in NODES:
        if group == "dataset" and not known:
            continue
        if group == "visualization":
            if "_target_" in (checked[group] or {}):
                raise InputError(
                    f"visualization: the YAML of {checked[group]['_target_']} does not say where "
                    "it belongs; its first line is '# @package visualization.<the file's name>'"
                )
            for name, node in (checked[group] or {}).items():
                check_value(dict, node, f"{group}.{name}")
                if not re.fullmatch(r"\w[\w-]*", str(name)):
                    raise InputError(f"{group}.{name}: names files; use letters, digits, - and _")
                check_node(group, node, f"{group}.{name}")
        else:
            check_node(group, checked[group], group)
    if isinstance(checked["training"]["loss"], Mapping):
        check_node("loss", checked["training"]["loss"], "training.loss")
        check_own_loss(checked["training"])
    check_phases(checked)
    if known:
        check_together(checked)
    return checked


def check_phases(config: Mapping[str, Any]) -> None:
    """Each phase, with the optimizer and the schedule that it will have."""
    if not config["phases"]:
        raise InputError("phases: there is none; phases=whole trains all blocks in one")
    types = get_type_hints(Phase, include_extras=True)
    for name, phase in config["phases"].items():
        key = f"phases.{name}"
        check_value(dict, phase, key)
        check_meant(name, config["phases"])
        check_section(types, phase, f"{key}.")
        nodes = {
            group: laid_over(config[group], phase[group]) for group in ("optimizer", "scheduler")
        }
        for group, node in nodes.items():
            check_node(group, node, f"{key}.{group}")
        check_phase(str(name), phase, nodes["scheduler"])


def check_top(config: Mapping[str, Any]) -> None:
    """Unknown top-level keys; `lr=0.1` is answered with the key that ends in it."""
    allowed = get_type_hints(Config)
    for key, value in config.items():
        if key not in {*allowed, *OFTEN_MEANT} and not nearest(key, allowed):
            for group, section in config.items():
                if group in allowed and isinstance(section, Mapping) and key in section:
                    raise InputError(
                        f"{key}={shown(value)}: unknown key; did you mean '{group}.{key}'?"
                    )
    check_keys(config, allowed)


def check_section(types: Mapping[str, Any], section: Mapping[str, Any], prefix: str) -> None:
    """Exactly these keys, with these types; TypedDicts in them are sections of their own."""
    check_keys(section, types, prefix)
    for key, kind in types.items():
        if key not in section:
            mend = f"or take out what has removed it (~{prefix}{key}, {prefix}{key}=[])"
            if prefix.count(".") > 1:  # dataset.split.train
                mend = f"as {', '.join(types)} each have; or leave {prefix.rstrip('.')} out"
            raise InputError(f"{prefix}{key}: is missing; give it a value, {mend}")
        check_key(kind, section[key], prefix + key)


def check_key(kind: Any, value: Any, key: str) -> None:
    if is_typeddict(kind):
        types = get_type_hints(kind, include_extras=True)
        if isinstance(value, str):
            check_value(dict, value, key)  # a shell may have taken braces apart
        if not isinstance(value, Mapping):
            known = ", ".join(types)
            raise InputError(f"{key}={shown(value)}: must be a mapping, with a value for {known}")
        check_section(types, value, f"{key}.")
    else:
        check_value(kind, value, key)


def check_node(group: str, node: Mapping[str, Any], path: str) -> None:
    """A node with a `_target_`: its keys are the target's arguments and have their types."""
    if "_target_" not in node:
        close = [str(key) for key in node if nearest("_target_", [str(key)])]
        slip = f", and '{close[0]}' is not it" if close else ""
        raise InputError(
            f"{path}._target_: is missing; it names the function or class to call{slip}"
        )
    target = node["_target_"]
    check_allowed(target, f"{path}._target_", group)
    takes = target_signature(target, f"{path}._target_")
    filled_in = FILLED_IN.get(group, frozenset())
    if group == "scheduler" and "pct_start" not in takes.arguments:
        filled_in -= {"max_lr"}  # OneCycleLR's is the optimizer's rate, CyclicLR's is its own
    refined = REFINED.get(group, {}) | ({"name": str} if group == "task" else {})
    allowed = takes.arguments.keys() - filled_in
    if group in ("dataset", "task"):  # they have keys that the function does not take
        allowed |= refined.keys()
    if group == "trainer":  # it has options that the program cannot bear
        allowed = set(refined)
    given = {key: value for key, value in node.items() if key != "_target_"}
    lacks = sorted({"image_size", "outputs"} - takes.arguments.keys()) if group == "model" else []
    if lacks and not takes.open:
        raise InputError(
            f"{path}._target_={target}: does not take {' and '.join(lacks)}; a model is made of "
            "image_size (pixels) and outputs (how many), and of its own settings"
        )
    for key in REQUIRED.get(group, ()):
        if key not in takes.arguments and not takes.open:
            raise InputError(
                f"{path}._target_={target}: does not take {key}; each {group} here has it"
            )
    if group == "visualization" and "probe" not in takes.arguments and not takes.open:
        raise InputError(
            f"{path}._target_={target}: does not take probe, what a picture is made of: the "
            "network and its images (cnnexp/visualization/probe.py)"
        )
    for key in sorted(given.keys() & filled_in):
        raise InputError(
            f"{path}.{key}={shown(given[key])}: is filled in by the program; take it out"
        )
    if group == "dataset" and "root" in given and "root" not in allowed and not takes.open:
        raise InputError(
            f"dataset.root={shown(given['root'])}: {target.rpartition('.')[2]} brings its own "
            "images; to read yours add dataset=image_folder"
        )
    if not takes.open or group == "trainer":
        check_keys(given, allowed, f"{path}.")
    for key, value in given.items():
        if key in refined:
            kind = refined[key]
        else:
            kind = takes.arguments[key].kind() if key in takes.arguments else Any
            known = [one for one in members(kind) if not unclear(one)]
            if unclear(kind) and is_own(target) and not any(fits(one, value) for one in known):
                raise InputError(f"{path}.{key}={shown(value)}: {takes.arguments[key].slip()}")
        check_key(kind, value, f"{path}.{key}")
    for key, argument in takes.arguments.items():
        length = group == "scheduler" and key in LENGTHS
        if argument.required and key not in given.keys() | filled_in and not length:
            called = {"augmentation": "images", "loss": "logits and targets"}.get(group)
            function = called and target.rpartition(".")[2][:1].islower()
            other = f"; a function is not called with {called}, it returns what is" * bool(function)
            raise InputError(f"{path}.{key}: is missing; {target} needs it{other}")
    for key in REQUIRED.get(group, ()):
        if key not in given:
            raise InputError(f"{path}.{key}: is missing; give it a value")
