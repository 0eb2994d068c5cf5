"""One value against one type: right, or a line that says what it must be.

Strict: "3" is no integer, true is no integer, 3.0 is no integer, 3 is a number.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from annotated_types import Predicate
from pydantic import ConfigDict, Strict, TypeAdapter, ValidationError

from cnnexp.config.groups import OFTEN_MEANT, listed
from cnnexp.errors import InputError, nearest

NoneType = type(None)
# Text that without quotes would be something else: "3", "true".
LOOKS_LIKE_A_VALUE = re.compile(r"|true|false|null|[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)
NOUNS = {int: "an integer", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
BOUNDS = {
    annotated_types.Gt: ("gt", "greater than"),
    annotated_types.Ge: ("ge", "of at least"),
    annotated_types.Lt: ("lt", "less than"),
    annotated_types.Le: ("le", "of at most"),
}


def check_value(kind: Any, value: Any, key: str) -> None:
    """Raises InputError naming the innermost value that is wrong: `model.widths[0][1]=-1`."""
    if fits(kind, value):
        return
    brackets = in_brackets(kind, value)
    example = f"; did you mean '{key}={shown(brackets)}'?" if brackets else ""
    kind, value, key = innermost(kind, value, key)
    allowed = [choice for choice in choices(kind) if isinstance(choice, str)]
    near = nearest(value, allowed) if isinstance(value, str) else ""
    if isinstance(value, str) and re.fullmatch(r"-?\d+,\d+", value) and fits(kind, 0.5):
        example = f"; a decimal has a point: {value.replace(',', '.')}"
    if isinstance(value, list) and value and all(fits(kind, one) for one in value):
        several = ",".join(map(shown, value))
        example = f"; several values make a sweep: -m {key}={several}"
    if isinstance(value, str) and ":" in value and fits(kind, {}):
        example = f"; a shell takes braces apart, quote it: '{key}={{…}}'"
    raise InputError(f"{key}={shown(value)}: must be {describe(kind)}{near or example}")


def in_brackets(kind: Any, value: Any) -> list[Any] | None:
    """The list of one, or list of a list of one, that is right: [[32]] of 32 or [32]."""
    if isinstance(value, str | int | float | list):
        for wrapped in ([value], [[value]]):
            if fits(kind, wrapped):
                return wrapped
    return None


def check_keys(given: Mapping[str, Any], allowed: Iterable[str], prefix: str = "") -> None:
    """Raises InputError for the first key that is not allowed. prefix: of the keys ("model.")."""
    names = sorted(allowed)
    for key, value in given.items():
        if not isinstance(key, str):
            raise InputError(
                f"{prefix}{shown(key)}={shown(value)}: this key is no text: YAML takes on, off, "
                "yes, no and numbers for values; write it in quotes ('on': …)"
            )
        if key not in names:
            meant = None if prefix.startswith("phases.") else OFTEN_MEANT.get(str(key))
            group, _, rest = str(key).partition("_")
            if group in names and not prefix and rest:  # dataset_root
                meant = f"{group}.{rest}"
            near = f"; did you mean '{meant}'?" if meant else nearest(str(key), names)
            typed = f"{prefix}{key}"
            while isinstance(value, Mapping) and len(value) == 1:  # of optimizr.lr=0.1
                ((inner, value),) = value.items()
                typed = f"{typed}.{inner}"
            where = prefix.rstrip(".").rpartition(".")[2]
            known = listed(names, 20) if names else f"none; another {where} may have it"
            raise InputError(f"{typed}={shown(value)}: unknown key{near or ';'} allowed: {known}")


def fits(kind: Any, value: Any) -> bool:
    if kind is Any:
        return True
    try:
        adapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@functools.lru_cache(maxsize=512)
def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


def innermost(kind: Any, value: Any, key: str) -> tuple[Any, Any, str]:
    """Into lists and mappings, where they are right and an item is wrong."""
    if isinstance(value, Mapping):
        for member in members(kind):
            if get_origin(member) is dict:
                for name, item in value.items():
                    if not fits(get_args(member)[1], item):
                        return innermost(get_args(member)[1], item, f"{key}.{name}")
    if isinstance(value, list):
        for member in members(kind):
            member, _ = unwrap(member)
            origin, inner = get_origin(member), get_args(member)
            if origin is tuple and len(inner) != len(value):
                continue
            if origin in (list, tuple):
                kinds = inner if origin is tuple else inner * len(value)
                for number, (item_kind, item) in enumerate(zip(kinds, value, strict=True)):
                    if not fits(item_kind, item):
                        return innermost(item_kind, item, f"{key}[{number}]")
    return kind, value, key


def members(kind: Any) -> tuple[Any, ...]:
    """Of a union, its members; else the type itself."""
    return get_args(kind) if get_origin(kind) is Union or is_new_union(kind) else (kind,)


def is_new_union(kind: Any) -> bool:
    return type(kind).__name__ == "UnionType"  # int | None


def unwrap(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Annotated[int, Gt(0)] -> int, (Gt(0),)."""
    if get_origin(kind) is not Annotated:
        return kind, ()
    base, *metadata = get_args(kind)
    flat: list[Any] = []
    for item in metadata:  # pydantic's Field keeps its bounds in .metadata
        flat += getattr(item, "metadata", None) or [item]
    return base, tuple(item for item in flat if not isinstance(item, Strict))


def choices(kind: Any) -> list[Any]:
    return [
        choice
        for member in members(kind)
        if get_origin(member) is Literal
        for choice in get_args(member)
    ]


def describe(kind: Any) -> str:
    """What a value must be, in words: "an integer greater than 0 or null"."""
    words = list(dict.fromkeys(word for member in members(kind) for word in alternatives(member)))
    if NOUNS[float] in words and NOUNS[int] in words:
        words.remove(NOUNS[int])
    if len(words) > 9:
        words = [*words[:8], f"… ({len(words)} in all)"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def alternatives(kind: Any) -> list[str]:
    base, metadata = unwrap(kind)
    origin, inner = get_origin(base), get_args(base)
    if origin is Literal:
        return [repr(choice) if isinstance(choice, str) else shown(choice) for choice in inner]
    if origin is list and unwrap(inner[0])[0] is not Any:
        return [f"a list, each item {describe(inner[0])}"]
    if origin is tuple:
        rules = [rule.func.__name__ for rule in metadata if isinstance(rule, Predicate)]
        return [f"a list of {len(inner)}: " + ", ".join([*map(describe, inner), *rules])]
    if base is list or origin is list:
        return ["a list"]
    if base is dict or origin is dict:
        return ["a mapping"]
    return [f"{NOUNS.get(base, 'anything')} {bounds(metadata)}".strip()]


def bounds(metadata: tuple[Any, ...]) -> str:
    words = []
    for kind, (attribute, word) in BOUNDS.items():
        for item in metadata:
            if isinstance(item, kind):
                words.append(f"{word} {getattr(item, attribute)}")
    return " and ".join(words)


def shown(value: Any, most: int = 60) -> str:
    """A value as it is written on the command line, abbreviated."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(shown(item, most) for item in value)}]"
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    else:
        text = " ".join(str(value).split())
        if isinstance(value, str) and LOOKS_LIKE_A_VALUE.fullmatch(value):
            text = f'"{text}"'
    return text if len(text) <= most else text[: most - 1] + "…"
