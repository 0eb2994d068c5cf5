"""What a `_target_` takes: names and types of its arguments, read from its source."""

import ast
import functools
from dataclasses import dataclass, field
from typing import Any, Union

from cnnexp.config.annotations import NAMES, interpret
from cnnexp.config.source import (
    FOLLOWED,
    Definition,
    Module,
    find,
    is_overload,
    read_module,
    split_target,
    statements,
)
from cnnexp.errors import InputError, nearest
from cnnexp.files import shown_path


@dataclass(frozen=True)
class Argument:
    """One argument as it is written. nullable: its default is None."""

    annotation: ast.expr | None
    module: Module
    required: bool
    nullable: bool = False

    def kind(self) -> Any:
        """Its type. Worked out when asked: an annotation may lead through many files."""
        kind = interpret(self.annotation, self.module)
        if self.nullable and kind is not Any:
            return Union[kind, None]  # noqa: UP007 (`x: int = None`)
        return kind

    def slip(self) -> str:
        """Of an annotation that checks nothing, perhaps by a slip of the pen: what it may be."""
        text = "" if self.annotation is None else ast.unparse(self.annotation).strip("'\"")
        return (
            f"{shown_path(self.module.path)} annotates it as {text}, which nothing can be checked "
            f"against{nearest(text, NAMES) or ';'} allowed: int, float, bool, str, "
            "Path, Literal[…], lists and mappings of them, | None, what cnnexp/config/types.py "
            "has, or no annotation"
        )


@dataclass(frozen=True)
class Signature:
    """arguments: that may be given by name. open: it takes others too (**kwargs)."""

    arguments: dict[str, Argument] = field(default_factory=dict)
    open: bool = False


ANYTHING = Signature(open=True)


@functools.lru_cache(maxsize=128)
def target_signature(target: str, key: str) -> Signature:
    """The arguments of the class or function `target`; ANYTHING where no source tells.

    Raises InputError, naming the config key, where the source shows that there is no such thing.
    """
    module_name, name = split_target(target)
    if not module_name:
        raise InputError(
            f"{key}={target}: there is no module '{target.split('.')[0]}'; is it installed?"
        )
    module = read_module(module_name)
    if module is None:
        return ANYTHING
    first, _, attributes = name.partition(".")
    if not first:
        raise InputError(f"{key}={target}: is a module; name a class or a function in it")
    definition = find(module, first)
    if definition is None:
        if not module.complete:
            return ANYTHING
        # With a nested package a misspelt module is a missing attribute of its parent.
        raise InputError(
            f"{key}={target}: '{module_name}' has no '{first}'{nearest(first, near(module))}"
        )
    return ANYTHING if attributes else signature(definition)


def near(module: Module) -> list[str]:
    """Names that a person may have meant: classes, functions, re-exports, and modules beside."""
    names = []
    for node in statements(module.tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
    if module.path.name == "__init__.py":
        names += [path.stem for path in module.path.parent.glob("*.py")]
    return names


def signature(definition: Definition, followed: int = 0) -> Signature:
    match definition.node:
        case ast.FunctionDef() as function:
            return of_function(function, definition.module, bound=False)
        case ast.ClassDef() as cls if followed <= FOLLOWED:
            return of_class(cls, definition.module, followed)
        case ast.Name(id=name):  # Adam = Other
            other = find(definition.module, name)
            return signature(other, followed + 1) if other and followed <= FOLLOWED else ANYTHING
    return ANYTHING


def of_class(cls: ast.ClassDef, module: Module, followed: int) -> Signature:
    """Its __init__, a dataclass's fields, or what its first base says."""
    for node in reversed(cls.body):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__" and not is_overload(node):
            return of_function(node, module, bound=True)
    if any("dataclass" in ast.unparse(decorator) for decorator in cls.decorator_list):
        return of_dataclass(cls, module)
    if not cls.bases:
        return Signature()
    base = find(module, cls.bases[0].id) if isinstance(cls.bases[0], ast.Name) else None
    return signature(base, followed + 1) if base else ANYTHING


def of_dataclass(cls: ast.ClassDef, module: Module) -> Signature:
    arguments = {
        node.target.id: Argument(node.annotation, module, required=node.value is None)
        for node in cls.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    return Signature(arguments, open=bool(cls.bases))


def of_function(function: ast.FunctionDef, module: Module, *, bound: bool) -> Signature:
    written = function.args
    positional = written.posonlyargs + written.args
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(written.defaults))
    defaults += written.defaults
    pairs = list(zip(positional, defaults, strict=True))[int(bound) :]
    pairs += zip(written.kwonlyargs, written.kw_defaults, strict=True)
    arguments = {
        argument.arg: Argument(
            argument.annotation,
            module,
            required=default is None,
            nullable=isinstance(default, ast.Constant) and default.value is None,
        )
        for argument, default in pairs
        if argument not in written.posonlyargs
    }
    return Signature(arguments, open=written.kwarg is not None)
