"""task=evaluate: test a finished run again, from its folder."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from cnnexp.answers import answer, save_predictions
from cnnexp.experiment import find_images, load_images
from cnnexp.finished import load_run
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result, write_json


def evaluate(config: Mapping[str, Any]) -> Result:
    with Journal() as journal:
        run = load_run(config)
        journal.topic("run", str(run.folder))
        images = load_images(run.config, find_images(run.config))
        recorded = run.info["data"]["digest"]
        if images.digest != recorded:
            journal.topic(
                "note",
                f"these are not the run's images (digest {images.digest[:8]}, then {recorded[:8]})",
            )
        tested = answer(run.config, run.network, images, precision=run.info["precision"])
        low, high = tested.interval
        accuracy, loss = tested.metrics["test/accuracy"], tested.metrics["test/loss"]
        journal.topic(
            "test",
            f"accuracy {accuracy:.4f} (95% interval {low:.3f} to {high:.3f}, "
            f"{len(tested.labels):,} images), loss {loss:.4f}",
        )
        table = Table(box=None, pad_edge=False)
        for column in ("class", "precision", "recall", "f1"):
            table.add_column(column, justify="left" if column == "class" else "right")
        for name in images.classes:
            scores = (
                tested.metrics[f"test/{kind}/{name}"] for kind in ("precision", "recall", "f1")
            )
            table.add_row(name, *(f"{score:.3f}" for score in scores))
        journal.console.print(table)
        folder = run.folder / "evaluation"
        save_predictions(folder / "predictions.csv", tested, images)
        write_json(folder / "metrics.json", tested.metrics)
        journal.topic("saved", f"{folder}  (predictions.csv, metrics.json)")
    return Result(tested.metrics, run.folder, run.network)
