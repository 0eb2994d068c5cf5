"""Many jobs by one command: checked first, each done once, and gone on with when begun again."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from cnnexp.config.arguments import names_sweep, to_type
from cnnexp.config.compose import compose, hydra_at, resolved
from cnnexp.config.groups import listed
from cnnexp.config.sweep import check_sweep, first_job, sweeps
from cnnexp.errors import InputError
from cnnexp.files import shown_path, whole_file
from cnnexp.interrupts import interrupts_wait, signals_leave
from cnnexp.monitor import sign_of
from cnnexp.runs import Result
from cnnexp.sweeps import search
from cnnexp.sweeps.again import left, unclaimed
from cnnexp.sweeps.launching import launching, multirun_config
from cnnexp.sweeps.ledger import DONE, PASSING, Entry, Ledger, in_order
from cnnexp.sweeps.slurm_options import cluster_options
from cnnexp.sweeps.suite import Suite, compare, fetch_weights, read_suite
from cnnexp.sweeps.suite import batches as batches_of
from cnnexp.sweeps.words import as_csv, equal, jobs, ranked, table
from cnnexp.tracking.environment import mask

NOT_AGAIN = re.compile(r"[+~]*(sweep|search|n_jobs|hydra|seed|dataset\.fold)(?=[=./])")
LABELS = 6  # jobs that are named that failed for one reason


def run_sweep(overrides: Sequence[str], config_dir: Path | None) -> Result:
    """All jobs of a command: the sweep's folder, which runs= takes, and 1 where one failed.

    Raises InputError, before anything is written, for a job that cannot run.
    """
    of_suite = names_sweep(overrides, ("suite",))
    suite = read_suite(overrides, config_dir) if of_suite else None
    given = [*suite.typed] if suite else check_sweep(overrides, config_dir)
    command, begun = typed(overrides), False
    with signals_leave(), hydra_at(config_dir) as extra:
        # A key may belong to what is swept over: dataset.root, where experiments bring the dataset.
        own = settings(given) if suite else first_job(given, config_dir)
        config = multirun_config([*extra, *own])
        options = cluster_options(config.hydra.launcher)
        identity = [*in_order(given), str(config_dir or "")]
        ledger, batches = (
            planned_suite(config, suite) if suite else planned(config, given, identity, config_dir)
        )
        with ledger.facts() as facts:
            facts["command"] = command
        ledger.forgive()
        launch = launching(ledger, config, options, config_dir)
        try:
            for batch in batches:
                todo = left(batch, ledger, config_dir)
                if options is None:  # SLURM knows more of its own
                    todo = unclaimed(todo, ledger)
                if todo and suite and not begun:
                    fetch_weights(suite, config_dir)
                if todo:
                    begun = True
                    launch(todo)
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C; SIGTERM, as a cluster sends it
            print(f"\nto go on: {command}", flush=True)
            if begun:
                with interrupts_wait():
                    end_parents(ledger)
            raise
    code = summary(ledger, command)
    if begun:
        end_parents(ledger)
    if suite and any(entry.status == "FINISHED" for entry in ledger.entries()):
        compare(ledger, settings(given), config_dir)
    return Result(folder=ledger.folder, exit_code=code)


def end_parents(ledger: Ledger) -> None:
    from cnnexp.sweeps import parent

    try:
        parent.end(ledger)
    except InputError as error:  # the store has gone: the runs' folders have everything
        print(f"{'note':<9} {error}")


def planned(
    config: DictConfig, given: Sequence[str], identity: Sequence[str], config_dir: Path | None
) -> tuple[Ledger, Iterator[list[Entry]]]:
    """The sweep's ledger, and its jobs in batches: of a grid one, of a search one after the other.

    identity: what makes it this sweep and no other.
    """
    parsed, trials = swept(given), config.search.trials
    for one in parsed:
        if sweeps(one) and re.match(PASSING, str(one.input_line)):
            raise InputError(
                f"{one.input_line}: says where jobs lie or how they are run, not what they are: "
                "give one value"
            )
    fixed = [str(one.input_line) for one in parsed if not sweeps(one)]
    space = search.space(parsed) if trials else {}
    jobs = [] if trials else grid(parsed)
    first = resolved(compose(jobs[0].overrides if jobs else fixed, config_dir).config)
    ledger = Ledger(sweep_folder(first, identity))
    with ledger.facts() as facts:
        facts["total"] = trials or len(jobs)
    if not trials:
        return ledger, iter([[ledger.plan(entry) for entry in jobs]])
    sign = sign_of(first["training"]["monitor"])
    study = search.study_at(ledger, sign, space, first)
    return ledger, search.proposals(
        study, ledger, space, fixed, seed=first["seed"], trials=trials, at_once=config.n_jobs
    )


def planned_suite(config: DictConfig, suite: Suite) -> tuple[Ledger, Iterator[list[Entry]]]:
    """A suite's ledger, and its jobs step by step. The seeds are not in its name: more of them may
    follow later.
    """
    first = {"name": suite.name, "paths": {"outputs": config.paths.outputs}}
    own = [
        line
        for step in suite.steps
        for line in (step.name, *step.overrides, *(f"{k}={v}" for k, v in step.sweep.items()))
    ]
    ledger = Ledger(sweep_folder(first, [*own, *in_order(suite.typed)]))
    with ledger.facts() as facts:
        facts["total"] = sum(len(step.settings()) for step in suite.steps) * len(suite.seeds)
    return ledger, batches_of(suite, ledger)


def settings(lines: Sequence[str]) -> list[str]:
    """How jobs are run: of a suite's overrides those that say nothing of its steps."""
    return [line for line in lines if re.match(r"[+~]*(hydra[./]|paths\.|n_jobs=)", line)]


