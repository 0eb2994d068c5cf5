"""Paths and names as people type them, quoted for Hydra's grammar."""

import functools
import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

# Keys whose value is text as it stands: no number, no list, no sweep unless -m is given.
TEXTS = frozenset(
    {
        "run",
        "a",
        "b",
        "resume",
        "init_from",
        "input",
        "name",
        "dataset.root",
        "dataset.table",
        "paths.outputs",
        "paths.cache",
        "tracking.uri",
    }
)
LISTS = frozenset({"runs"})  # their items are
FUNCTION = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag|str)\(.*\)", re.DOTALL)


def quoted(line: str, *, sweep: bool = False) -> str:
    """The override, with quotes where Hydra would read its text as something else.

    sweep: commas separate several values. An override that is quoted already stays as it is.
    """
    key, equals, value = line.partition("=")
    if equals and key.lstrip("+") in LISTS:
        return f"{key}={texts(value)}"
    if not equals or key.lstrip("+") not in TEXTS:
        return line
    if sweep and FUNCTION.fullmatch(value):
        return line
    if sweep and "," in value:
        if set(value) & set("'\"[({") and understood(value):
            return line
        return f"{key}={','.join(text(part.strip()) for part in value.split(','))}"
    return f"{key}={text(value)}"


def texts(value: str) -> str:
    """`[a b,0123]` with each item in quotes where it needs some; quotes that are there stay."""
    inner = value.strip()
    if not (inner.startswith("[") and inner.endswith("]")):
        return value
    if set(inner) & set("'\"") and understood(inner):
        return value
    items = [item.strip() for item in inner[1:-1].split(",")]
    return f"[{','.join(text(item) for item in items)}]"


def text(value: str) -> str:
    if value in ("", "???") or value.lower() == "null" or "${" in value:
        return value
    return value if kept(value) else in_quotes(value)


def in_quotes(value: str) -> str:
    return QuotedString(value, Quote.double).with_quotes()


def kept(value: str) -> bool:
    """Whether Hydra reads exactly this text, or takes off quotes that a person put there."""
    override = understood(value)
    if override is None or override.is_sweep_override():
        return False
    read = override.value()
    return isinstance(read, str) and (read == value or value[0] in "'\"")


def understood(value: str) -> Override | None:
    """None where it does not follow Hydra's grammar."""
    try:
        return parser().parse_override(f"x={value}")
    except HydraException:
        return None


@functools.lru_cache(maxsize=1)
def parser() -> OverridesParser:
    return OverridesParser.create()
