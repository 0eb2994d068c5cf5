"""Definitions read from source files, without importing what they are in.

Importing torch takes seconds; parsing the file that defines an optimizer takes two milliseconds.
"""

import ast
import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnexp.errors import InputError

FOLLOWED = 8  # re-exports from one file to the next, before giving up


@dataclass(frozen=True)
class Module:
    """A parsed source file. path: of the file; a package's is its __init__.py."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.name if self.path.stem == "__init__" else self.name.rpartition(".")[0]

    @property
    def complete(self) -> bool:
        """Whether all its names can be seen: no star imports, no module-level __getattr__."""
        for node in statements(self.tree.body):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                return False
            if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
                return False
        return True


@dataclass(frozen=True)
class Definition:
    """What a name stands for. node: a class, a function or an alias' right-hand side."""

    node: ast.AST
    module: Module


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those inside `if` and `try` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from statements(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from statements(node.body + handlers + node.orelse)


def split_target(target: str) -> tuple[str, str]:
    """The longest leading part that is a module's file, and the rest: ("torch.optim", "AdamW")."""
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if module_path(name) is not None:
            return name, ".".join(parts[length:])
    return "", target


@functools.lru_cache(maxsize=512)
def module_path(name: str) -> Path | None:
    """The file of a module; None where there is none, or no source."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)  # of a top-level name: finds it, does not import it
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    path = Path(spec.origin) if spec.origin else None
    folder = Path(spec.submodule_search_locations[0]) if spec.submodule_search_locations else None
    for part in rest:
        if folder is None:
            return None
        inner = folder / part
        path = inner / "__init__.py" if inner.is_dir() else folder / f"{part}.py"
        folder = inner if inner.is_dir() else None
    return path if path and path.suffix == ".py" and path.is_file() else None


@functools.lru_cache(maxsize=128)
def read_module(name: str) -> Module | None:
    """None where there is no source. Raises InputError where a person's own does not parse."""
    path = module_path(name)
    if path is None:
        return None
    try:
        return Module(name, path, ast.parse(path.read_bytes(), str(path)))
    except SyntaxError as error:
        if "site-packages" in path.parts:
            return None  # a library may have files for other versions of Python
        raise InputError(f"{path}, line {error.lineno}: {error.msg}") from None


def forget() -> None:
    """Files may have changed, or sys.path has."""
    module_path.cache_clear()
    read_module.cache_clear()


def find(module: Module, name: str, followed: int = 0) -> Definition | None:
    """The definition of a top-level name of `module`, through re-exports."""
    if followed > FOLLOWED:
        return None
    found: Definition | None = None
    for node in statements(module.tree.body):
        match node:
            case ast.FunctionDef() | ast.ClassDef() if node.name == name:
                if not is_overload(node):
                    found = Definition(node, module)
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                found = Definition(value, module)
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if (
                target == name
            ):
                found = Definition(value, module)
            case ast.ImportFrom():
                found = imported(module, node, name, followed) or found
            case _ if type(node).__name__ == "TypeAlias" and node.name.id == name:  # type: ignore[attr-defined]
                found = Definition(node.value, module)  # type: ignore[attr-defined]
    return found


def imported(module: Module, node: ast.ImportFrom, name: str, followed: int) -> Definition | None:
    for alias in node.names:
        if alias.name == "*":
            original = name
        elif (alias.asname or alias.name) == name:
            original = alias.name
        else:
            continue
        source = read_module(imported_from(module, node))
        found = find(source, original, followed + 1) if source else None
        if found is not None:
            return found
    return None


def imported_from(module: Module, node: ast.ImportFrom) -> str:
    """The absolute name of the module in `from … import`."""
    if not node.level:
        return node.module or ""
    parts = module.package.split(".")
    base = parts[: len(parts) - (node.level - 1)]
    return ".".join([*base, node.module] if node.module else base)


def is_overload(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
