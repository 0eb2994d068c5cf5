"""task=evaluate: test a finished run again, from its folder."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rich.table import Table

from cnnexp.answers import answer, save_predictions, verdict
from cnnexp.files import shown_path
from cnnexp.finished import load_run, load_test_images
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result, write_json


def evaluate(config: Mapping[str, Any]) -> Result:
    with Journal() as journal:
        run = load_run(config, partial(journal.topic, "note"))
        journal.topic("run", shown_path(run.folder))
        images = load_test_images(run, partial(journal.topic, "note"), few=True)
        tested = answer(run.config, run.network, images, precision=run.precision)
        journal.topic("test", verdict(tested))
        table = class_table(tested.metrics, images.classes)
        if table.row_count:
            journal.console.print(table)
        own = images.digest == run.info["data"]["digest"]
        folder = run.folder / ("evaluation" if own else f"evaluation_{images.digest[:8]}")
        save_predictions(folder / "predictions.csv", tested, images)
        write_json(folder / "metrics.json", tested.metrics)
        journal.topic("saved", f"{shown_path(folder)}  (predictions.csv, metrics.json)")
    return Result(tested.metrics, run.folder, run.network)


def class_table(metrics: Mapping[str, float], classes: Sequence[str]) -> Table:
    """A row for each class that has figures of its own; of very many classes none has."""
    kinds = ("precision", "recall", "f1")
    table = Table(box=None, pad_edge=False)
    for column in ("class", *kinds):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name in classes:
        if f"test/recall/{name}" in metrics:
            table.add_row(name, *(f"{metrics[f'test/{kind}/{name}']:.3f}" for kind in kinds))
    return table
