"""The search: its space, its proposals, what it learns from, and going on with it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from cnnexp.errors import InputError
from cnnexp.sweeps import search
from cnnexp.sweeps.ledger import Entry, Ledger

SPACE = {"lr": FloatDistribution(1e-4, 1e-1, log=True), "norm": CategoricalDistribution(["a", "b"])}


def space(*lines: str) -> dict[str, object]:
    return dict(search.space(OverridesParser.create().parse_overrides(list(lines))))


def test_space() -> None:
    found = space(
        "optimizer.lr=tag(log,interval(1e-4,1e-1))", "model.dropout=interval(0.0,0.5)",
        "trainer.max_epochs=int(interval(2,8))", "model.depth=range(1,8,2)", "seed=1",
        "model.norm=batch,group", "training.ema=null,0.9",
    )  # fmt: skip
    assert found == {
        "optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True),
        "model.dropout": FloatDistribution(0.0, 0.5),
        "trainer.max_epochs": IntDistribution(2, 8),
        "model.depth": IntDistribution(1, 7, step=2),
        "model.norm": CategoricalDistribution(["batch", "group"]),
        "training.ema": CategoricalDistribution(["null", "0.9"]),
    }
    with pytest.raises(InputError, match="nothing to search"):
        space("seed=1")
    with pytest.raises(InputError, match=r"lr=tag\(log,interval\(0,1\)\)"):
        space("lr=tag(log,interval(0,1))")
    with pytest.raises(InputError, match=r"lr=interval\(1,0\): the smaller number comes first"):
        space("lr=interval(1,0)")
    with pytest.raises(InputError, match=r"no such tag: lgo; did you mean 'log'\?"):
        space("lr=tag(lgo,interval(1e-4,1e-1))")
    with pytest.raises(InputError, match=r"model.norm=tag\(log,.* no such tag: log; an interval"):
        space("model.norm=tag(log,choice(batch,group))")


def value_of(entry: Entry) -> float:
    """Best at lr=0.01, norm=b."""
    given = dict(line.split("=") for line in entry.overrides)
    distance = abs(float(given["lr"]) - 0.01)
    return 1 - distance * 10 - (0.2 if given["norm"] == "a" else 0.0)


def run(ledger: Ledger, trials: int, *, at_once: int = 1, stop_after: int = 10**9) -> list[Entry]:
    """A sweep in small; the entries that it did."""
    study = search.study_at(ledger, 1)
    done: list[Entry] = []
    for batch in search.proposals(
        study, ledger, SPACE, ["x=1"], seed=0, trials=trials, at_once=at_once
    ):
        assert len(batch) <= at_once
        for entry in batch:
            if entry.status == "FINISHED":  # proposed twice
                continue
            if len(done) == stop_after:
                return done
            entry.status, entry.value = "FINISHED", value_of(entry)
            ledger.write(entry)
            done.append(entry)
    return done


def test_it_finds_what_is_good(tmp_path: Path) -> None:
    done = run(Ledger(tmp_path), 40)
    assert all(entry.overrides[0] == "x=1" for entry in done)
    early, late = [e.value or 0 for e in done[:10]], [e.value or 0 for e in done[-10:]]
    assert sum(late) > sum(early)
    assert max(entry.value or 0 for entry in done) > 0.95


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    first = run(ledger, 12, at_once=3, stop_after=7)
    rest = run(ledger, 12, at_once=3)
    assert (len(first), len(rest)) == (7, 5)
    trials = search.study_at(ledger, 1).get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 12
    assert run(ledger, 12) == []
    assert len(run(ledger, 14)) == 2, "more trials are more of the same search"


def test_what_the_config_has() -> None:
    config = {"lr": 1e-2, "model": {"norm": "b", "depth": 3}, "training": {"ema": None, "on": True}}
    searched = space(
        "lr=tag(log,interval(1e-3,1e-1))", "model.norm=a,b", "model.depth=range(1,8,2)",
        "training.ema=null,0.9", "+training.on=true,false",
    )  # fmt: skip
    assert search.own_values(searched, config) == {
        "lr": 1e-2, "model.norm": "b", "model.depth": 3, "training.ema": "null",
        "+training.on": "True",
    }  # fmt: skip
    for outside in ("lr=interval(0.1,1.0)", "model.norm=a,c", "model=baseline,residual", "new=1,2"):
        own = search.own_values(space("training.ema=null,0.9", outside), config)
        assert own == {"training.ema": "null"}, "the others are drawn"
    assert search.own_values(space("lr=1e-2,0.1"), config) == {"lr": "0.01"}


def test_the_configs_own_values_come_first(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    own = {"lr": 0.05, "norm": "a"}
    for _ in range(2):
        study = search.study_at(ledger, 1, SPACE, own)  # begun again, they do not come again
    batch = next(search.proposals(study, ledger, SPACE, [], seed=0, trials=2, at_once=2))
    assert batch[0].overrides == ["lr=0.05", "norm=a"]
    assert len(study.get_trials()) == 2
    with ledger.facts() as facts:
        assert facts["own"]


def test_the_first_trial_has_what_the_config_has_of_its_choices(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    study = search.study_at(ledger, 1, SPACE, {"norm": "b", "lr": 7.0})
    (entry,) = next(search.proposals(study, ledger, SPACE, [], seed=0, trials=1, at_once=1))
    assert "norm=b" in entry.overrides
    assert len(entry.overrides) == len(SPACE)
    with ledger.facts() as facts:
        assert not facts["own"], "it is not the config's"


def test_same_command_same_proposals(tmp_path: Path) -> None:
    first, second = run(Ledger(tmp_path / "a"), 8), run(Ledger(tmp_path / "b"), 8)
    assert [entry.label for entry in first] == [entry.label for entry in second]


def test_an_interrupted_search_proposes_the_same(tmp_path: Path) -> None:
    whole = [entry.label for entry in run(Ledger(tmp_path / "whole"), 12)]
    ledger, parts = Ledger(tmp_path / "parts"), []
    for stop_after in (2, 5, 1, 12):
        parts += [entry.label for entry in run(ledger, 12, stop_after=stop_after)]
    assert parts == whole
    assert len(set(whole)) == 12


def test_a_trial_that_was_begun_is_drawn_to_its_end(tmp_path: Path) -> None:
    """As a process leaves it that dies between Optuna's two writes."""
    whole = [entry.label for entry in run(Ledger(tmp_path / "whole"), 8)]
    ledger = Ledger(tmp_path / "killed")
    parts = [entry.label for entry in run(ledger, 7)]
    search.study_at(ledger, 1).ask()
    parts += [entry.label for entry in run(ledger, 8)]
    assert parts == whole
    trials = search.study_at(ledger, 1).get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8


