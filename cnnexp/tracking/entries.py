"""Names and values as MLflow takes them."""

import json
from collections.abc import Iterator
from typing import Any

from cnnexp.tracking.environment import mask


def clean(name: str) -> str:
    """`name` as MLflow allows it on every system: letters, digits, / . - _ and spaces.

    Other characters become their code, so that C# and C+ stay two classes.
    """
    parts = "".join(c if c.isalnum() or c in "/_.- " else f"_{ord(c):x}_" for c in name).split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))[:250] or "_"


def text_of(value: Any) -> str:
    """As the command line would take it: null, true, text without passwords."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return mask(str(value))


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def batches_of(entries: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
