"""task=visualize: draw other pictures of a finished run, or the same again, beside its own."""

from collections.abc import Mapping
from typing import Any

from cnnexp.answers import answer, draw
from cnnexp.finished import load_run, load_test_images
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result


def visualize(config: Mapping[str, Any]) -> Result:
    with Journal() as journal:
        run = load_run(config)
        journal.topic("run", str(run.folder))
        images = load_test_images(run, lambda line: journal.topic("note", line))
        tested = answer(run.config, run.network, images, precision=run.precision)
        folder = run.folder / "visualization"
        written = draw(
            run.config,
            run.network,
            images,
            tested,
            folder,
            lambda line: journal.topic("picture", line),
        )
        for path in written:
            journal.topic("saved", str(path))
    return Result(tested.metrics, run.folder, run.network)
