"""metrics.csv line by line, and what Lightning really sends."""

import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from cnnexp.tracking import store
from cnnexp.tracking.logger import RunLogger
from cnnexp.tracking.metrics_file import prepare
from cnnexp.tracking.none import NullTracker
from cnnexp.tracking.tracker import Tracker


def lines(folder: Path) -> list[str]:
    return (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()


def test_lines(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    logger.log_metrics({"train/loss": torch.tensor(0.5), "lr": 0.1, "epoch": 0}, 9)
    logger.log_metrics({'f1/"a", b': 1, "epoch": 1}, 19)
    logger.log_metrics({"nan": float("nan")}, 29)
    logger.flush()
    assert lines(tmp_path) == [
        "step,epoch,metric,value",
        "9,1,train/loss,0.5",
        "9,1,lr,0.1",
        '19,2,"f1/""a"", b",1.0',
        "29,2,nan,nan",
    ]


def test_lines_are_on_disk_when_the_next_epoch_starts(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    logger.log_metrics({"loss": 1.0, "epoch": 0}, 1)
    assert lines(tmp_path) == ["step,epoch,metric,value"]
    logger.log_metrics({"loss": 2.0, "epoch": 1}, 2)
    assert lines(tmp_path)[1:] == ["1,1,loss,1.0"]
    logger.finalize("success")
    assert lines(tmp_path)[1:] == ["1,1,loss,1.0", "2,2,loss,2.0"]
    logger.log_metrics({"test/loss": 3.0, "epoch": 2}, 2)  # after fit comes test
    logger.flush()
    assert lines(tmp_path)[3:] == ["2,3,test/loss,3.0"]


def test_the_epoch_is_sent_once_per_step(tmp_path: Path) -> None:
    sent: list[tuple[int, float]] = []

    class Listens(NullTracker):
        def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
            if "epoch" in metrics:
                sent.append((step, metrics["epoch"]))

    logger = RunLogger(tmp_path, Listens())
    # Lightning's order where every step is logged: an epoch's end counts as the step before.
    for step, name, epoch in [
        (8, "train/loss_step", 0), (9, "train/loss_step", 0), (8, "val/loss", 0),
        (8, "train/loss", 0), (10, "train/loss_step", 1),
    ]:  # fmt: skip
        logger.log_metrics({name: 0.5, "epoch": epoch}, step)
    assert sent == [(8, 1), (9, 1), (10, 2)]


@pytest.mark.parametrize("torn", ["", "12,1,lo", "12,1,loss,0.1"])
def test_a_resumed_run_goes_on_after_the_last_whole_line(tmp_path: Path, torn: str) -> None:
    whole = "step,epoch,metric,value\n1,1,loss,1.0\n"
    (tmp_path / "metrics.csv").write_text(whole + torn)
    logger = RunLogger(tmp_path)
    logger.log_metrics({"loss": 0.5, "epoch": 1}, 2)
    logger.flush()
    assert (tmp_path / "metrics.csv").read_text() == whole + "2,2,loss,0.5\n"


class OneLayer(pl.LightningModule):
    def __init__(self, interrupt_at: int = -1) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.interrupt_at = interrupt_at

    def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
        if self.global_step == self.interrupt_at:
            raise KeyboardInterrupt
        loss = self.layer(batch[0]).square().mean()
        self.log("train/loss", loss)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("val/accuracy", 0.25 * (self.current_epoch + 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(logger: RunLogger, network: OneLayer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about workers
        trainer = pl.Trainer(
            max_epochs=2, log_every_n_steps=2, logger=logger, accelerator="cpu",
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(network, DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=1))


def test_lightning_writes_steps_and_epochs(tmp_path: Path, uri: str) -> None:
    with Tracker(uri, system_metrics=False) as tracker:
        logger = RunLogger(tmp_path / "cats" / "run1", tracker)
        assert (logger.name, logger.version) == ("cats", "run1")
        fit(logger, OneLayer())
        logger.flush()
        assert tracker.run_id is not None
        client = store.connect(uri)
        assert client.get_run(tracker.run_id).info.status == "RUNNING"  # fit ends, the run not
    found = [tuple(line.split(",")[:3]) for line in lines(tmp_path / "cats" / "run1")[1:]]
    assert found == [
        ("1", "1", "train/loss"),
        ("3", "1", "train/loss"),
        ("3", "1", "val/accuracy"),
        ("5", "2", "train/loss"),
        ("7", "2", "train/loss"),
        ("7", "2", "val/accuracy"),
    ]
    epochs = {m.step: m.value for m in client.get_metric_history(tracker.run_id, "epoch")}
    assert epochs == {1: 1, 3: 1, 5: 2, 7: 2}
    accuracy = client.get_metric_history(tracker.run_id, "val/accuracy")
    assert [(m.step, m.value) for m in accuracy] == [(3, 0.25), (7, 0.5)]


def test_what_a_run_reached_is_a_bar_in_mlflow(tmp_path: Path, uri: str) -> None:
    """MLflow draws a line of what has a step other than 0."""
    with Tracker(uri, system_metrics=False) as tracker:
        logger = RunLogger(tmp_path, tracker)
        logger.log_metrics({"val/accuracy": 0.5, "epoch": 3}, 7)
        logger.log_summary({"test/accuracy": 0.75, "train_s": 3.0}, 7, 4)
        logger.flush()
    assert lines(tmp_path)[1:] == [
        "7,4,val/accuracy,0.5",
        "7,4,test/accuracy,0.75",
        "7,4,train_s,3.0",
    ]
    assert tracker.run_id is not None
    client = store.connect(uri)
    history = client.get_metric_history(tracker.run_id, "test/accuracy")
    assert [(m.step, m.value) for m in history] == [(0, 0.75)]
    assert client.get_run(tracker.run_id).data.metrics["epoch"] == 4


def test_ctrl_c_in_lightning_is_a_killed_run(tmp_path: Path, uri: str) -> None:
    import signal

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit), Tracker(uri, system_metrics=False) as tracker:
            fit(RunLogger(tmp_path, tracker), OneLayer(interrupt_at=6))
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored
    assert tracker.run_id is not None
    run = store.connect(uri).get_run(tracker.run_id)
    assert run.info.status == "KILLED"
    assert run.data.metrics["val/accuracy"] == 0.25
    assert lines(tmp_path)[-1].startswith("5,2,train/loss")


def test_a_step_costs_microseconds(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path, NullTracker())
    metrics = {"train/loss": 0.5, "train/accuracy": 0.5, "lr": 0.1, "epoch": 0}
    times = []
    for _ in range(5):
        start = time.process_time()
        for step in range(2000):
            logger.log_metrics(metrics, step)
        times.append((time.process_time() - start) / 2000)
    logger.flush()
    assert min(times) < 50e-6  # of processor time; 5 to 10 in practice


def test_what_was_logged_after_the_checkpoint_goes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    prepare(path, None)
    path.write_bytes(path.read_bytes() + b"1,1,lr,0.1\n")
    kept = path.read_bytes()
    path.write_bytes(kept + b"2,1,lr,0.1\n3,1,l")
    prepare(path, len(kept))
    assert path.read_bytes() == kept
