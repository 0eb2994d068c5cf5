"""A Bayesian search: Optuna proposes, the sweep's jobs try, the validation images judge.

Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization" (the tree-structured Parzen
estimator); pruning by the median of the trials so far at the same epoch (Golovin et al. 2017,
"Google Vizier", section 3.2.2).
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from cnnexp.config.sweep import sweeps
from cnnexp.data.lock import held
from cnnexp.errors import InputError, nearest
from cnnexp.sweeps.ledger import Entry, Ledger

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage

NAME, DATABASE = "search", "optuna.db"  # the study's name, and where in the sweep's folder it is
FIRST = 5  # trials that nothing is compared with, and that nothing is learned from
DIGITS = 4  # significant ones of a proposed number: more is noise, and long to read


def space(parsed: Sequence[Override]) -> "dict[str, BaseDistribution]":
    """Key -> what it may be. Raises InputError where nothing is left open."""
    found = {one.get_key_element(): _distribution(one) for one in parsed if sweeps(one)}
    if not found:
        raise InputError(
            "search.trials: nothing to search; give keys a range or a list, such as "
            "'optimizer.lr=tag(log,interval(1e-4,1e-1))' model.dropout=0,0.1,0.2"
        )
    return found


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    value = override.value()
    known = ["log"] if isinstance(value, IntervalSweep) else []
    if other := sorted(getattr(value, "tags", set()) - set(known)):
        near = nearest(other[0], known)
        raise InputError(
            f"{override.input_line}: no such tag: {other[0]}{near or ';'} "
            "an interval may have tag(log,…), other sweeps none"
        )
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        assert low is not None
        assert high is not None
        if low > high:
            raise InputError(f"{override.input_line}: the smaller number comes first")
        try:
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log=log)
            return FloatDistribution(low, high, log=log)
        except ValueError as error:
            raise InputError(f"{override.input_line}: {error}") from None
    if isinstance(value, RangeSweep) and all(
        isinstance(number, int) for number in (value.start, value.stop, value.step)
    ):
        numbers = range(int(value.start or 0), int(value.stop or 0), int(value.step))
        return IntDistribution(numbers[0], numbers[-1], step=numbers.step)
    return CategoricalDistribution([str(text) for text in override.sweep_string_iterator()])


def own_values(
    distributions: "Mapping[str, BaseDistribution]", config: Mapping[str, Any]
) -> dict[str, Any]:
    """What `config` has for the keys that are searched, but for those where it is not among what
    they may be.
    """
    found = {}
    for key, distribution in distributions.items():
        value: Any = config
        for part in key.lstrip("+").split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        choices = getattr(distribution, "choices", None)
        if choices is None:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if number and distribution.low <= value <= distribution.high:  # type: ignore[attr-defined]
                found[key] = value
        elif same := [text for text in choices if _is_written(text, value)]:
            found[key] = same[0]
    return found


def _is_written(text: str, value: Any) -> bool:
    """Whether `text`, of an override, is this value."""
    if value is None or isinstance(value, bool):
        return text.lower() == ("null" if value is None else str(value).lower())
    if isinstance(value, (int, float)):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text == value


def study_at(
    ledger: Ledger,
    sign: int,
    space: "Mapping[str, BaseDistribution] | None" = None,
    config: Mapping[str, Any] | None = None,
) -> "optuna.Study":
    """The sweep's study, made where there is none; several processes may share it.

    The first trial of a new one has what `config` has, see `own_values`; the rest of `space` is
    drawn.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    ledger.folder.mkdir(parents=True, exist_ok=True)
    with ledger.facts() as facts:  # one at a time makes the tables
        study = optuna.create_study(
            study_name=NAME,
            storage=_storage(ledger),
            direction="maximize" if sign > 0 else "minimize",
            load_if_exists=True,
        )
        own = own_values(space or {}, config or {})
        if own and not study.get_trials(deepcopy=False):
            study.enqueue_trial(own)
            facts["own"] = own.keys() == (space or {}).keys()
    return study


def _storage(ledger: Ledger) -> "RDBStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import NullPool

    url = f"sqlite:///{(ledger.folder / DATABASE).absolute().as_posix()}"
    return RDBStorage(url, engine_kwargs={"poolclass": NullPool})  # no connection is left open


