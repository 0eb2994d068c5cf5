"""task=train: phase by phase train and test with the best checkpoint, draw, log; top to bottom."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from cnnexp.answers import Tested, answer, save_predictions, verdict
from cnnexp.conclusion import conclude
from cnnexp.config.arguments import to_type
from cnnexp.data.image_set import ImageSet
from cnnexp.data.summary import summary
from cnnexp.drawing import check_pictures
from cnnexp.errors import InputError
from cnnexp.experiment import precision_of
from cnnexp.files import clear_parts, refused_by_disk, shown_path
from cnnexp.models.anatomy import anatomy
from cnnexp.plan import model_name, plan_lines
from cnnexp.plan_notes import plan_notes
from cnnexp.processes import Place, from_first, here_of, joined, last_to_leave
from cnnexp.recording import (
    BEGUN,
    RUN,
    Records,
    check_store,
    figures_of_merit,
    flat,
    log_data,
    log_files,
    open_tracker,
    own_keys,
)
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result, owned, write_json
from cnnexp.start import (
    Begun,
    begin,
    drawing_seed,
    finished_before,
    interrupted_run,
    new_run,
    title,
)
from cnnexp.tasks.anatomy import write_anatomy
from cnnexp.tracking.logger import RunLogger
from cnnexp.tracking.none import NullTracker, ending
from cnnexp.train_phase import train_phase
from cnnexp.training.checkpoints import (
    best_checkpoint,
    load_network,
    logged_bytes,
    newest_checkpoint,
)
from cnnexp.training.phases import Phase, check_frozen, fingerprints, training_blocks


def train(config: Mapping[str, Any]) -> Result | None:
    """Whole or not at all: nothing is written before data, network and config are known to fit.

    With `resume`, a run's folder, the run goes on in the phase and epoch where it was. Of several
    processes the first does all this; the others train along and have no result.
    """
    with joined(config) as here:
        # What resume=auto finds, all find: another machine may see outputs/ as it was before.
        config = {**config, "resume": from_first(here, config["resume"])}
        done = from_first(here, finished_before(config) if here.first else None)
        if done is not None:
            with Journal() as journal:
                where = shown_path(Path(config["resume"]))
                journal.topic("finished", f"{where}; without resume= another one begins")
            return done if here.first else None
        if here.first:
            result = lead(config, here)
            from_first(here)
            return result
        along(config, here)
        return None


def along(config: Mapping[str, Any], here: Place) -> None:
    """Each phase; it meets `lead` at every `from_first` (the folder, each phase, the end)."""
    begun = from_first(here)
    if begun is None:
        sys.exit()  # the first one says why
    folder, info = begun
    journal = Journal()
    network, phases, images = begin(config, journal)
    # A signal ends all processes at the same place; while the first one draws, it ends that one.
    with NullTracker(), last_to_leave(here):
        try:
            for phase in phases:
                train_once(config, network, images, phase, folder, info, None, journal)
            from_first(here)
        except (KeyboardInterrupt, InputError) as problem:  # the first one says it
            sys.exit(2 if isinstance(problem, InputError) else 130)


def lead(config: Mapping[str, Any], here: Place) -> Result:
    with Journal() as journal, ExitStack() as to_the_end:
        try:
            begun = started(config, journal, to_the_end)
        except BaseException as problem:
            from_first(here, None)
            if why := refused_by_disk(problem, Path(config["paths"]["outputs"])):
                raise InputError(f"{why}, and try again") from problem
            raise
        from_first(here, (begun.folder, begun.info))
        journal.open(begun.folder)
        try:
            with open_tracker(config, begun.folder, begun.info) as tracker:
                carried_out(config, begun, tracker, journal)
        except BaseException as problem:
            broken_off(config, begun, problem, journal)
            raise
    return Result(begun.info["metrics"], begun.folder, begun.network.eval())


def started(config: Mapping[str, Any], journal: Journal, to_the_end: ExitStack) -> Begun:
    """All is found to fit, then the folder is made; to_the_end: what ends the run's hold of it."""
    journal.topic("run", title(config))
    network, phases, images = begin(config, journal)
    journal.topics("data", summary(images, by_class="job" not in config))  # all jobs have alike
    note = partial(journal.topic, "note")
    check_pictures(config, network, images, note, precision=precision_of(config))
    check_store(config)
    begun = new_run(config, images) if config["resume"] is None else None
    folder = begun[0] if begun else Path(config["resume"])
    with suppress(InputError) if "job" in config else nullcontext():
        # Whose run a job's is, its sweep's ledger knows: a node that is off may still hold it.
        to_the_end.enter_context(owned(folder))
    info = begun[1] if begun else interrupted_run(config, images, journal)
    clear_parts(folder)
    return Begun(network, phases, images, folder, info)


