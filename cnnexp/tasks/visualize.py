"""task=visualize: draw a finished run's pictures again, or others of it."""

from collections.abc import Mapping
from typing import Any

from cnnexp.answers import answer, draw
from cnnexp.experiment import find_images, load_images
from cnnexp.finished import load_run
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result


def visualize(config: Mapping[str, Any]) -> Result:
    with Journal() as journal:
        run = load_run(config)
        journal.topic("run", str(run.folder))
        images = load_images(run.config, find_images(run.config))
        tested = answer(run.config, run.network, images, precision=run.info["precision"])
        written = draw(
            run.config,
            run.network,
            images,
            tested,
            run.folder / "figures",
            lambda line: journal.topic("picture", line),
        )
        for path in written:
            journal.topic("saved", str(path))
    return Result(tested.metrics, run.folder, run.network)
