"""What cnnexp adds to training: before the first step, and between the jobs of a sweep.

    python benchmarks/overhead.py [--rounds 5] [--jobs 8]

The digits, after a run that made their cache and the MLflow store.
First step: from the command to the first epoch's row, less that epoch, beside
`import torch, pytorch_lightning, mlflow`. Sweep: of `-m seed=1,…` the time from one job's end to
the next one's, less what that job trained: as a search's trials are, without pictures of the
network, and with them.
Nothing else should run on the machine meanwhile.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from commands import done, newest_run, ours

TRIAL = ["visualization=none", "training.test=false", "tracking.log_model=false"]
JOBS = {"trials": TRIAL, "no pictures": TRIAL[:1], "the default pictures": []}
# And out: Python's own end, which takes seconds, is no part of what is measured.
IMPORTS = "import os, torch, pytorch_lightning, mlflow; os._exit(0)"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("words", nargs="*", help="of the command line of cnnexp")
    options = parser.parse_args()
    if options.jobs < 2:
        parser.error("--jobs: 2 or more, the first is not counted")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done(ours(*options.words), folder)
        rounds = []
        for _ in range(options.rounds):
            imports_s = done([sys.executable, "-c", IMPORTS], folder).seconds
            step_s = before_first_step(folder, options.words)
            rounds.append((imports_s, step_s))
            print(f"imports {imports_s:.2f} s, first step after {step_s:.2f} s", flush=True)
        imports_s, step_s = (statistics.median(column) for column in zip(*rounds, strict=True))
        more = statistics.median(step - imports for imports, step in rounds)
        print(f"first step after {step_s:.2f} s, {more:.2f} s more than imports, {imports_s:.2f} s")
        for kind, words in JOBS.items():
            more_s, trained_s = of_a_job(folder, [*options.words, *words], options.jobs)
            print(
                f"sweep, {kind}: {trained_s + more_s:.2f} s for each further job, {trained_s:.2f} "
                f"s of it training: {more_s:.2f} s more",
                flush=True,
            )


def before_first_step(folder: Path, words: list[str]) -> float:
    """Seconds from the command's start until its training begins."""
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "cnnexp", *words, "visualization=none"],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    row_s = None
    for line in process.stdout:
        first = line.split()[:1]
        if row_s is None and first and first[0].partition("/")[0] == "1":
            row_s = time.perf_counter() - began_s
    if process.wait() or row_s is None:
        sys.exit("the command failed, or printed no row of its first epoch")
    (phase,) = newest_run(folder)["phases"].values()
    return row_s - float(phase["history"][0]["elapsed_s"])


def of_a_job(folder: Path, words: list[str], jobs: int) -> tuple[float, float]:
    """(seconds beyond training, of training) of a further job in a sweep; medians."""
    before = set(folder.glob("outputs/*/*/run.json"))
    seeds = ",".join(str(seed) for seed in range(1, jobs + 1))
    done(ours("-m", f"seed={seeds}", *words), folder)
    made = set(folder.glob("outputs/*/*/run.json")) - before
    assert len(made) == jobs, f"{len(made)} of {jobs} jobs are found"
    # What is written last in each is the end of its run.
    ends = sorted((path.stat().st_mtime_ns / 1e9, path) for path in made)
    found = []
    for (before_s, _), (end_s, path) in itertools.pairwise(ends):
        trained_s = float(json.loads(path.read_text())["metrics"]["train_s"])
        found.append((end_s - before_s, trained_s))
    more_s = statistics.median(job_s - trained_s for job_s, trained_s in found)
    trained_s = statistics.median(trained_s for _, trained_s in found)
    return more_s, trained_s


if __name__ == "__main__":
    main()