def carried_out(
    config: Mapping[str, Any], begun: Begun, tracker: NullTracker, journal: Journal
) -> None:
    """All phases, and what is made of the trained network."""
    folder, info = begun.folder, begun.info
    info["mlflow_run_id"] = tracker.run_id or info.get("mlflow_run_id")
    write_json(folder / RUN, info)
    logged = None
    if config["resume"] is not None:
        logged = logged_bytes(newest_checkpoint(folder, list(config["phases"])))
    logger = RunLogger(folder, tracker, logged)
    # Of a run that goes on, too: it may have been killed before they had arrived.
    tracker.log_params(flat(own_keys({**config, "resume": None})))
    counts = {split: len(members) for split, members in begun.images.split.items()}
    log_data(tracker, config, info, counts)
    log_files(tracker, folder, BEGUN)
    sizes = announce(config, begun, journal)
    tested = train_phases(config, begun, logger, journal)
    info["metrics"] = figures_of_merit(info["phases"], tested) | sizes
    logger.log_summary(
        info["metrics"],
        sum(record["steps"] for record in info["phases"].values()),
        sum(len(record["history"]) for record in info["phases"].values()),
    )
    logger.flush()
    write_json(folder / RUN, info)
    conclude(config, begun, tested, tracker, journal)


def announce(config: Mapping[str, Any], begun: Begun, journal: Journal) -> dict[str, float]:
    """The network, and how it will be trained; its parameters and multiply-adds."""
    rows = anatomy(begun.network, config["dataset"]["image_size"])
    write_anatomy(begun.folder / "anatomy.csv", rows)
    parameters = sum(row.parameters for row in rows)
    products = sum(row.multiply_adds for row in rows)
    journal.topic(
        "network",
        f"{model_name(config)}: {parameters:,} parameters, "
        f"{products / 1e6:,.1f} million multiply-adds per image",
    )
    journal.topics("training", plan_lines(config, begun.network, begun.phases, begun.images))
    for line in plan_notes(config, begun.network, begun.phases):
        journal.topic("note", line)
    return {"parameters": float(parameters), "multiply_adds": float(products)}


def train_phases(
    config: Mapping[str, Any], begun: Begun, logger: RunLogger, journal: Journal
) -> Tested | None:
    """One after the other, each tested where tests are wanted; the last one's answers."""
    network, images, folder, info = begun.network, begun.images, begun.folder, begun.info
    records: Records = info["phases"]
    tested = None
    for phase in begun.phases:
        train_once(config, network, images, phase, folder, info, logger, journal)
        write_json(folder / RUN, info)
        if "test" in records[phase.name] and phase is not begun.phases[-1]:
            continue  # done before the interruption
        if not config["training"]["test"]:
            continue
        tested = answer(config, network, images, precision=info["precision"])
        records[phase.name]["test"] = tested.metrics
        after = f"after {phase.name}: " if len(begun.phases) > 1 else ""
        of = f"weights of epoch {records[phase.name]['best_epoch']}"
        journal.topic("test", f"{after}{verdict(tested)}, {of}")
    if tested is not None:
        save_predictions(folder / "predictions.csv", tested, images)
    return tested


def broken_off(
    config: Mapping[str, Any], begun: Begun, problem: BaseException, journal: Journal
) -> None:
    """run.json says why; InputError where a person can mend it, else how to go on."""
    folder, info = begun.folder, begun.info
    again = to_type(f"resume={shown_path(folder)}")
    if isinstance(problem, OSError) and not (folder / "config.yaml").exists():
        raise InputError(f"{shown_path(folder)} was taken away while it trained") from problem
    info |= {"status": ending(problem), "problem": f"{type(problem).__name__}: {problem}"}
    with suppress(OSError):  # of what it may be that is said here
        write_json(folder / RUN, info)
    if why := refused_by_disk(problem, folder):
        how = "begin the sweep again" if "job" in config else f"go on with: {again}"
        raise InputError(f"{why}, and {how}") from problem
    if info["status"] == "KILLED" and "job" not in config:  # a sweep says its own
        journal.topic("go on", again)


def train_once(
    config: Mapping[str, Any],
    network: nn.Sequential,
    images: ImageSet,
    phase: Phase,
    folder: Path,
    info: dict[str, Any],
    logger: RunLogger | None,
    journal: Journal,
) -> None:
    """Train the phase unless it was done before an interruption; `network` has its best weights.

    info: run.json's; the phase's record is added to it. logger: None in all processes but the
    first.
    """
    records: Records = info["phases"]
    earlier = [record for name, record in records.items() if name != phase.name]
    record = records.setdefault(phase.name, {})
    if "history" not in record:
        if len(config["phases"]) > 1:
            journal.topic("phase", f"{phase.name}: {', '.join(phase.trainable)}")
        own = training_blocks(network, phase.trainable)
        frozen = [name for name, _ in network.named_children() if name not in own]
        record.setdefault("frozen", fingerprints(network, frozen))
        first_epoch = sum(len(done["history"]) for done in earlier)
        if logger is not None:
            logger.begin_phase(first_epoch, sum(done["steps"] for done in earlier))
        fitted = train_phase(
            config, network, images, phase, seed=drawing_seed(config, info),
            first_epoch=first_epoch, folder=folder, logger=logger, journal=journal,
        )  # fmt: skip
        record |= {
            "best_epoch": fitted.best_epoch,
            "steps": fitted.steps,
            "train_s": fitted.train_s,
            "history": fitted.history,
        }
    from_first(here_of(config))  # it writes the checkpoints
    best = best_checkpoint(folder, [phase.name])
    if best is None:
        raise InputError(f"{folder}: the best.ckpt of phase {phase.name} is gone; put it back")
    load_network(network, best)
    check_frozen(network, record["frozen"], phase.name)
