"""The words of a run's report: what was run, on what, how, and what came out."""

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from cnnexp.files import our_command, shown_path
from cnnexp.reporting.json_values import at, mapping, number
from cnnexp.reporting.run_report.run_files import SPLITS, RunFiles
from cnnexp.reporting.statistics import accuracy_interval, interval_over
from cnnexp.reporting.units import duration, of_groups, percent

LISTED = 10  # left-out files
TABLE = 20  # classes with a line of their own; more are folded away
FIGURES = {  # of merit beside the accuracy: key -> (name, decimals)
    "test/loss": ("loss", 4),
    "test/f1": ("F1, mean of classes", 3),
    "test/auroc": ("area under the ROC curve", 3),
    "test/top5": ("top-5 accuracy", 3),
    "test/calibration_error": ("calibration error", 3),
}
STATUS = {
    "FINISHED": "finished",
    "RUNNING": "still running, or ended without a word",
    "KILLED": "stopped before its end",
    "FAILED": "failed",
}


def clipped(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def target(node: Any) -> str:
    """The last word of what a config node calls; and which, where it has a name, or parts that
    have: `torchvision resnet18`, `Torchvision RandAugment, RandomErasing`.
    """
    name, parts = str(at(node, "_target_") or "").rpartition(".")[2], at(node, "transforms")
    which = at(node, "name")
    if isinstance(parts, list):
        which = ", ".join(str(mapping(part).get("name", part)) for part in parts)
    return f"{name} {which}" if name and isinstance(which, str) else name


def moment(text: Any) -> datetime | None:
    try:
        return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None


def head(run: RunFiles) -> dict[str, Any]:
    info, config = run.info, run.config
    started = moment(info.get("started"))
    status = str(info.get("status") or "")
    facts = {
        "dataset": at(info, "data", "name") or target(config.get("dataset")),
        "model": at(info, "model") or target(config.get("model")),
        "seed": config.get("seed"),
        "started": f"{started:%Y-%m-%d %H:%M} {started.tzname()}" if started else None,
        "status": STATUS.get(status, status.lower()),
    }
    return {
        "name": str(info.get("name") or config.get("name") or run.folder.name),
        "folder": run.folder.name,
        "facts": _known(facts),
        "finished": status == "FINISHED",
        "problem": str(info.get("problem") or "") if status != "FINISHED" else "",
    }


def result(run: RunFiles) -> dict[str, Any] | None:
    """Accuracy on the test images with its 95% interval (Wilson), and what chance would give."""
    tests = {name: at(record, "test") for name, record in mapping(run.info.get("phases")).items()}
    last = {**mapping(next((t for t in reversed(list(tests.values())) if t), None)),
            **mapping(run.info.get("metrics"))}  # fmt: skip
    per_class = {split: [run.counts.get(c, {}).get(split, 0) for c in run.classes]
                 for split in SPLITS}  # fmt: skip
    clusters = None if run.answers is None else run.answers.clusters
    if run.answers is not None:
        n = len(run.answers.labels)
        correct = run.answers.probabilities.argmax(1) == run.answers.labels
        right, (low, high) = int(correct.sum()), interval_over(correct, run.answers.clusters)
        per_class["test"] = np.bincount(run.answers.labels, minlength=len(run.classes)).tolist()
    else:
        n, accuracy = sum(per_class["test"]), number(last.get("test/accuracy"))
        if accuracy is None:
            return _not_tested(run)
        if not n:
            return {"sentence": f"Test accuracy {percent(accuracy)}.", "bar": None, "more": {}}
        right = round(n * accuracy)
        low, high = accuracy_interval(right, n)
    k = len(run.classes)
    chance, said = 1 / max(k, 1), f"Guessing among {k} classes would give {percent(1 / max(k, 1))}"
    counts = per_class["train"] if any(per_class["train"]) else per_class["test"]
    frequent = np.flatnonzero(np.array(counts) == max(counts)).tolist() if counts else []
    major = max(frequent, key=lambda label: per_class["test"][label], default=None)
    if major is not None:
        share = per_class["test"][major] / n
        alone = ", the most frequent class in training," if len(frequent) == 1 else ""
        chance = max(chance, share)
        if percent(share) != percent(1 / max(k, 1)):
            said += (
                f"; always answering “{clipped(run.classes[major], 40)}”{alone} {percent(share)}"
            )
    if "test/accuracy" in last and run.info.get("status") not in ("FINISHED", None):
        said += ". The run has not reached its end"
    more = {
        name: f"{value:.{digits}f}"
        for key, (name, digits) in FIGURES.items()
        if (value := number(last.get(key))) is not None
    }
    return {
        "share": percent(right / n),
        "sentence": f"{right:,} of {n:,} test images{of_groups(clusters)} were classified "
        "correctly",
        "interval": f"{percent(low)} to {percent(high)}",
        "baseline": f"{said}.",
        "bar": {"low": 100 * low, "high": 100 * high, "at": 100 * right / n,
                "chance": 100 * chance, "chance_text": percent(chance)},
        "more": more,
    }  # fmt: skip


def _not_tested(run: RunFiles) -> dict[str, Any] | None:
    rows = [row for rows in run.history.values() for row in rows]
    best = max((v for r in rows if (v := number(r.get("val/accuracy"))) is not None), default=None)
    if best is None:
        return None
    sentence = (
        f"The run was not tested. After {len(rows)} epochs its best validation accuracy "
        f"is {percent(best)}."
    )
    return {"sentence": sentence, "bar": None, "more": {}}


def how(run: RunFiles) -> dict[str, Any]:
    """The command that repeats the run, and where it ran."""
    env = mapping(run.info.get("environment"))
    packages = mapping(env.get("packages"))
    overrides = run.config.get("overrides")
    typed = [str(word) for word in overrides] if isinstance(overrides, list) else None
    devices = at(env, "gpus", "devices")
    gpus = [str(at(d, "name")) for d in devices] if isinstance(devices, list) else []
    cores = env.get("usable_cores") or env.get("cores")
    git = mapping(env.get("git"))
    commit = str(git.get("commit") or "")[:12]
    dirty = f", with changes not committed ({git.get('diff')})" if git.get("dirty") else ""
    memory = f", {env['memory_gib']} GiB" if env.get("memory_gib") else ""
    spent = [number(at(r, "train_s")) for r in mapping(run.info.get("phases")).values()]
    begun, ended = moment(run.info.get("started")), moment(run.info.get("finished"))
    rows = {
        "training took": duration(sum(s for s in spent if s)) if any(spent) else None,
        "the whole run took": duration((ended - begun).total_seconds())
        if begun and ended
        else None,
        "device": ", ".join(gpus) if gpus else env.get("cpu"),
        "precision": run.info.get("precision"),
        "Python, torch": ", ".join(str(v) for v in (env.get("python"), packages.get("torch")) if v),
        "code": f"commit {commit} of {git.get('branch') or 'no branch'}{dirty}" if commit else None,
    }
    more = {
        "typed": env.get("command"),
        "in folder": env.get("folder"),
        "machine": f"{cores} usable {'core' if cores == 1 else 'cores'}{memory}" if cores else None,
        "system": env.get("platform"),
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "MLflow run": run.info.get("mlflow_run_id"),
    }
    mine = run.info.get("config_dir")
    own = our_command(mine if isinstance(mine, str) else None)
    return {
        "command": None if typed is None else shlex.join([*own, *typed]),
        "check": shlex.join([*own, "task=reproduce", f"run={shown_path(run.folder)}"]),
        "rows": _known(rows),
        "more": _known(more),
    }


def _known(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items() if value not in (None, "")}


def data(run: RunFiles) -> dict[str, Any] | None:
    if not run.counts and not run.left_out and not run.notes:
        return None
    names = [name for name in run.classes if name in run.counts]
    names += [name for name in run.counts if name not in run.classes]
    totals = {s: sum(run.counts[name][s] for name in names) for s in SPLITS}
    widest = max((sum(run.counts[name].values()) for name in names), default=1)
    size = at(run.config, "dataset", "image_size")
    pixels = f", {size}×{size} pixels" if isinstance(size, int) else ""
    return {
        "sentence": f"{sum(totals.values()):,} images of {len(names)} classes{pixels}.",
        "splits": SPLITS,
        "rows": [
            {"name": n, "counts": run.counts[n],
             "bars": {s: 100 * run.counts[n][s] / widest for s in SPLITS}}
            for n in names
        ],
        "totals": totals,
        "folded": len(names) > TABLE,
        "digest": str(at(run.info, "data", "digest") or "")[:16],
        "left_out": run.left_out[:LISTED],
        "left_out_count": len(run.left_out),
        "more_left_out": max(0, len(run.left_out) - LISTED),
        "notes": run.notes,
    }  # fmt: skip
