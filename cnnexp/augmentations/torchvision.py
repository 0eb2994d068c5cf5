"""torchvision's transforms, one after the other, image by image."""

import inspect
from collections.abc import Mapping
from enum import Enum
from typing import Any, get_args

import torch
from torchvision.transforms import v2

from cnnexp.errors import InputError, nearest, one_line

KEY = "augmentation.transforms"


class Torchvision:
    """(B, 3, H, W) uint8 -> the same shape: each image through all transforms, drawn anew for it.

    transforms: names of `torchvision.transforms.v2`, or mappings with a name and its arguments.
    An argument that torchvision takes as an enumeration or a torch.dtype is text here ("bilinear",
    "float32"); `transforms` of RandomApply, RandomChoice and RandomOrder are such a list again.
    torchvision draws once per call, so that the batch is taken apart: some hundred microseconds for
    each image and transform. Raises InputError for a name or an argument that torchvision has not.
    """

    def __init__(self, transforms: list[Any]) -> None:
        self.transforms = build_all(transforms, KEY)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        made = [self._through(image) for image in images]
        kinds = {f"{image.dtype} {tuple(image.shape)}" for image in made}
        if len(kinds) > 1:
            raise InputError(f"{KEY}: some images become {' and some '.join(sorted(kinds))}")
        return torch.stack(made)

    def _through(self, image: torch.Tensor) -> torch.Tensor:
        for number, transform in enumerate(self.transforms):
            where = f"{KEY}[{number}]: {type(transform).__name__}"
            try:
                image = transform(image)
            except Exception as error:  # torchvision's, of what the config says
                raise InputError(f"{where}: {one_line(error)}") from error
            if not isinstance(image, torch.Tensor):
                raise InputError(
                    f"{where} gives no tensor, but {type(image).__name__}; leave it out"
                )
        return image


def build_all(entries: Any, key: str) -> list[v2.Transform]:
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{key}={entries}: must be a list of transforms, such as [RandAugment]")
    return [build(entry, f"{key}[{i}]") for i, entry in enumerate(entries)]


def build(entry: Any, key: str) -> v2.Transform:
    """key: of the entry in the config."""
    given = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
    name = given.pop("name", None)
    there = [each for each in dir(v2) if is_transform(getattr(v2, each))]
    if name in ("MixUp", "CutMix"):
        raise InputError(f"{key}.name={name}: mixes labels, too; use training.{name.lower()}")
    if name not in there:
        raise InputError(
            f"{key}.name={name}: torchvision.transforms.v2 has no such transform"
            f"{nearest(str(name), there) or ', such as RandomRotation, RandomErasing'}"
        )
    kind = getattr(v2, name)
    takes = inspect.signature(kind).parameters
    for argument, value in given.items():
        if argument not in takes:
            raise InputError(
                f"{key}.{argument}: {name} takes no such argument"
                f"{nearest(str(argument), takes) or ';'} allowed: {', '.join(takes) or 'none'}"
            )
        given[argument] = as_taken(value, takes[argument], f"{key}.{argument}")
    try:
        return kind(**given)
    except Exception as error:  # as above
        raise InputError(f"{key}: {name}: {one_line(error)}") from error


def is_transform(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, v2.Transform) and thing is not v2.Transform


def as_taken(value: Any, parameter: inspect.Parameter, key: str) -> Any:
    """`value` of a config as the parameter wants it."""
    if parameter.name == "transforms":
        return build_all(value, key)
    for kind in (parameter.annotation, *get_args(parameter.annotation)):
        if inspect.isclass(kind) and issubclass(kind, Enum) and isinstance(value, str):
            allowed = [str(member.value) for member in kind]
            if value not in allowed:
                near = nearest(value, allowed)
                raise InputError(f"{key}={value}{near or ':'} allowed: {', '.join(allowed)}")
            return kind(value)
        if kind is torch.dtype and isinstance(value, str):
            found = getattr(torch, value, None)
            return found if isinstance(found, torch.dtype) else value
    return value
