"""A template of this folder, filled in: the reports' one way to HTML."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cnnexp.files import whole_file


def write_page(path: Path, template: str, values: Mapping[str, Any], *own: Path) -> None:
    """own: folders to look for templates in, before this one. All values are escaped."""
    here = Environment(
        loader=FileSystemLoader([*own, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = here.get_template(template).render(values)
    with whole_file(path, "wb") as file:
        # A file name may hold bytes that are no text.
        file.write(text.encode("utf-8", "replace"))
