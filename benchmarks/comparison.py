"""How long task=compare takes for many runs: made-up ones, with 10,000 predictions of 10 classes.

    python benchmarks/comparison.py --groups 40 --seeds 5

Prints the seconds to the answer on the terminal and to the end, and the most memory, on one core;
the processor time says the same on a machine that others use, too.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from cnnexp.config.compose import compose, resolved
from cnnexp.config.validate import validate

CLASSES = [f"class{k}" for k in range(10)]
LEARNED = 50_000  # images that are trained and validated on


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--groups", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_runs(folder, options.groups, options.seeds, options.images)
        answered, done = timed(folder)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    memory, processor = spent.ru_maxrss / 2**10, spent.ru_utime + spent.ru_stime
    print(
        f"{options.groups * options.seeds} runs in {options.groups} groups, {options.images:,} "
        f"images: answer after {answered:.1f} s, done after {done:.1f} s, "
        f"{processor:.1f} s of processor time, {memory:.0f} MiB at most"
    )


def make_runs(folder: Path, groups: int, seeds: int, images: int) -> None:
    """outputs/made/<run> in `folder`: accuracies from 0.80 to 0.90, seeds half a point apart."""
    generator = np.random.default_rng(0)
    config = validate(resolved(compose(["dataset=cifar10", "name=made"]).config))
    config["dataset"]["root"] = str(folder / "nowhere")
    labels = generator.integers(0, len(CLASSES), images)
    hard = generator.standard_normal(images)
    splits = folder / "splits.csv"
    splits.write_text(splits_text(labels))
    for group in range(groups):
        for seed in range(seeds):
            run = folder / "outputs" / "made" / f"20260101-000000_{group:03x}{seed:03x}"
            run.mkdir(parents=True)
            os.link(splits, run / "splits.csv")
            own = {
                **config,
                "seed": seed,
                "optimizer": {**config["optimizer"], "lr": round(1e-4 * (1 + group), 4)},
            }
            (run / "config.yaml").write_text(yaml.safe_dump({**own, "overrides": []}))
            accuracy = (
                0.80 + 0.10 * group / max(groups - 1, 1) + 0.005 * generator.standard_normal()
            )
            own_part = generator.standard_normal(images)
            score = 0.8 * hard + 0.6 * own_part
            right = score < np.quantile(score, np.clip(accuracy, 0, 1))
            said = np.where(right, labels, (labels + 1 + generator.integers(0, 9, images)) % 10)
            (run / "predictions.csv").write_text(predictions_text(labels, said))
            (run / "run.json").write_text(json.dumps(info(float(right.mean()), group)))


def splits_text(labels: np.ndarray) -> str:
    rows = [f"test/{i},{i:064x},{CLASSES[k]},test\n" for i, k in enumerate(labels)]
    rows += [f"train/{i},{i + 10**9:064x},{CLASSES[i % 10]},train\n" for i in range(LEARNED)]
    return "path,sha256,class,split\n" + "".join(rows)


def predictions_text(labels: np.ndarray, said: np.ndarray) -> str:
    """Probabilities of 0.91 and nine times 0.01: how they look does not matter here."""
    tails = [
        f"{name},{','.join('0.912345' if k == i else '0.00973944' for k in range(10))}\n"
        for i, name in enumerate(CLASSES)
    ]
    head = ",".join(["path", "index", "label", "prediction", *(f"p_{name}" for name in CLASSES)])
    rows = (
        f"test/{i},{i},{CLASSES[a]},{tails[b]}"
        for i, (a, b) in enumerate(zip(labels, said, strict=True))
    )
    return head + "\n" + "".join(rows)


def info(accuracy: float, group: int) -> dict[str, object]:
    history = [
        {
            "epoch": e,
            "val/accuracy": accuracy * (1 - 0.5 / e),
            "train/accuracy": accuracy * (1 - 0.4 / e),
        }
        for e in range(1, 41)
    ]
    return {
        "name": "made", "status": "FINISHED", "classes": CLASSES,
        "data": {"name": "made", "digest": "d" * 64},
        "phases": {"train": {"history": history, "best_epoch": 40, "train_s": 100.0 + group}},
        "metrics": {"test/accuracy": accuracy, "test/loss": 1 - accuracy, "train_s": 100.0 + group,
                    "best/val/accuracy": accuracy, "best/epoch": 40.0, "images_per_s": 1000.0,
                    "parameters": 1e5 * (1 + group), "multiply_adds": 1e7 * (1 + group)},
    }  # fmt: skip


def timed(folder: Path) -> tuple[float, float]:
    """Seconds until the answer stands on the terminal, and until the command ends."""
    command = [
        sys.executable,
        "-u",
        "-m",
        "cnnexp",
        "task=compare",
        "runs=[outputs/made]",
        "tracking=none",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    begun = time.perf_counter()
    answered = 0.0
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("flips"):  # the answer's last line
                answered = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(process.returncode)
    return answered, time.perf_counter() - begun


if __name__ == "__main__":
    main()
