"""task=visualize: pictures of a finished run, beside its own; or of several on the same images."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from cnnexp.answers import answer, check_pictures, draw
from cnnexp.config.groups import listed
from cnnexp.errors import InputError
from cnnexp.files import shown_path
from cnnexp.finished import load_run, load_test_images
from cnnexp.reporting.journal import Journal
from cnnexp.reporting.run_report.report import write_report
from cnnexp.runs import Result
from cnnexp.tasks.side_by_side import visualize_runs


def visualize(config: Mapping[str, Any]) -> Result:
    if config["runs"] is not None:
        return visualize_runs(config)
    with Journal() as journal:
        run = load_run(config, partial(journal.topic, "note"))
        journal.topic("run", shown_path(run.folder))
        images = load_test_images(run, partial(journal.topic, "note"))
        # A slip in what was typed ends the command; what else is wrong with a picture, that one.
        try:
            check_pictures(
                run.config, run.network, images, lambda line: None, precision=run.precision
            )
        except InputError:
            raise
        except Exception:  # a person's own code: it is told when that picture is drawn
            pass
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
        names = dict.fromkeys(path.stem for path in written)
        journal.topic("saved", f"{shown_path(folder)}  ({listed(list(names))})")
        journal.topic("report", f"{shown_path(write_report(run.folder))}  (open it in a browser)")
    return Result(tested.metrics, run.folder, run.network)
