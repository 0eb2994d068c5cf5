"""Files of an interrupted run that are gone or others when it goes on: made again, or said."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cnnexp.__main__ import main
from cnnexp.answers import verdict
from cnnexp.tasks import train as training
from cnnexp.training.progress import EpochTable

Give = Callable[[str], Path]


def resumed(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    capsys.readouterr()
    code = main(["resume=given", "tracking=none"])
    return code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("content", [None, b"", b"\xff\n" * 5000])
def test_metrics_that_cannot_be_had_again(
    give: Give, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = give("resume")
    path = folder / "metrics.csv"
    path.unlink() if content is None else path.write_bytes(content)
    before = (folder / "run.json").read_bytes()
    code, (line,) = resumed(capsys)
    assert code == 2
    assert "resume=given: its metrics.csv is" in line
    assert (folder / "run.json").read_bytes() == before


def test_metrics_that_are_damaged_cannot_be_compared(
    give: Give, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = give("reproduce")
    (folder / "metrics.csv").write_bytes(b"\xff")
    runs = list(Path("outputs").glob("small/*"))
    capsys.readouterr()
    assert main(["task=reproduce", "run=given"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "metrics.csv is damaged: no table of step, epoch, metric, value" in line
    assert list(Path("outputs").glob("small/*")) == runs


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("learned_before.txt", b"\xff"),
        ("splits.csv", b"\xff"),
        ("splits.csv", b"path,sha256,class,split\n" + b"a" * 200_000),  # longer than a field may be
    ],
)
def test_what_a_run_learned_from_cannot_be_read(
    give: Give, name: str, content: bytes, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (give("init_from") / name).write_bytes(content)
    code = main([*small, "init_from=given"])
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert f"{name} cannot be read" in line
    assert "nobody knows what the run learned from" in line


@pytest.mark.parametrize("name", ["splits.csv", "left_out.csv"])
def test_lists_of_images_are_written_again(
    give: Give, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = give("resume")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(b"\xff")
    assert resumed(capsys) == (0, [])
    assert (folder / name).read_bytes() == whole


def test_a_best_checkpoint_that_is_gone(give: Give, capsys: pytest.CaptureFixture[str]) -> None:
    folder = give("resume")
    (path,) = folder.rglob("best.ckpt")
    path.unlink()
    code, (line,) = resumed(capsys)
    assert code == 2
    assert line.endswith("the best.ckpt of phase train is gone; put it back")


def test_a_config_that_is_gone(give: Give, capsys: pytest.CaptureFixture[str]) -> None:
    folder = give("resume")
    (folder / "config.yaml").unlink()
    code, (line,) = resumed(capsys)
    assert code == 2
    assert line.endswith("resume=given: is not a run's folder: it has no config.yaml")


def test_a_folder_that_is_taken_away_while_it_trains(
    work: Path,
    small: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it comes back, and the same command begins another run."""
    add_row = EpochTable.add_row

    def taken_away(self: EpochTable, *given: Any) -> bool:
        (folder,) = Path("outputs").glob("*/*")
        shutil.rmtree(folder)
        return add_row(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(EpochTable, "add_row", taken_away)
        assert main([*small, "resume=auto"]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: outputs/")
    assert line.endswith(" was taken away while it trained")
    assert not list(Path("outputs").glob("*/*"))
    assert main([*small, "resume=auto"]) == 0


def test_a_folder_that_is_taken_away_before_the_end(
    work: Path,
    small: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes back of it is no run: the same command begins another."""

    def taken_away(*given: Any) -> str:
        (folder,) = Path("outputs").glob("*/*")
        info = json.loads((folder / "run.json").read_text())
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(info | {"status": "KILLED"}))
        return verdict(*given)

    with monkeypatch.context() as patch:
        patch.setattr(training, "verdict", taken_away)
        assert main([*small, "resume=auto"]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.endswith(" was taken away while it trained")
    assert main([*small, "resume=auto"]) == 0
    assert len(list(Path("outputs").glob("*/*/config.yaml"))) == 1


def started(
    words: Sequence[str], stdout: int, folder: Path, *python: str, stderr: int = subprocess.PIPE
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *python, "-m", "cnnexp", *words],
        cwd=folder, text=True, stdout=stdout, stderr=stderr,
    )  # fmt: skip


def imported(said: str) -> set[str]:
    """What was imported, as `-X importtime` says it."""
    lines = [line for line in said.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def test_nobody_reads_what_a_run_says(work: Path, small: list[str]) -> None:
    """`python -m cnnexp … | grep -m1 training`: it stops, and stderr says how it goes on.

    Nor does a run that is not tracked wait for MLflow to be imported.
    """
    path = work / "stderr"  # a pipe would be full before its reader comes
    with path.open("w") as stderr:
        process = started(small, subprocess.PIPE, work, "-X", "importtime", stderr=stderr.fileno())
        assert process.stdout is not None
        while not process.stdout.readline().startswith("training "):
            assert process.poll() is None
        process.stdout.close()
        assert process.wait() == 141  # 128 + SIGPIPE
    said = path.read_text()
    (record,) = (work / "outputs" / "small").glob("*/run.json")
    assert json.loads(record.read_text())["status"] == "KILLED"
    assert "go on     python -m cnnexp resume=outputs/small/" in said
    assert "Traceback" not in said
    assert {"pytorch_lightning", "cnnexp.tracking.logger", "mlflow"} - imported(said) == {"mlflow"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_takes_what_a_run_says(work: Path, small: list[str]) -> None:
    with open("/dev/full", "w") as full:
        process = started(small, full.fileno(), work)
        _, said = process.communicate()
    assert process.returncode == 2
    assert said == "error: standard output: No space left on device; send it elsewhere\n"


@pytest.mark.slow
def test_no_standard_output_at_all(work: Path, small: list[str]) -> None:
    command = f"exec {sys.executable} -X importtime -m cnnexp {' '.join(map(repr, small))} >&-"
    done = subprocess.run(
        ["bash", "-c", command], cwd=work, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"cnnexp.tracking.logger", "mlflow"} - imported(done.stderr) == {"mlflow"}
    assert list((work / "outputs" / "small").glob("*/report.html"))


def test_a_network_larger_than_memory(
    work: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*small, "model.dense=[100000000000]"]) == 2
    *_, line = capsys.readouterr().err.splitlines()  # the key is typed twice, which is said
    assert "the network does not fit into this machine's memory (a layer of it has " in line
