"""task=anatomy: the layer table of the configured network, printed and saved as CSV."""

import csv
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cnnexp.errors import InputError
from cnnexp.experiment import build_network
from cnnexp.files import shown_path, whole_file
from cnnexp.models.anatomy import Layer, anatomy
from cnnexp.runs import Result
from cnnexp.sources import find_images

COLUMNS = ("layer", "kind", "kernel", "stride", "padding", "dilation", "output", "size",
           "parameters", "multiply-adds", "receptive field")  # fmt: skip


def cells(layer: Layer) -> list[str]:
    """A row as courses write it: HxWxC, thousands apart, nothing where nothing applies."""
    setting = [layer.kernel, layer.stride, layer.padding, layer.dilation]
    shape = layer.shape[1:] + layer.shape[:1]  # (C, H, W) -> HxWxC
    return [
        layer.name,
        layer.kind,
        *("" if value is None else str(value) for value in setting),
        "x".join(map(str, shape)),
        f"{layer.size:,}",
        f"{layer.parameters:,}",
        f"{layer.multiply_adds:,}",
        str(layer.receptive_field),
    ]


def anatomy_table(rows: list[Layer], title: str) -> Table:
    table = Table(title=title, title_justify="left", show_footer=True, box=None, pad_edge=False)
    totals = {
        "layer": "total",
        "parameters": f"{sum(row.parameters for row in rows):,}",
        "multiply-adds": f"{sum(row.multiply_adds for row in rows):,}",
    }
    for column in COLUMNS:
        left = column in ("layer", "kind")
        table.add_column(
            column, totals.get(column, ""), justify="left" if left else "right", no_wrap=True
        )
    for row in rows:
        table.add_row(*cells(row))
    return table


def write_anatomy(path: Path, rows: list[Layer]) -> None:
    """CSV with plain numbers: the columns of the table."""
    with whole_file(path) as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for row in rows:
            setting = [row.kernel, row.stride, row.padding, row.dilation]
            shape = "x".join(map(str, row.shape[1:] + row.shape[:1]))
            counts = [row.size, row.parameters, row.multiply_adds, row.receptive_field]
            out.writerow([row.name, row.kind, *setting, shape, *counts])


def count_classes(config: Mapping[str, Any]) -> tuple[int, str]:
    """The data's classes, or 10 where the data is not here: a table is worth no download."""
    try:
        return len(find_images(config, download=False).classes), ""
    except InputError:
        return 2 if config["training"]["loss"] == "bce" else 10, " (assumed: no images here)"


def run_anatomy(config: Mapping[str, Any]) -> Result:
    classes, how = count_classes(config)
    network = build_network(config, classes)
    size = config["dataset"]["image_size"]
    rows = anatomy(network, size)
    # Variants of a model side by side: what was typed of it stands in the file's name.
    typed = [line.removeprefix("model.") for line in config["overrides"] if line[:6] == "model."]
    whole = "_".join([config["name"], str(size), *typed])
    stem = re.sub(r"[^\w.=-]+", "-", whole)[:100]
    if stem != whole:  # others may look alike now
        stem += f"_{hashlib.sha256(whole.encode()).hexdigest()[:6]}"
    path = Path(config["paths"]["outputs"]).absolute() / "anatomy" / f"{stem}.csv"
    write_anatomy(path, rows)
    console = Console(width=None if Console().is_terminal else 160)
    console.print(
        anatomy_table(rows, f"input {size}x{size}x3, {classes} classes{how}"), highlight=False
    )
    console.print(f"\nsaved to {shown_path(path)}", highlight=False, soft_wrap=True)
    parameters = float(sum(row.parameters for row in rows))
    return Result(
        {"parameters": parameters, "multiply_adds": float(sum(r.multiply_adds for r in rows))}
    )
