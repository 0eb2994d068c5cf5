"""Two runs, fact by fact: what differs, and what is the same."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from cnnexp.comparison.groups import MISSING, described, differing_keys
from cnnexp.comparison.provenance import code_of, device_of, environment, environments, in_turn
from cnnexp.comparison.records import Run
from cnnexp.comparison.test_images import count_splits
from cnnexp.config.saved import completed
from cnnexp.recording import flat
from cnnexp.reporting.json_values import at, mapping, number
from cnnexp.reporting.units import duration, percent, short_count

# What a command is about, where it writes, what it draws: no part of what was trained.
ASIDE = ("paths", "tracking", "overrides", "run", "runs", "a", "b", "task", "input", "format",
         "n_jobs", "search", "job", "visualization")  # fmt: skip


class Section(NamedTuple):
    """rows: (what, of a, of b), where they differ. same: what does not, in a few words."""

    name: str
    rows: list[tuple[str, str, str]]
    same: list[str]


def section(name: str, facts: Mapping[str, tuple[str, str]]) -> Section:
    rows = [(what, a or MISSING, b or MISSING) for what, (a, b) in facts.items() if a != b]
    same = [f"{what} {a}" for what, (a, b) in facts.items() if a == b and a]
    return Section(name, rows, same)


def config_section(a: Run, b: Run, config: Mapping[str, Any]) -> Section:
    """Flat keys, also the seed and the data's place, but none of `ASIDE`."""
    sides = [
        flat({k: v for k, v in completed(run.config, config).items() if k not in ASIDE})
        for run in (a, b)
    ]
    keys = differing_keys(sides)
    both = zip(described(sides[0], keys), described(sides[1], keys), strict=True)
    rows = [(left[0], left[1], right[1]) for left, right in both]
    count = len({*sides[0], *sides[1]}) - len(keys)
    drawn = [", ".join(mapping(run.config.get("visualization"))) for run in (a, b)]
    if drawn[0] != drawn[1]:
        rows.append(("visualization", drawn[0] or "none", drawn[1] or "none"))
    return Section(
        "config", rows, [f"{count} other config keys" if keys else f"all {count} config keys"]
    )


def code_section(a: Run, b: Run) -> Section:
    def facts(run: Run) -> dict[str, str]:
        git = mapping(environment(run).get("git"))
        digest = f" ({git['digest']})" if git.get("digest") else ""
        states = [mapping(state.get("own_code")) for state in environments(run)]
        return {
            "code": code_of(run),
            "branch": str(git.get("branch") or ""),
            "uncommitted": f"{git.get('diff') or ''}{digest}" if git.get("dirty") else "",
            **{name: in_turn(state.get(name) for state in states) for name in states[-1]},
        }

    found = section("code", paired(facts(a), facts(b)))
    gits = [mapping(environment(run).get("git")) for run in (a, b)]
    if any(git.get("dirty") and not git.get("digest") for git in gits) and not found.rows:
        return found._replace(same=[*found.same, "(but what was not committed may differ)"])
    return found


def data_section(a: Run, b: Run) -> Section:
    def facts(run: Run) -> dict[str, str]:
        known = {
            "data": str(at(run.info, "data", "name") or ""),
            "digest": str(at(run.info, "data", "digest") or "")[:16],
        }
        try:
            counts = count_splits(run.folder)
        except (OSError, pa.ArrowInvalid, KeyError):
            return known
        return known | {f"{split} images": f"{count:,}" for split, count in counts.items()}

    return section("data", paired(facts(a), facts(b)))


def environment_section(a: Run, b: Run) -> Section:
    def facts(run: Run) -> dict[str, str]:
        known = environment(run)
        packages = mapping(known.get("packages"))
        return {
            "precision": str(run.info.get("precision") or ""),
            "device": device_of(run),
            "cores": str(known.get("usable_cores") or known.get("cores") or ""),
            "system": str(known.get("platform") or ""),
            "python": str(known.get("python") or ""),
            **{name: str(version) for name, version in packages.items()},
        }

    found = section("with", paired(facts(a), facts(b)))
    packages = [text for text in found.same if not text.startswith(("precision", "device"))]
    same = [text for text in found.same if text not in packages]
    return found._replace(
        same=[*same, f"{len(packages)} facts of the environment"] if packages else same
    )


def result_section(a: Run, b: Run) -> Section:
    def facts(run: Run) -> dict[str, str]:
        def text(name: str, write: Any) -> str:
            value = run.metric(name)
            return "" if value is None else write(value)

        return {
            "status": str(run.info.get("status") or "").lower(),
            "test accuracy": accuracy_text(run),
            "test loss": text("test/loss", lambda v: f"{v:.4f}"),
            "F1": text("test/f1", lambda v: f"{v:.4f}"),
            "AUROC": text("test/auroc", lambda v: f"{v:.4f}"),
            "best epoch": text("best/epoch", lambda v: f"{v:.0f}"),
            "epochs": str(len(run.history) or ""),
            "best validation": "" if run.best_validation is None else percent(run.best_validation),
            "parameters": text("parameters", short_count),
            "multiply-adds": text("multiply_adds", short_count),
            "training time": text("train_s", duration),
            "images/s": text("images_per_s", lambda v: f"{v:,.0f}"),
        }

    return section("results", paired(facts(a), facts(b)))


def accuracy_text(run: Run) -> str:
    """With the 95% interval (Wilson) that the run had written."""
    value = run.metric("test/accuracy")
    low, high = run.metric("test/accuracy_low"), run.metric("test/accuracy_high")
    if value is None:
        return ""
    interval = (
        f" ({100 * low:.1f} to {100 * high:.1f})" if low is not None and high is not None else ""
    )
    return f"{100 * value:.2f}%{interval}"


def paired(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {key: (a.get(key, ""), b.get(key, "")) for key in {**a, **b}}


def metric_differences(a: Run, b: Run) -> dict[str, float]:
    """b minus a, of what both have measured."""
    ours, theirs = (mapping(run.info.get("metrics")) for run in (a, b))
    found = {}
    for name in ours:
        left, right = number(ours[name]), number(theirs.get(name))
        if left is not None and right is not None:
            found[name] = right - left
    return found