def proposals(
    study: "optuna.Study",
    ledger: Ledger,
    distributions: "Mapping[str, BaseDistribution]",
    fixed: Sequence[str],
    *,
    seed: int,
    trials: int,
    at_once: int,
) -> Iterator[list[Entry]]:
    """Batches of up to `at_once` jobs, until there are `trials`; each is learned from when the next
    is asked for. First those of a search that was interrupted.

    What a trial is depends on `seed`, its number and what came out of the others: one job at a
    time, a search that was interrupted proposes what it would have proposed.
    """
    from optuna.trial import TrialState

    while True:
        # One process at a time draws; of what two have then, the job's lock gives it to one.
        with held(ledger.folder / "jobs" / "search.lock", "asking for the next trial"):
            for begun in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if not distributions.keys() <= begun.params.keys():  # a process died in `_draw`
                    _draw(study, seed, begun.number, distributions, begun)
            settle(study, ledger, distributions, fixed)
            known = [t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]
            running = [t for t in known if t.state == TrialState.RUNNING]
            batch = [entry_of(ledger, trial, distributions, fixed) for trial in running]
            batch = [entry for entry in batch if not ledger.busy(entry)]
            for number in range(len(known), min(trials, len(known) + at_once - len(batch))):
                trial = _draw(study, seed, number, distributions)
                batch.append(entry_of(ledger, trial, distributions, fixed))
        if not batch:
            return
        yield batch[:at_once]


def _draw(
    study: "optuna.Study",
    seed: int,
    number: int,
    distributions: "Mapping[str, BaseDistribution]",
    begun: "optuna.trial.FrozenTrial | None" = None,
) -> "optuna.Trial":
    """The next trial, or the rest of one that was begun."""
    import optuna

    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=FIRST, multivariate=True, constant_liar=True, seed=seed * 10_007 + number
    )
    if begun is None:
        return study.ask(dict(distributions))
    trial = optuna.Trial(study, begun._trial_id)
    for key, distribution in distributions.items():
        trial._suggest(key, distribution)  # as `ask` does
    return trial


def entry_of(
    ledger: Ledger,
    trial: Any,
    distributions: "Mapping[str, BaseDistribution]",
    fixed: Sequence[str],
) -> Entry:
    """The trial's job; another trial's where that proposed the same."""
    own = [f"{key}={_written(trial.params[key])}" for key in distributions]
    return ledger.plan(Entry(trial.number + 1, " ".join(own), [*fixed, *own], trial=trial.number))


def _written(value: Any) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def settle(
    study: "optuna.Study",
    ledger: Ledger,
    distributions: "Mapping[str, BaseDistribution]",
    fixed: Sequence[str],
) -> None:
    """Tell the study what has come out of the trials that it holds to be running."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        entry = entry_of(ledger, trial, distributions, fixed)
        if entry.status == "FINISHED" and entry.value is not None:
            study.tell(trial.number, entry.value, skip_if_finished=True)
        elif entry.status == "PRUNED":
            study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)
        elif entry.status in ("FAILED", "FINISHED"):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def repeats(ledger: Ledger) -> int:
    """How many trials proposed what another had."""
    import optuna

    if not (ledger.folder / DATABASE).is_file():
        return 0
    study = optuna.load_study(study_name=NAME, storage=_storage(ledger))
    proposed = [
        tuple(sorted((key, _written(value)) for key, value in trial.params.items()))
        for trial in study.get_trials(deepcopy=False)
        if trial.params
    ]
    return len(proposed) - len(set(proposed))


def stopper(ledger: Ledger, number: int) -> Callable[[int, float], bool]:
    """For a job: (epoch, the monitored value) -> whether trial `number` is to be given up."""
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=FIRST)
    study = optuna.load_study(study_name=NAME, storage=_storage(ledger), pruner=pruner)
    ids = {t.number: t._trial_id for t in study.get_trials(deepcopy=False)}
    trial = optuna.trial.Trial(study, ids[number])

    def behind(epoch: int, value: float) -> bool:
        trial.report(value, epoch)
        return trial.should_prune()

    return behind
