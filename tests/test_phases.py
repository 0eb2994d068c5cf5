"""Runs of several phases: cached or not, interrupted or not, from another run's weights."""

import csv
import json
import math
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import cnnexp
from cnnexp.comparison.test_images import SplitFiles
from cnnexp.errors import InputError
from cnnexp.runs import Result, owned
from cnnexp.training import precision
from cnnexp.training.classifier import Classifier
from cnnexp.training.fit import SavesEpochs

TWO = [
    "phases=finetune", "trainer.max_epochs=3", "phases.finetune.lr_scale={block2:0.1}",
    "dataset.per_class=20", "dataset.batch_size=32", "model.widths=[[8],[16]]", "model.dense=[]",
    "trainer.precision=32-true", "optimizer.lr=0.01", "visualization=none", "tracking=none",
]  # fmt: skip

SHORT = [line for line in TWO if "phases" not in line]


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], Result]:
    """The run of these words that nothing interrupts: trained when first asked for."""
    folder, done = tmp_path_factory.mktemp("whole"), dict[str, Result]()

    def get(words: list[str]) -> Result:
        if str(words) not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                done[str(words)] = cnnexp.run(words)
        return done[str(words)]

    return get


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_training_accuracy_is_of_images_and_not_of_batches() -> None:
    """200 images make batches of 28 and 29: their mean is no number of images that are right."""
    result = cnnexp.run([*SHORT, "trainer.max_epochs=2"])
    assert result.folder is not None
    info = json.loads((result.folder / "run.json").read_text())
    right = [200 * row["train/accuracy"] for row in info["phases"]["train"]["history"]]
    assert right == pytest.approx([round(count) for count in right], abs=1e-3)


def test_torch_s_schedules_count_epochs(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = "{_target_: torch.optim.lr_scheduler.StepLR, step_size: 2, gamma: 0.1}"
    result = cnnexp.run([*SHORT, "trainer.max_epochs=3", f"phases.train.scheduler={step}"])
    assert history(result) == pytest.approx([0.01, 0.01, 0.001])
    assert "AdamW at 0.01, StepLR by epoch," in capsys.readouterr().out


def weights(result: Result, phase: str, which: str = "last") -> dict[str, torch.Tensor]:
    assert result.folder is not None
    path = result.folder / "checkpoints" / phase / f"{which}.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def moved(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> set[str]:
    """Blocks with a difference."""
    return {key.split(".")[1] for key in a if not torch.equal(a[key], b[key])}


@pytest.mark.parametrize("every", [1, 10])
def test_a_phase_begins_with_the_rate_of_its_first_step(every: int) -> None:
    """Of four steps, whose last one has the schedule's end alone; and none twice."""
    words = ["phases=finetune", "trainer.max_epochs=1", "dataset.per_class=10", "optimizer.lr=0.01"]
    words += [f"trainer.log_every_n_steps={every}", "phases.finetune.lr_scale=0.1"]
    small = [word for word in SHORT if not word.startswith(("dataset.per_class", "optimizer.lr"))]
    folder = cnnexp.run([*small, *words]).folder
    assert folder is not None
    found = [row for row in rows(folder / "metrics.csv") if row["metric"] == "lr"]
    steps = [int(row["step"]) for row in found]
    assert steps == ([1, 2, 3, 4, 5, 6, 7, 8] if every == 1 else [1, 4, 5, 8])
    first, second = (float(row["value"]) for row in found if int(row["step"]) in (1, 5))
    assert first == pytest.approx(10 * second)
    assert first > 1e-4


def test_two_phases(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = cnnexp.run(TWO)
    said = capsys.readouterr().out
    stored = "block1 … block2 run 559 images once, not 1,677"
    assert re.search(rf"head +head +10,250 of 11,666 +3 .* {stored}", said)
    assert re.search(r"finetune +block2, head .*Adam\w* at 0.001 to 0.01", said)
    assert "after head: accuracy" in said
    assert "after finetune: accuracy" in said
    first, second = weights(result, "head", "best"), weights(result, "finetune")
    assert moved(first, second) == {"block2", "head"}
    assert result.metrics["head/test/accuracy"] < result.metrics["test/accuracy"]
    assert result.metrics["finetune/test/accuracy"] == result.metrics["test/accuracy"]
    assert result.folder is not None
    table = rows(result.folder / "metrics.csv")
    epochs = [int(row["epoch"]) for row in table if row["metric"] == "val/loss"]
    steps = [int(row["step"]) for row in table if row["metric"] == "val/loss"]
    assert epochs == [1, 2, 3, 4, 5, 6]
    assert steps == sorted(set(steps))
    # A finished run is tested again with the last phase's best weights.
    again = cnnexp.run(["task=evaluate", f"run={result.folder}", "tracking=none"])
    assert again.metrics["test/accuracy"] == result.metrics["test/accuracy"]


def test_same_figures_with_and_without_the_cache() -> None:
    """Dropout in the head draws alike: an epoch's randomness is a function of seed and epoch."""
    options = [*TWO, "model.head_dropout=0.2"]
    cached = cnnexp.run(options)
    plain = cnnexp.run([*options, "training.prefix_cache=false"])
    for phase in ("head", "finetune"):
        ours, theirs = weights(cached, phase), weights(plain, phase)
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], rtol=1e-3, atol=1e-4)
    assert plain.metrics["test/loss"] == pytest.approx(cached.metrics["test/loss"], rel=1e-3)
    assert plain.metrics["test/accuracy"] == cached.metrics["test/accuracy"]


