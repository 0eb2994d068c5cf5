"""Seconds of training until a validation accuracy on CIFAR-10, beside the course's Keras network.

    python benchmarks/time_to_accuracy.py --keras <python> [--seeds 3] dataset.root=<folder>

cnnexp: the whole of `experiment=cifar10_baseline trainer.max_epochs=4`, whose schedule ends where
the goal is reached; what counts is its training with validation until then. Keras: the course's
network as it was trained, until the first epoch that reaches the goal, or for --epochs: what it has
taken until then is a lower bound. Both see the same 45,000 images and are judged on the same 5,000.
--keras: the Python of an environment with tensorflow-cpu. Nothing else should run meanwhile.
"""

import argparse
import math
import statistics
import tempfile
from pathlib import Path

import numpy as np
from commands import SIDES, absolute, done, loaded, newest_run, ours


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--keras", required=True, help="Python of an environment with tensorflow-cpu"
    )
    parser.add_argument("--goal", type=float, default=0.77)
    parser.add_argument("--seeds", type=int, default=3, help="of cnnexp; Keras runs once")
    parser.add_argument("--epochs", type=int, default=50, help="of Keras, at most")
    parser.add_argument("words", nargs="*", help="of the command line of cnnexp")
    options = parser.parse_args()
    overrides = ["experiment=cifar10_baseline", "trainer.max_epochs=4", "visualization=none",
                 *absolute(options.words)]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, images = loaded(overrides)
        parts = {
            f"{part}_{what}": values[images.split[part]]
            for part in ("train", "validation")
            for what, values in (("images", images.images), ("labels", images.labels))
        }
        np.savez(folder / "images.npz", **parts)
        reached_s = []
        for seed in range(options.seeds):
            done(ours(*overrides, f"seed={seed}"), folder)
            (phase,) = newest_run(folder)["phases"].values()
            rows = [(row["val/accuracy"], row["elapsed_s"]) for row in phase["history"]]
            reached_s.append(first(rows, options.goal, f"cnnexp, seed {seed}"))
        script = [str(SIDES / "keras_course.py"), str(folder / "images.npz")]
        found = done([options.keras, *script, str(options.epochs), str(options.goal)], folder)
        rows = [tuple(row) for row in found.last_line()["epochs"]]
        theirs_s, more = first(rows, options.goal, "Keras"), ""
        if math.isnan(theirs_s):  # what it has taken so far is a lower bound
            theirs_s, more = rows[-1][1], "more than "
    ours_s = statistics.mean(reached_s)
    print(f"\n{options.goal:.0%} on validation: cnnexp {ours_s:.0f} s (mean of {options.seeds} "
          f"seeds), Keras {more}{theirs_s:.0f} s: {more}{theirs_s / ours_s:.1f} times")  # fmt: skip


def first(rows: list[tuple[float, float]], goal: float, who: str) -> float:
    """Seconds until the goal; nan where it was not reached."""
    for epoch, (accuracy, seconds) in enumerate(rows, start=1):
        if accuracy >= goal:
            print(f"{who}: {accuracy:.4f} after {epoch} epochs, {seconds:.0f} s", flush=True)
            return seconds
    best = max(accuracy for accuracy, _ in rows)
    print(f"{who}: {best:.4f} at best, after {len(rows)} epochs, {rows[-1][1]:.0f} s", flush=True)
    return float("nan")


if __name__ == "__main__":
    main()
