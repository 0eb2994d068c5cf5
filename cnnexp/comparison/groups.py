"""Runs that differ in their seed alone are one group; a few config keys tell groups apart."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnexp.comparison.records import Run, digest_of
from cnnexp.config.check import shown
from cnnexp.files import shown_path

MOST_KEYS = 3  # in a label, before all that differ are tried one after the other
MISSING = "–"


@dataclass(frozen=True)
class Group:
    """runs: by seed. keys: flat, what they have in common, see `records.Run`."""

    label: str
    runs: tuple[Run, ...]
    keys: Mapping[str, Any]

    @property
    def one_seed(self) -> bool:
        return len(self.runs) == 1


def group_runs(runs: Iterable[Run]) -> tuple[list[Group], list[str]]:
    """Groups in the order of their first runs, and notes. Of a seed that is there twice with the
    same config the newest run counts, but not before one that it only repeats (task=reproduce).
    """
    members: dict[str, dict[Any, Run]] = {}
    notes = []
    for run in sorted(runs, key=lambda r: ("reproduces" not in r.info, r.folder.name)):
        own = members.setdefault(digest_of(run.keys), {})
        if run.seed in own:
            older, name = shown_path(own[run.seed].folder), run.folder.name
            notes.append(f"seed {run.seed} is there twice: {name} counts, not {older}")
        own[run.seed] = run
    sets = [tuple(sorted(own.values(), key=lambda r: (str(type(r.seed)), r.seed)))
            for own in members.values()]  # fmt: skip
    typed = {key for own in sets for run in own for key in run.typed}
    labels = group_labels([(own[0].name, with_option(own[0])) for own in sets], typed)
    groups = [Group(label, own, own[0].keys) for label, own in zip(labels, sets, strict=True)]
    return groups, notes


def with_option(run: Run) -> dict[str, Any]:
    """Its keys, with the option of `model` in place of the function: several may be of one; and
    with a loss of a person's own by its whole name, which none of ours has.
    """
    target = str(run.keys.get("model._target_", MISSING)).rpartition(".")[2]
    own_loss = run.keys.get("training.loss._target_", MISSING)
    named = {
        "model._target_": ("model", str(run.info.get("model") or target).partition(" ")[0]),
        "training.loss._target_": ("training.loss", own_loss),
    }
    return dict(named.get(key, (key, value)) for key, value in run.keys.items())


def group_labels(
    groups: Sequence[tuple[str, Mapping[str, Any]]], typed: Collection[str] = ()
) -> list[str]:
    """The name where that is unique, else with the keys that tell those of a name apart; where all
    have one name the keys alone.

    typed: keys and config groups that were named on the command lines.
    """
    labels = [name for name, _ in groups]
    several = len(set(labels)) > 1
    for name in dict.fromkeys(labels):
        places = [place for place, (own, _) in enumerate(groups) if own == name]
        if len(places) > 1:
            sets = [groups[place][1] for place in places]
            chosen = telling_keys(sets, typed)
            for place, keys in zip(places, sets, strict=True):
                there = [key for key in chosen if key in keys]
                said = [f"{k}={v}" for k, v in described(keys, there)]
                labels[place] = " ".join([name, *said] if several or not said else said)
    return labels


def telling_keys(sets: Sequence[Mapping[str, Any]], typed: Collection[str] = ()) -> list[str]:
    """Keys whose values no two of the sets share: the model and all that were typed, where these
    are few and suffice, for they are what the runs are about; else the fewest, of equally few the
    first, and the model before others.
    """
    typed = {*typed, "model"}
    differing = [key for key in differing_keys(sets) if key != "name"]
    own = [key for key in differing if {key, key.removesuffix("._target_")} & typed]
    # What all have says more than what comes with another model's choice.
    differing.sort(
        key=lambda key: (
            key not in own,
            key.removesuffix("._target_") != "model",
            not all(key in keys for keys in sets),
        )
    )

    def tells(chosen: Sequence[str]) -> int:
        return len({digest_of({key: keys.get(key) for key in chosen}) for keys in sets})

    if len(own) <= MOST_KEYS and tells(own) == len(sets):
        return own
    for size in range(1, MOST_KEYS + 1):
        for chosen in itertools.combinations(differing[:30], size):
            if tells(chosen) == len(sets):
                return list(chosen)
    found: list[str] = []
    for key in differing:
        if tells([*found, key]) > tells(found):
            found.append(key)
    return found


def differing_keys(sets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Flat keys that do not have the same value in all, in the order of the config."""
    order = dict.fromkeys(key for keys in sets for key in keys)
    return [key for key in order if len({digest_of({"": k.get(key, MISSING)}) for k in sets}) > 1]


def described(keys: Mapping[str, Any], chosen: Iterable[str]) -> list[tuple[str, str]]:
    """(key, value) as they are typed: `model._target_: cnnexp.models.lenet5.lenet5` is
    `model: lenet5`.
    """
    found = []
    for key in chosen:
        value = shown(neat(keys[key])) if key in keys else MISSING
        if key.endswith("._target_"):
            key, value = key.removesuffix("._target_"), value.rpartition(".")[2]
        found.append((key, value))
    return found


def neat(value: Any) -> Any:
    """0.30000000000000004, as a sweep's range computes it, is 0.3."""
    return float(f"{value:.12g}") if isinstance(value, float) else value
