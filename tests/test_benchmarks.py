"""The benchmarks run as their heads say, on little; what they measure is not tested.

Those that have Keras beside them want the Python of an environment with tensorflow-cpu in the
environment variable CNNEXP_KERAS, and are skipped without it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = {
    "training_throughput": "--rounds 1 --epochs 2 dataset=shapes dataset.images=300 "
    "dataset.image_size=32 dataset.split={train:0.6,validation:0.2,test:0.2}",
    "prefix_cache": "--epochs=2 dataset=shapes dataset.images=80 model.weights=null",
    "comparison": "--groups 2 --seeds 2 --images 50",
    "overhead": "--rounds 1 --jobs 2 trainer.max_epochs=1",
    "growth": "--images 80 --times 2 --size 16",
    "equal_accuracy": "--seeds 2 --epochs 1 dataset=shapes dataset.images=200 "
    "dataset.image_size=32 dataset.split={train:0.6,validation:0.2,test:0.2}",
    "opening": "--images 20 --keras",
    "transfer": "dataset=shapes dataset.classes=2 dataset.images=60 --keras-epochs 1 --keras",
    "time_to_accuracy": "dataset=shapes dataset.classes=4 dataset.images=300 dataset.image_size=32 "
    "dataset.split={train:0.6,validation:0.2,test:0.2} --seeds 1 --goal 0.2 --keras",
}
KERAS = os.environ.get("CNNEXP_KERAS")
SAYS = {
    "training_throughput": r"(?m)^template, 32-true +[\d,]+ +\d+\.\d\dx",
    "prefix_cache": r"stored \d+\.\d s, not stored \d+\.\d s: \d+\.\d times, 2 epochs",
    "comparison": r"4 runs in 2 groups",
    "overhead": r"(?s)first step after -?\d+\.\d\d s.*default pictures: -?\d+\.\d\d s for each",
    "growth": r"second run, 2 times as many images: -?\d+\.\d times the time, [+-][\d,]+ MiB",
    "equal_accuracy": r"cnnexp [-+]\d+\.\d\d points \(95% interval [-+]",
    "opening": r"20 JPEGs at 150 pixels, the second time: cnnexp is \d+ times as fast",
    "transfer": r"Keras, float32: \d+ s for 20 epochs of the head",
    "time_to_accuracy": r"20% on validation: cnnexp \d+ s .*, Keras (more than )?\d+ s",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_runs(name: str, tmp_path: Path) -> None:
    words = SMALL[name].split()
    if words[-1] == "--keras":
        if KERAS is None:
            pytest.skip("CNNEXP_KERAS names no Python with Keras")
        words.append(KERAS)
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *words],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(SAYS[name], done.stdout), done.stdout