def swept(given: Sequence[str]) -> list[Override]:
    """What was typed, and what the configs sweep over beside it: `check_sweep` has added that."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    parser = OverridesParser.create(config_loader=hydra.config_loader)
    parsed = parser.parse_overrides(list(given))
    return [override for override in parsed if not override.is_hydra_override()]


def grid(parsed: Sequence[Override]) -> list[Entry]:
    """All combinations, each once, the last key turning fastest. InputError for intervals."""
    for override in parsed:
        if override.is_interval_sweep():
            raise InputError(
                f"{override.input_line}: an interval is for a search, add sweep=optuna; a grid has "
                f"a list: {override.key_or_group}=a,b,c"
            )
    (combinations,) = BasicSweeper.split_arguments(list(parsed), None)
    # What is not swept as it was typed: Hydra would escape its own `:` and `$`.
    as_typed = {
        f"{one.get_key_element()}={one.get_value_element_as_str()}": str(one.input_line)
        for one in parsed
        if not sweeps(one)
    }
    each = (tuple(as_typed.get(line, line) for line in lines) for lines in combinations)
    keys = {override.get_key_element() for override in parsed if sweeps(override)}
    return [
        Entry(number, label(lines, keys), list(lines))
        for number, lines in enumerate(dict.fromkeys(each), start=1)
    ]


def label(lines: Sequence[str], keys: set[str]) -> str:
    """What sets a job apart: the overrides of the keys that are swept; of one job, all."""
    own = [line for line in lines if line.partition("=")[0] in keys] or list(lines)
    return mask(shlex.join(line.lstrip("+") for line in own)) or "the default config"


def sweep_folder(first: Mapping[str, Any], given: Sequence[str]) -> Path:
    """outputs/sweeps/<name>_<digest>: the same for the same command. first: a job's config."""
    own = [line for line in given if not re.match(PASSING, line)]
    digest = hashlib.sha256(json.dumps(own).encode()).hexdigest()[:6]
    outputs = Path(first["paths"]["outputs"]).expanduser()
    return (outputs / "sweeps" / f"{first['name']}_{digest}").absolute()


