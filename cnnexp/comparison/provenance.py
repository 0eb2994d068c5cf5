"""What was run: the commands that repeat it, the data and the code behind each group."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnnexp.comparison.groups import MISSING, Group, described, differing_keys
from cnnexp.comparison.records import Run
from cnnexp.files import our_command, shown_path
from cnnexp.reporting.json_values import at, mapping

# Typed keys that say how a sweep was run and not what one of its runs is.
OF_A_SWEEP = ("seed", "sweep", "n_jobs", "search", "hydra")


def commands(group: Group) -> list[str]:
    """One for all seeds where they were typed alike, else one for each."""
    typed: dict[tuple[str | None, tuple[str, ...]], list[Run]] = {}
    for run in group.runs:
        mine = run.info.get("config_dir")
        key = (mine if isinstance(mine, str) else None, tuple(words(run)))
        typed.setdefault(key, []).append(run)
    found = []
    for (mine, line), runs in typed.items():
        many = ["-m"] if len(runs) > 1 else []
        drawn = [f"seed={listed(run.config.get('seed') for run in runs)}"]
        folds = [fold for run in runs if (fold := at(run.config, "dataset", "fold")) is not None]
        if folds:
            drawn.append(f"dataset.fold={listed(folds)}")
        found.append(shlex.join([*our_command(mine), *many, *line, *drawn]))
    return found


def listed(values: Iterable[Any]) -> str:
    """`0,1,2`, each once."""
    return ",".join(dict.fromkeys(map(str, values)))


def words(run: Run) -> list[str]:
    """What was typed for a run, but for its seed and fold."""
    overrides = run.config.get("overrides")
    typed = [str(word) for word in overrides] if isinstance(overrides, list) else []
    return [
        word
        for word in typed
        if (key := word.lstrip("+~").partition("=")[0]) != "dataset.fold"
        and key.partition(".")[0] not in OF_A_SWEEP
    ]


def key_table(groups: Sequence[Group]) -> list[list[str]]:
    """The config keys that differ: a row each, the titles first; [] where none does.

    Keys of the run that some began from count where those runs differ: that the others began from
    none is one row.
    """
    sets = [group.keys for group in groups]
    of_starts = set(differing_keys([keys for keys in sets if keys.get("init_from")]))
    keys = [
        key
        for key in differing_keys(sets)
        if key not in ("name", "data") and (not key.startswith("init_from.") or key in of_starts)
    ]
    if not keys:
        return []
    columns = [described({k: s[k] for k in keys if k in s}, keys) for s in sets]
    rows = [["key", *(group.label for group in groups)]]
    for place in range(len(keys)):
        rows.append([columns[0][place][0], *(column[place][1] for column in columns)])
    return rows


def origins(groups: Sequence[Group]) -> list[list[str]]:
    """Data, code and machine of each group, the titles first; several values are all named."""
    rows = [["group", "data", "code", "precision", "device", "torch"]]
    for group in groups:
        rows.append(
            [
                group.label,
                said(data_of(run) for run in group.runs),
                said(code_of(run) for run in group.runs),
                said(str(run.info.get("precision") or "") for run in group.runs),
                said(device_of(run) for run in group.runs),
                said(str(at(environment(run), "packages", "torch") or "") for run in group.runs),
            ]
        )
    return rows


def said(values: Any) -> str:
    """Each value once, the most frequent first."""
    counts = Counter(value or MISSING for value in values)
    return ", ".join(value for value, _ in counts.most_common())


def environment(run: Run) -> dict[str, Any]:
    return mapping(run.info.get("environment"))


def environments(run: Run) -> list[dict[str, Any]]:
    """Those that it was trained in, in turn: several where it went on in another."""
    earlier = run.info.get("earlier_environments")
    return [*map(mapping, earlier if isinstance(earlier, list) else []), environment(run)]


def one_code(runs: Sequence[Run]) -> bool:
    """Whether all were trained by the same state of the code: git's, and of a person's own files
    those that several have.
    """
    seen = [state for run in runs for state in environments(run)]
    own: dict[str, set[str]] = {}
    for state in seen:
        for name, content in mapping(state.get("own_code")).items():
            own.setdefault(name, set()).add(str(content))
    gits = {f"{state.get('git')}{state.get('cnnexp_git')}" for state in seen}
    return len(gits) == 1 and all(len(contents) == 1 for contents in own.values())


def data_of(run: Run) -> str:
    digest = str(at(run.info, "data", "digest") or "")[:8]
    return " ".join(word for word in (str(at(run.info, "data", "name") or ""), digest) if word)


def code_of(run: Run) -> str:
    return in_turn(_code_in(state) for state in environments(run))


def _code_in(state: Mapping[str, Any]) -> str:
    """`1a2b3c4d5e with changes, cnnexp 6f7a8b9c0d`: of a person's own code, and of this."""
    version = at(state, "packages", "cnnexp")
    own, ours = _commit(state.get("git")), _commit(state.get("cnnexp_git"))
    if not own:
        return f"cnnexp {version}" if version else ""
    return f"{own}, cnnexp {ours}" if ours else own


def _commit(git: Any) -> str:
    commit = str(mapping(git).get("commit") or "")[:10]
    return f"{commit} with changes" if mapping(git).get("dirty") else commit


def in_turn(values: Iterable[Any]) -> str:
    """Each once: `a, then b`."""
    return ", then ".join(dict.fromkeys(str(value) for value in values if value))


def device_of(run: Run) -> str:
    gpus = at(environment(run), "gpus", "devices")
    names = [str(at(gpu, "name")) for gpu in gpus] if isinstance(gpus, list) else []
    return ", ".join(names) or str(environment(run).get("cpu") or "")


def run_table(groups: Sequence[Group], each: Sequence[Sequence[float]]) -> list[list[str]]:
    """group, seed, accuracy, folder of each run, the titles first."""
    rows = [["group", "seed", "accuracy", "folder"]]
    for group, accuracies in zip(groups, each, strict=True):
        for run, accuracy in zip(group.runs, accuracies, strict=True):
            rows.append(
                [group.label, str(run.seed), f"{100 * accuracy:.2f}%", shown_path(run.folder)]
            )
    return rows