def test_several_at_once_propose_nothing_twice(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def process(_: int) -> list[str]:
        ledger, done = Ledger(tmp_path), []
        study = search.study_at(ledger, 1)
        together.wait()
        for batch in search.proposals(study, ledger, SPACE, [], seed=0, trials=8, at_once=1):
            for entry in batch:
                with ledger.claimed(entry) as mine:
                    if mine and ledger.read(entry.overrides).status != "FINISHED":
                        time.sleep(0.1)
                        entry.status, entry.value = "FINISHED", value_of(entry)
                        ledger.write(entry)
                        done.append(entry.label)
        return done

    with ThreadPoolExecutor(4) as pool:
        done = [label for labels in pool.map(process, range(4)) for label in labels]
    assert len(done) == len(set(done)) == 8
    assert len(Ledger(tmp_path).entries()) == 8


def test_failed_and_pruned_trials_are_told(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    study = search.study_at(ledger, 1)
    for number, batch in enumerate(
        search.proposals(study, ledger, SPACE, [], seed=0, trials=3, at_once=1)
    ):
        (entry,) = batch
        entry.status = ("FAILED", "PRUNED", "FINISHED")[number]
        entry.value = None if number == 0 else 0.5
        ledger.write(entry)
    assert [trial.state for trial in study.get_trials()] == [
        TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE,
    ]  # fmt: skip


def test_a_trial_behind_the_median_is_given_up(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    study = search.study_at(ledger, 1)
    for _ in range(search.FIRST):
        trial = study.ask(SPACE)
        stop = search.stopper(ledger, trial.number)
        assert not any(stop(epoch, 0.5 + 0.1 * epoch) for epoch in (1, 2)), "nothing to compare"
        study.tell(trial.number, 0.7)
    good, bad = study.ask(SPACE).number, study.ask(SPACE).number
    assert not search.stopper(ledger, good)(1, 0.65)
    assert search.stopper(ledger, bad)(1, 0.55)


@pytest.mark.parametrize(("sign", "way"), [(1, "MAXIMIZE"), (-1, "MINIMIZE")])
def test_a_loss_is_searched_downwards(tmp_path: Path, sign: int, way: str) -> None:
    assert search.study_at(Ledger(tmp_path), sign).direction == StudyDirection[way]