def typed(overrides: Sequence[str]) -> str:
    """Without passwords: it is kept, and printed where a log may hold it."""
    multirun = [] if names_sweep(overrides) else ["-m"]
    return mask(to_type(*multirun, *overrides))


def summary(ledger: Ledger, command: str) -> int:
    """Who was best, what failed, and what to type next; the exit code."""
    entries = ledger.entries()
    with whole_file(ledger.folder / "jobs.csv") as file:
        file.write(as_csv(entries))
    for number, line in enumerate(table(ranked(entries))):
        print(f"{'' if number else 'ranking':<9} {line}")
    if pruned := [entry.label for entry in entries if entry.status == "PRUNED"]:
        print(f"{'pruned':<9} {len(pruned)}, behind the others: {listed(pruned, LABELS)}")
    failed = [entry for entry in entries if entry.status == "FAILED"]
    for problem in dict.fromkeys(entry.problem for entry in failed):
        own = [entry.label for entry in failed if entry.problem == problem]
        labels = listed(own, LABELS)
        print(f"{'failed':<9} {labels}: {problem}")
    for topic, line in last_words(ledger, entries, command):
        print(f"{topic:<9} {line}")
    return 1 if failed or any(not ledger.busy(entry) for entry in unfinished(entries)) else 0


def unfinished(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.status not in (*DONE, "FAILED")]


def last_words(ledger: Ledger, entries: Sequence[Entry], command: str) -> Iterator[tuple[str, str]]:
    open_ones = unfinished(entries)
    if others := sum(ledger.busy(entry) for entry in open_ones):
        yield "left", f"{jobs(others)}, which another process does"
    if len(open_ones) > others:
        yield "left", f"{jobs(len(open_ones) - others)}; to go on: {command}"
    with ledger.facts() as facts:
        own = [e for e in entries if e.trial == 0 and facts.get("own")]
    if any(e.trial is not None for e in entries) and (same := search.repeats(ledger)):
        yield "repeated", f"{same} trial{'s' * (same > 1)} proposed what another had"
    if own and own[0].value is not None:
        reached = f"{own[0].monitor} {own[0].value:.4f}"
        yield "own", f"the config's own values (job {own[0].number}) reached {reached}"
    if groups := ranked(entries):
        if others := sum(equal(group, groups[0]) for group in groups[1:]):
            yield "equal", f"{others} more reached what the best did; the first of them is named"
        yield "so far" if open_ones else "best", to_type(*again(groups[0].jobs))
    folder = shown_path(ledger.folder)
    also = ", and the other sweeps that have some of them," if shared(ledger, entries) else ""
    yield "saved", f"{folder}  (jobs.csv; jobs/: delete it{also} to do all of them anew)"
    tested = [e for e in entries if any(name.startswith("test/") for name in e.metrics)]
    kinds = {json.dumps(e.config.get("dataset", {}).get("_target_")) for e in tested}
    if len(groups) > 1 and len(tested) > 1 and len(kinds) == 1:
        yield "compare", to_type("task=compare", f"runs=[{folder}]")


def shared(ledger: Ledger, entries: Sequence[Entry]) -> bool:
    return any(entry.status == "FINISHED" and ledger.elsewhere(entry) for entry in entries)


def again(jobs: Sequence[Entry]) -> list[str]:
    """What repeats jobs that differ in seed and fold alone, as they were: all of them; a search's
    trial with several seeds.
    """
    common = [line for line in jobs[0].overrides if not NOT_AGAIN.match(line)]
    drawn: dict[str, dict[str, None]] = {}
    for line in (line for job in jobs for line in job.overrides):
        key, _, value = line.lstrip("+").partition("=")
        if key in ("seed", "dataset.fold"):
            drawn.setdefault(key, {})[value] = None
    many = ["-m"] if any(len(values) > 1 for values in drawn.values()) else []
    if jobs[0].trial is not None and "seed" not in drawn:
        many = ["sweep=seeds"]  # it was chosen by one seed
    return [*many, *common, *(f"{key}={','.join(values)}" for key, values in drawn.items())]
