"""Signatures read from source: of files here, and of libraries as Python itself sees them."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from cnnexp.config.annotations import UNCLEAR
from cnnexp.config.own_folder import allow_folder
from cnnexp.config.signature import Signature, target_signature
from cnnexp.config.source import forget, split_target
from cnnexp.config.types import PositiveInt
from cnnexp.errors import InputError

MODULE = """
from __future__ import annotations
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union, overload

import torch
from annotated_types import Ge, Le
from pydantic import Field, PositiveInt as Positive
from torch import Tensor

from cnnexp.config.types import Fraction01
from written.elsewhere import Colour, Parent, Shape

Size = Union[int, "tuple[int, int]"]

def every(
    a, b: int, c: float = 1.0, d: str | None = None, e: Optional[bool] = None, f: int = None,
    *args, g: Literal["x", "y"] = "x", h: Sequence[Sequence[Positive]] = (),
    i: tuple[float, ...] = (), j: Annotated[int, Ge(2), Le(5)] = 3,
    k: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    l: float | Tensor = 0.1, m: torch.Tensor | None = None, n: Size = 3, o: Colour = "red",
    p: dict[str, int] = {}, q: Path = Path("."), r: Fraction01 = 0.0, s: "int" = 1,
    t: t.Callable[[int], int] = abs, u: Shape = None, v: list = (), w: Any = 1,
) -> None: ...

def open_ended(a: int = 1, **others: Any) -> None: ...

class Overloaded:
    @overload
    def __init__(self, a: int) -> None: ...
    @overload
    def __init__(self, a: str) -> None: ...
    def __init__(self, a: int | str, /, b: int = 2) -> None: ...

class Child(Parent):
    pass

class Stranger(torch.nn.Module):
    pass

class Bare:
    pass

@dataclass
class Settings:
    size: int
    name: str = "x"

if True:
    Other = Child
"""

ELSEWHERE = """
from typing import Literal
Colour = Literal["red", "green"]
class Parent:
    def __init__(self, depth: int = 1) -> None: ...
class Shape: ...
"""


@pytest.fixture(scope="module", autouse=True)
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("folder")
    (folder / "written").mkdir()
    (folder / "written" / "module.py").write_text(MODULE)
    (folder / "written" / "elsewhere.py").write_text(ELSEWHERE)
    (folder / "written" / "broken.py").write_text("def f(:")
    allow_folder(folder)
    yield
    sys.path.remove(str(folder))
    forget()


def of(name: str) -> Signature:
    return target_signature(f"written.module.{name}", "key")


EXPECTED: dict[str, Any] = {
    "a": Any,
    "b": int,
    "c": float,
    "d": str | None,
    "e": bool | None,
    "f": int | None,
    "g": Literal["x", "y"],
    "h": list[list[PositiveInt]],
    "i": list[float],
    "j": Annotated[int, Ge(2), Le(5)],
    "k": Annotated[float, Gt(0), Lt(1)],
    "l": float,
    "m": type(None),
    "o": Literal["red", "green"],
    "p": dict[str, int],
    "q": str,
    "r": Annotated[float, Ge(0), Lt(1)],
    "s": int,
    "t": UNCLEAR,
    "u": UNCLEAR | None,
    "v": list,
    "w": Any,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_annotations(name: str) -> None:
    assert of("every").arguments[name].kind() == EXPECTED[name]


def test_an_alias_of_a_forward_reference() -> None:
    first, second = of("every").arguments["n"].kind().__args__
    assert first is int
    assert second.__origin__ == tuple[int, int]


def test_arguments_and_defaults() -> None:
    every = of("every")
    assert list(every.arguments) == [chr(c) for c in range(ord("a"), ord("w") + 1)]
    assert {name for name, a in every.arguments.items() if a.required} == {"a", "b"}
    assert (every.open, of("open_ended").open) == (False, True)


def test_classes() -> None:
    assert list(of("Overloaded").arguments) == ["b"], "a is positional only: no key of a config"
    assert list(of("Child").arguments) == list(of("Other").arguments) == ["depth"]
    assert of("Stranger").open, "its base is not followed out of reach"
    assert of("Bare") == Signature()
    settings = of("Settings").arguments
    assert [(n, a.kind(), a.required) for n, a in settings.items()] == [
        ("size", int, True),
        ("name", str, False),
    ]


def test_what_does_not_parse_names_its_line() -> None:
    with pytest.raises(InputError, match=r"broken\.py, line 1: "):
        target_signature("written.broken.f", "key")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("written.module.Chidl", "'written.module' has no 'Chidl'; did you mean 'Child'?"),
        ("written.modul.Child", "no module"),
        ("no_such_package.x", "there is no module 'no_such_package'"),
        ("written.module", "is a module"),
        ("cnnexp.models.lenet.lenet5", "'cnnexp.models' has no 'lenet'; did you mean 'lenet5'?"),
        ("torch.optim.AdmW", "'torch.optim' has no 'AdmW'; did you mean 'AdamW'?"),
    ],
)
def test_no_such_target(target: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        target_signature(target, "model._target_")
    assert str(caught.value).startswith(f"model._target_={target}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        "torch.optim.SGD",
        "torch.optim.AdamW",
        "torch.optim.RMSprop",
        "torch.optim.Adafactor",
        "torch.optim.LBFGS",
        "torch.optim.lr_scheduler.OneCycleLR",
        "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "torch.optim.lr_scheduler.CosineAnnealingLR",
        "pytorch_lightning.Trainer",
        "torchvision.models.resnet18",
        "torchvision.models.vgg16",
        "cnnexp.models.baseline.baseline",
        "cnnexp.augmentations.photo.Photo",
    ],
)
def test_as_python_itself_sees_it(target: str) -> None:
    """Names, defaults and **kwargs as inspect.signature gives them of the imported object."""
    module, name = target.rsplit(".", 1)
    imported = inspect.unwrap(getattr(importlib.import_module(module), name))
    parameters = inspect.signature(imported).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    read = target_signature(target, "key")
    assert list(read.arguments) == [p.name for p in named]
    assert {n for n, a in read.arguments.items() if a.required} == {
        p.name for p in named if p.default is p.empty
    }
    assert read.open == any(p.kind is p.VAR_KEYWORD for p in parameters)


def test_types_that_only_other_files_know() -> None:
    """Lightning's precision is an alias of aliases in another package; torch's rate a tensor."""
    precision = target_signature("pytorch_lightning.Trainer", "key").arguments["precision"].kind()
    choices = {c for member in precision.__args__ for c in getattr(member, "__args__", ())}
    assert {"16-mixed", "bf16-mixed", "32-true", 32, "32"} <= choices
    adam = target_signature("torch.optim.Adam", "key").arguments
    assert (adam["lr"].kind(), adam["foreach"].kind()) == (float, bool | None)


def test_split_target() -> None:
    assert split_target("torch.optim.lr_scheduler.OneCycleLR")[0] == "torch.optim.lr_scheduler"
    assert split_target("written.module.Child") == ("written.module", "Child")
    assert split_target("pytorch_lightning.Trainer") == ("pytorch_lightning", "Trainer")