def test_augmented_views(capsys: pytest.CaptureFixture[str]) -> None:
    options = [*SHORT, "phases=frozen", "augmentation=crop_flip"]
    cnnexp.run(options)
    said = capsys.readouterr().out
    assert "block1 … block2 run 1,677 images in all" in said
    assert "block1, block2 are frozen with the weights that were drawn" in said
    cnnexp.run([*options, "training.views=2"])
    assert "block1 … block2 run 759 images once, not 1,677" in capsys.readouterr().out


class Killed(BaseException):
    """As if the machine went off: nothing catches it."""


def killed_after(epoch: int, words: list[str], patch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that dies at the end of the epoch after this one."""
    save = SavesEpochs.on_train_epoch_end

    def die(self: SavesEpochs, trainer: object, module: object) -> None:
        if self.table.first_epoch + len(self.table.history) + 1 == epoch + 1:
            raise Killed
        save(self, trainer, module)  # type: ignore[arg-type]

    with patch.context() as own:
        own.setattr(SavesEpochs, "on_train_epoch_end", die)
        with pytest.raises(Killed):
            cnnexp.run([*words, "paths.outputs=cut"])
    (folder,) = Path("cut").glob("*/*")
    return folder


@pytest.mark.parametrize("epoch", [1, 4, pytest.param(5, marks=pytest.mark.slow)])
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    epoch: int, never_stopped: Callable[[list[str]], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in its first phase, at the second one's beginning, and within it."""
    whole, folder = never_stopped(TWO), killed_after(epoch, TWO, monkeypatch)
    resumed = cnnexp.run([*TWO, "paths.outputs=cut", "resume=auto"])
    assert resumed.folder == folder.absolute()
    for phase in ("head", "finetune"):
        assert moved(weights(resumed, phase), weights(whole, phase)) == set()
    same = {k: v for k, v in whole.metrics.items() if k not in ("train_s", "images_per_s")}
    assert {k: resumed.metrics[k] for k in same} == same
    assert whole.folder is not None
    for name in ("predictions.csv", "splits.csv"):
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()


PLATEAU = "{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, patience: 0, threshold: 10}"


def test_a_plateau_is_remembered(
    never_stopped: Callable[[list[str]], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a loss that is never held to be better: each epoch has a tenth of the rate before it."""
    words = [*SHORT, "trainer.max_epochs=4", f"phases.train.scheduler={PLATEAU}"]
    whole, folder = never_stopped(words), killed_after(2, words, monkeypatch)
    resumed = cnnexp.run([f"resume={folder}", "tracking=none"])
    assert history(whole) == history(resumed) == pytest.approx([0.01, 1e-3, 1e-4, 1e-5])


def history(result: Result) -> list[float]:
    assert result.folder is not None
    info = json.loads((result.folder / "run.json").read_text())
    return [row["lr"] for row in info["phases"]["train"]["history"]]


def test_where_it_was_trained_before_it_went_on_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = killed_after(1, [*SHORT, "trainer.max_epochs=3"], monkeypatch)
    path = folder / "run.json"
    info = json.loads(path.read_text())
    info["environment"] |= {"folder": "/elsewhere", "command": "another"}
    path.write_text(json.dumps(info))
    with monkeypatch.context() as patch:
        patch.setattr(SavesEpochs, "on_train_epoch_end", stop)
        with pytest.raises(Killed):
            cnnexp.run([f"resume={folder}", "tracking=none"])
    info = json.loads(path.read_text())
    assert "earlier_environments" not in info, "that is each command's"
    info["environment"]["packages"]["torch"] = "1.0"
    path.write_text(json.dumps(info))
    cnnexp.run([f"resume={folder}", "tracking=none"])
    info = json.loads(path.read_text())
    assert [one["packages"]["torch"] for one in info["earlier_environments"]] == ["1.0"]
    assert info["environment"]["packages"]["torch"] != "1.0"


@pytest.mark.parametrize(
    ("there", "here", "now"),
    [(set(), {"avx512_bf16"}, "32-true"), ({"avx512_bf16"}, set(), "32-true"),
     ({"avx512_bf16"}, {"avx512_bf16"}, "bf16-mixed")],
)  # fmt: skip
def test_a_run_goes_on_in_its_precision_where_the_machine_has_it(
    there: set[str], here: set[str], now: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = [word.replace("32-true", "auto") for word in [*SHORT, "trainer.max_epochs=2"]]
    monkeypatch.setattr(precision, "_cpu_flags", lambda: there)
    folder = killed_after(1, words, monkeypatch)
    began = json.loads((folder / "run.json").read_text())["precision"]
    assert began == ("bf16-mixed" if there else "32-true")
    monkeypatch.setattr(precision, "_cpu_flags", lambda: here)
    cnnexp.run([f"resume={folder}", "tracking=none"])
    assert json.loads((folder / "run.json").read_text())["precision"] == now
    said = "it began in bf16-mixed, which this device has not: it goes on in 32-true"
    assert (said in " ".join(capsys.readouterr().out.split())) == (began != now)


def stop(self: SavesEpochs, trainer: object, module: object) -> None:
    raise Killed


def test_a_lock_that_cannot_be_removed_hides_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with owned(tmp_path):
            (tmp_path / ".lock").unlink()
            (tmp_path / ".lock").mkdir()
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        fail()


def test_what_goes_on_with_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own config alone, one process at a time, as long as it is not finished."""
    words = [*SHORT, "trainer.max_epochs=2"]
    folder = killed_after(1, words, monkeypatch)
    assert not (folder / ".lock").exists()
    with pytest.raises(InputError, match=r"seed=3: the run goes on with its own config"):
        cnnexp.run([f"resume={folder}", "tracking=none", "seed=3"])
    config = folder / "config.yaml"
    saved = config.read_bytes()
    config.write_bytes(saved.replace(b"seed: 0", b"seed: 3"))
    with pytest.raises(InputError, match=r"its config.yaml was edited since .* init_from="):
        cnnexp.run([f"resume={folder}", "tracking=none"])
    config.write_bytes(saved)
    with owned(folder), pytest.raises(InputError, match="another process is at work on it"):
        cnnexp.run([f"resume={folder}", "tracking=none"])
    assert json.loads((folder / "run.json").read_text())["status"] == "FAILED", "as it was"
    again = [*words, "paths.outputs=cut", "resume=auto"]
    resumed = cnnexp.run(again)
    assert json.loads((folder / "run.json").read_text())["status"] == "FINISHED"
    with pytest.raises(InputError, match=r"resume=.*: the run is finished; .*task=evaluate"):
        cnnexp.run([f"resume={folder}", "tracking=none"])
    done = cnnexp.run(again)  # as a job does that is queued once more
    assert (done.folder, done.metrics) == (folder.absolute(), resumed.metrics)
    assert "a new one begins" not in capsys.readouterr().out
    assert cnnexp.run([*again, "seed=5", "trainer.max_epochs=1"]).folder != folder.absolute()
    assert "cut/digits_baseline holds no run of this very config: a new one begins\n" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("patience", [None, 90])
def test_a_phase_that_time_ends_says_so(
    patience: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trainer.max_epochs=5000", "trainer.max_time=00:00:00:02"]
    cnnexp.run([*SHORT, *words, f"training.early_stopping={patience or 'null'}"])
    assert "stopped   trainer.max_time is over\n" in capsys.readouterr().out


def test_a_run_that_was_to_stop_early_stops_when_it_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save = SavesEpochs.on_train_epoch_end

    def die(self: SavesEpochs, trainer: Any, module: Any) -> None:
        save(self, trainer, module)
        if len(self.table.history) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(SavesEpochs, "on_train_epoch_end", die)
        with pytest.raises(Killed):  # nothing is learned: the second epoch is no better
            cnnexp.run(
                [*SHORT, "model.norm=none", "training.early_stopping=1", "optimizer.lr=1e-12"]
            )
    (folder,) = Path("outputs").glob("*/*")
    cnnexp.run([f"resume={folder}", "tracking=none"])
    info = json.loads((folder / "run.json").read_text())
    assert len(info["phases"]["train"]["history"]) == 2
    assert "goes on   after epoch 2 of 3\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "number"),
    [((1, 0), signal.SIGTERM), ((4, 3), signal.SIGINT), ((5, -1), signal.SIGTERM)],
)
def test_a_signal_waits_for_the_step_and_nothing_is_lost(
    place: tuple[int, int],
    number: int,
    never_stopped: Callable[[list[str]], Result],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """At the first step, within an epoch of the second phase, at an epoch's last step: the run that
    goes on is, to the bit, the one that was never interrupted.
    """
    if number == signal.SIGINT:  # a shell lets its background jobs ignore it
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    options = [*TWO, "training.ema=0.9", "trainer.log_every_n_steps=1", "training.mixup=0.2"]
    options += [f"phases.finetune.scheduler={PLATEAU}"]
    whole = never_stopped(options)
    step = Classifier.training_step

    def signalled(self: Classifier, batch: Any, number_of: int) -> torch.Tensor:
        chosen = place[1] % int(self.trainer.num_training_batches)
        if (self.first_epoch + self.current_epoch, number_of) == (place[0], chosen):
            os.kill(os.getpid(), number)
        return step(self, batch, number_of)

    monkeypatch.setattr(Classifier, "training_step", signalled)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        cnnexp.run([*options, "paths.outputs=cut"])
    monkeypatch.setattr(Classifier, "training_step", step)
    (folder,) = Path("cut").glob("*/*")
    assert json.loads((folder / "run.json").read_text())["status"] == "KILLED"
    resumed = cnnexp.run([f"resume={folder}", "tracking=none"])
    for phase in ("head", "finetune"):
        ours, theirs = weights(resumed, phase), weights(whole, phase)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    table = [rows(one / "metrics.csv") for one in (folder, whole.folder) if one is not None]
    assert [row["step"] for row in table[0]] == [row["step"] for row in table[1]]
    own, other = ({(r["step"], r["metric"]): r["value"] for r in t} for t in table)
    timed = {"train_s", "images_per_s", "elapsed_s"}
    assert {k: v for k, v in own.items() if k[1] not in timed} == {
        k: v for k, v in other.items() if k[1] not in timed
    }


def test_every_epoch_has_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Lightning goes through the batches; and the next form of each image, where there are."""
    step = Classifier.training_step
    seen: dict[int, list[tuple[list[int], float]]] = {}

    def noted(self: Classifier, batch: Any, number: int) -> torch.Tensor:
        seen.setdefault(self.first_epoch + self.current_epoch, []).append(
            (batch[2].tolist(), float(batch[0].float().sum()))
        )
        return step(self, batch, number)

    monkeypatch.setattr(Classifier, "training_step", noted)
    cnnexp.run(TWO)
    orders = [[i for indices, _ in seen[epoch] for i in indices] for epoch in range(6)]
    assert len({tuple(order) for order in orders}) == 6
    assert len({tuple(sorted(order)) for order in orders[:3]}) == 1
    assert len(set(orders[0])) == 200

    seen.clear()
    cnnexp.run([*SHORT, "phases=frozen", "augmentation=crop_flip", "training.views=2"])
    sums = [sum(total for _, total in seen[epoch]) for epoch in range(3)]
    assert sums[0] == pytest.approx(sums[2], rel=1e-6)
    assert sums[0] != pytest.approx(sums[1], rel=1e-4)


def test_a_start_from_a_run_does_not_repeat_its_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same seed; and the same start, again, is the same run."""
    step = Classifier.training_step
    seen: list[list[int]] = []

    def noted(self: Classifier, batch: Any, number: int) -> torch.Tensor:
        seen.append(batch[2].tolist())
        return step(self, batch, number)

    def last(self: Classifier, batch: Any, number: int) -> torch.Tensor:
        loss = noted(self, batch, number)
        if number == int(self.trainer.num_training_batches) - 1:
            raise Killed
        return loss

    def trained(*more: str) -> tuple[Path, list[list[int]]]:
        seen.clear()
        monkeypatch.setattr(Classifier, "training_step", noted)
        folder = cnnexp.run([*SHORT, "trainer.max_epochs=1", *more]).folder
        assert folder is not None
        return folder, list(seen)

    def drawn(*more: str) -> list[list[int]]:
        """Of a run that nobody starts from: its batches are enough."""
        seen.clear()
        monkeypatch.setattr(Classifier, "training_step", last)
        with pytest.raises(Killed):
            cnnexp.run([*SHORT, "trainer.max_epochs=1", *more])
        return list(seen)

    first, own = trained()
    second, then = trained(f"init_from={first}")
    third = drawn(f"init_from={second}")
    assert len(own) == 7  # 200 images in batches of at most 32
    assert len({str(order) for order in (own, then, third)}) == 3
    assert drawn(f"init_from={first}") == then
    assert drawn() == own


def test_a_start_from_another_runs_weights(capsys: pytest.CaptureFixture[str]) -> None:
    first = cnnexp.run(SHORT)
    start = [f"init_from={first.folder}", *SHORT, "optimizer.lr=1e-12", "trainer.max_epochs=1"]
    again = cnnexp.run(start)
    # With no rate to speak of the weights are still the first run's; batch norm's statistics move.
    assert again.metrics["test/accuracy"] == pytest.approx(first.metrics["test/accuracy"], abs=0.1)
    other = cnnexp.run([*start, "dataset=shapes", "dataset.images=240", "dataset.image_size=32"])
    assert "the head, for other classes, is new" in capsys.readouterr().out
    ours, theirs = weights(other, "train"), weights(first, "train", "best")
    assert {k for k in ours if ours[k].shape != theirs[k].shape} == {
        "network.head.1.weight", "network.head.1.bias",
    }  # fmt: skip
    torch.testing.assert_close(ours["network.block1.0.weight"], theirs["network.block1.0.weight"])
    with pytest.raises(InputError) as caught:
        cnnexp.run([*start, "model.widths=[[8],[24]]"])
    assert "block2.0.weight is (16, 8, 3, 3) there, (24, 8, 3, 3) here" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_validation_images_that_a_run_long_before_has_trained_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where the run between has validated on them, too."""
    first = cnnexp.run(SHORT)
    again = [*SHORT, "dataset.fold=1", "name=fold"]
    second = cnnexp.run([f"init_from={first.folder}", *again])
    told = re.findall(r"come from (\d+) of these", capsys.readouterr().out)
    cnnexp.run([f"init_from={second.folder}", *again])
    assert re.findall(r"come from (\d+) of these", capsys.readouterr().out) == told
    assert len(told) == 1


def test_what_weights_come_from_is_no_test_image(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor after a run on other images, which has seen none of them itself."""
    first = cnnexp.run(SHORT)
    shapes = ["dataset=shapes", "dataset.images=240", "dataset.image_size=32"]
    second = cnnexp.run([f"init_from={first.folder}", *SHORT, *shapes])
    for start in (first, second):
        line = rf"init_from={start.folder}: its weights come from \d+ of these 359 test images"
        with pytest.raises(InputError, match=line):
            cnnexp.run([f"init_from={start.folder}", *SHORT, "dataset.split_seed=1"])
    capsys.readouterr()
    cnnexp.run([f"init_from={second.folder}", *SHORT, "dataset.fold=1", "name=fold"])
    assert "validation images, on which figures are too good" in capsys.readouterr().out
    with (first.folder / "splits.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] != "test"]
    # A run that goes on needs the one that it started from no more.
    info = json.loads((second.folder / "run.json").read_text()) | {"status": "KILLED"}
    (second.folder / "run.json").write_text(json.dumps(info))
    first.folder.rename("away")
    cnnexp.run([f"resume={second.folder}"])
    Path("away").rename(first.folder)
    kept = (second.folder / "learned_before.txt").read_text().split()
    assert kept == sorted(row["sha256"] for row in rows)
    assert not (first.folder / "learned_before.txt").exists()
    # Of two that were compared one has learned from them, though its own splits do not say so.
    everything = [second.folder, cnnexp.run([*SHORT, *shapes]).folder]
    splits = [SplitFiles().read(folder).learned for folder in everything]
    assert splits[0] - splits[1] == set(kept)


def test_a_phase_of_its_own_optimizer_and_warmup() -> None:
    result = cnnexp.run(
        [*SHORT, "scheduler=cosine", "phases.train.warmup=1", "trainer.log_every_n_steps=1",
         "phases.train.optimizer={_target_: torch.optim.SGD, lr: 0.1}"]
    )  # fmt: skip
    assert result.folder is not None
    rates = [float(r["value"]) for r in rows(result.folder / "metrics.csv") if r["metric"] == "lr"]
    # 200 images in batches of at most 32: 7 steps rise to the rate, 14 go down a cosine.
    assert rates[:8] == pytest.approx([0.1 * n / 8 for n in range(1, 9)])
    assert rates[14] == pytest.approx(0.1 / 2)
    assert rates[-1] == pytest.approx(0.1 * (1 + math.cos(math.pi * 13 / 14)) / 2)


def test_ctrl_c_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(self: SavesEpochs, trainer: object, module: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SavesEpochs, "on_train_epoch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            cnnexp.run(SHORT)
    (folder,) = Path("outputs").glob("*/*")
    assert f"python -m cnnexp resume={folder}" in capsys.readouterr().out
    assert json.loads((folder / "run.json").read_text())["status"] == "KILLED"
    assert cnnexp.run([f"resume={folder}", "tracking=none"]).metrics["test/accuracy"] > 0


def test_misspelt_blocks_leave_nothing_behind(work: Path) -> None:
    with pytest.raises(
        InputError, match="no block with weights is named blok2; did you mean 'block2'"
    ):
        cnnexp.run([*SHORT, "phases.train.trainable=[blok2]"])
    assert not (work / "outputs").exists()


def test_images_are_copied_to_a_gpu_once_for_a_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and validation share the copy; the test, when the phase has ended, has its own."""
    copies = []

    def copied(images: torch.Tensor, labels: torch.Tensor, _: object) -> tuple[torch.Tensor, ...]:
        copies.append(images.clone())
        return copies[-1], labels

    monkeypatch.setattr("cnnexp.experiment.on_device", copied)
    cnnexp.run([*SHORT, "trainer.max_epochs=1"])
    assert len(copies) == 2
