"""The benchmarks run as the README says, on little; what they measure is not tested."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = {
    "training_throughput": "--rounds 1 --epochs 2 dataset=shapes dataset.images=300 "
    "dataset.image_size=32 dataset.split={train:0.6,validation:0.2,test:0.2}",
    "prefix_cache": "--epochs=2 dataset=shapes dataset.images=80 model.weights=null",
    "comparison": "--groups 2 --seeds 2 --images 50",
}
SAYS = {
    "training_throughput": r"(?m)^template, 32-true +[\d,]+ +\d+\.\d\dx",
    "prefix_cache": r"stored \d+\.\d s, not stored \d+\.\d s: \d+\.\d times, 2 epochs",
    "comparison": r"4 runs in 2 groups",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *SMALL[name].split()])
    module.main()
    assert re.search(SAYS[name], capsys.readouterr().out)
