"""Annotations in source files turned into types that a value from YAML can be checked against."""

import ast
import importlib
from functools import reduce
from typing import Annotated, Any, Literal, Union, get_args

import annotated_types
from pydantic import Strict

from cnnexp.config import types
from cnnexp.config.source import Definition, Module, find, imported_from, statements

PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "Path": str, "PathLike": str}
LISTS = {
    "list",
    "List",
    "Sequence",
    "Iterable",
    "Collection",
    "Iterator",
    "set",
    "Set",
    "frozenset",
}
TUPLES = {"tuple", "Tuple"}
ANYTHING = {"Any", "object"}
MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}
# Modules whose names are taken from the module itself: small, and without torch.
IMPORTED = {"cnnexp.config.types", "pydantic", "pydantic.types", "annotated_types"}
NAMES = [*PLAIN, *(name for name, kind in vars(types).items() if hasattr(kind, "__metadata__"))]
NOT_IN_YAML = {"Tensor"}  # `float | Tensor` asks YAML for a float
UNCLEAR = Annotated[Any, "not understood"]  # of a type: whatever it is given is taken

NoneType = type(None)


def interpret(node: ast.AST | None, module: Module, depth: int = 0) -> Any:
    """A type for pydantic; UNCLEAR for what is not understood. None: there is no annotation."""
    if node is None:
        return Any
    if depth > 20:
        return UNCLEAR
    match node:
        case ast.Constant(value=None):
            return NoneType
        case ast.Constant(value=str() as text):
            try:
                return interpret(ast.parse(text, mode="eval").body, module, depth + 1)
            except SyntaxError:
                return UNCLEAR
        case ast.BinOp(op=ast.BitOr()):
            return union([node.left, node.right], module, depth)
        case ast.Subscript():
            return subscript(node, module, depth)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            if name in PLAIN:
                return PLAIN[name]
            if name in LISTS | TUPLES:
                return list
            if name in MAPPINGS:
                return dict
            if name == "None":
                return NoneType
            if name in ANYTHING:
                return Any
            return named(name, module, depth) if isinstance(node, ast.Name) else UNCLEAR
    return UNCLEAR


def named(name: str, module: Module, depth: int) -> Any:
    """A name of the file itself: an alias, or imported from somewhere."""
    for node in statements(module.tree.body):
        if isinstance(node, ast.ImportFrom) and imported_from(module, node) in IMPORTED:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    home = importlib.import_module(imported_from(module, node))
                    return getattr(home, alias.name, UNCLEAR)
    found: Definition | None = find(module, name)
    if found is None or isinstance(found.node, ast.ClassDef | ast.FunctionDef):
        return UNCLEAR
    return interpret(found.node, found.module, depth + 1)


def subscript(node: ast.Subscript, module: Module, depth: int) -> Any:
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    name = last_name(node.value)

    def each(nodes: list[ast.expr]) -> list[Any]:
        return [interpret(item, module, depth + 1) for item in nodes]

    if name == "Optional":
        return union([inner[0], ast.Constant(None)], module, depth)
    if name == "Final":
        return each(inner)[0]
    if name == "Union":
        return union(list(inner), module, depth)
    if name == "Literal":
        return literal(inner, module, depth)
    if name == "Annotated":
        bounds = tuple(bound for item in inner[1:] for bound in bounds_of(item))
        base = each(inner[:1])[0]
        if unclear(base):
            return UNCLEAR
        return reduce(lambda kind, bound: Annotated[kind, bound], bounds, base)
    if name in LISTS:
        return list[each(inner)[0]]  # type: ignore[misc]
    if name in TUPLES:
        if len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is ...:
            return list[each(inner[:1])[0]]  # type: ignore[misc]
        # YAML has lists only: strict about the items, not about list or tuple.
        return Annotated[tuple[tuple(each(inner))], Strict(False)]  # type: ignore[misc]
    if name in MAPPINGS:
        return dict[str, each(inner)[-1]]  # type: ignore[misc]
    return UNCLEAR


def unclear(kind: Any) -> bool:
    """Whether a part of it was not understood."""
    return kind == UNCLEAR or any(map(unclear, get_args(kind)))


def union(nodes: list[ast.expr], module: Module, depth: int) -> Any:
    """Members that YAML cannot hold are left out."""
    kept = [node for node in nodes if last_name(node) not in NOT_IN_YAML]
    kinds = [interpret(node, module, depth + 1) for node in kept]
    if not kinds:
        return UNCLEAR
    if Any in kinds:
        return Any
    return Union[tuple(kinds)]  # noqa: UP007 (built at run time)


def literal(inner: list[ast.expr], module: Module, depth: int) -> Any:
    try:
        values = tuple(ast.literal_eval(item) for item in inner)
    except ValueError:  # Literal[Colour.RED]
        return UNCLEAR
    return Literal[values]


def bounds_of(node: ast.expr) -> list[Any]:
    """Gt(0), Ge(…), Lt(…), Le(…), and pydantic's Field(gt=0, …), with constant arguments."""
    if not isinstance(node, ast.Call):
        return []
    classes = {
        "Gt": annotated_types.Gt,
        "Ge": annotated_types.Ge,
        "Lt": annotated_types.Lt,
        "Le": annotated_types.Le,
    }
    name = last_name(node.func)
    try:
        if name in classes and node.args:
            return [classes[name](ast.literal_eval(node.args[0]))]
        return [
            classes[keyword.arg.capitalize()](ast.literal_eval(keyword.value))
            for keyword in node.keywords
            if name == "Field" and keyword.arg and keyword.arg.capitalize() in classes
        ]
    except ValueError:
        return []


def last_name(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
