"""A loss of a person's own: the handbook's, and what is wrong with others."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import cnnexp
from cnnexp.config.own_folder import allow_folder
from cnnexp.errors import InputError
from cnnexp.loss import build_loss, try_loss

PLAIN = {"label_smoothing": 0.0, "class_weights": None, "mixup": 0.0, "cutmix": 0.0}
LABELS = torch.arange(6) % 3
SMALL = [
    "dataset=shapes", "dataset.images=200", "dataset.image_size=24", "model.widths=[[8],[8]]",
    "model.dense=[]", "trainer.max_epochs=2", "visualization=none", "tracking=none",
]  # fmt: skip
OTHERS = """
import torch
from torch import nn

def each():
    return nn.CrossEntropyLoss(reduction="none")

def number():
    return lambda logits, targets: 3.0

def constant():
    return lambda logits, targets: targets.float().mean()

def nan():
    return lambda logits, targets: logits.sum() * float("nan")

def none():
    return None

def called(logits, targets):
    return logits.sum()

def share():
    return lambda logits, targets: -logits.softmax(1).gather(1, targets[:, None]).mean()

def hard():
    return lambda logits, targets: logits.gather(1, targets[:, None]).mean()

class Weighted(nn.Module):
    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(start))
"""


@pytest.fixture
def losses(mine: Path) -> Path:
    (mine / "others.py").write_text(OTHERS)
    allow_folder(mine)
    return mine


def test_the_handbooks_by_hand(losses: Path) -> None:
    node = {"_target_": "losses.Focal", "gamma": 3.0}
    loss = build_loss(PLAIN | {"loss": node}, LABELS, 3)
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    own = F.softmax(logits, dim=1)[torch.arange(6), LABELS]
    by_hand = ((1 - own) ** 3 * -own.log()).mean()
    assert loss(logits, LABELS).item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert loss.name == "cross_entropy", "by which validation is measured"


def test_rates_for_a_loss_below_0(losses: Path) -> None:
    """No multiple of its lowest value says that it rises."""
    words = [*SMALL, "task=lr_find", "training.loss={_target_: others.share}"]
    found = cnnexp.run(words, config_dir=str(losses)).metrics
    assert 1e-6 < found["steepest"] < found["lowest"] < 10


def test_a_run_its_report_and_its_comparison(
    losses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = "training.loss={_target_: losses.Focal, gamma: 2}"
    result = cnnexp.run([*SMALL, typed], config_dir=str(losses))
    assert result.folder is not None
    assert ", loss=Focal\n" in capsys.readouterr().out
    page = (result.folder / "report.html").read_text()
    told = page.partition("best epoch by")[0].rpartition("augmentation")[2]
    assert "Focal" in told
    assert "loss=" not in told
    assert "cross_entropy" not in told
    plain = cnnexp.run(SMALL)
    ours, theirs = ({**r.metrics} for r in (result, plain))
    assert ours["test/loss"] == pytest.approx(theirs["test/loss"], rel=0.2), "the same measure"
    assert "did you mean 'gamma'?" in wrong([typed.replace("gamma", "gama")], losses)
    assert "training.loss.gamma=-1: must be a number of at least 0" in wrong(
        [typed.replace("gamma: 2", "gamma: -1")], losses
    )
    smooth = "training.label_smoothing=0.1"
    assert f"{smooth}: is of cross_entropy and bce" in wrong([typed, smooth], losses)
    assert "must be 'cross_entropy', 'bce' or a mapping" in wrong(["training.loss=Focal"], losses)
    assert "needs it; a function is not called with logits and targets, it returns what is" in (
        wrong(["training.loss={_target_: others.called}"], losses)
    )
    assert "not among what a config may call" in wrong(
        ["training.loss={_target_: os.stat}"], losses
    )


def wrong(typed: list[str], folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        cnnexp.run([*SMALL, *typed], config_dir=str(folder))
    return str(caught.value)


@pytest.mark.filterwarnings("ignore:Using a target size")  # MSELoss's own word
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("others.each", r"gives torch\.float32 \(4,\); it must give one number"),
        ("others.number", "gives float; it must give one number"),
        ("others.constant", "does not depend on the logits"),
        ("others.nan", "gives nan for logits of a normal distribution"),
        ("others.none", "gives a NoneType, which cannot be called with logits and targets"),
        ("others.Weighted", "has weights of its own, which would be neither trained nor saved"),
        ("torch.nn.modules.loss.MSELoss", "The size of tensor"),
    ],
)
def test_what_no_training_bears(losses: Path, target: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"^training\.loss\._target_={target}: {said}"):
        try_loss(PLAIN | {"loss": {"_target_": target}}, 3)


def test_torch_s_words_of_arguments_are_one_line(losses: Path) -> None:
    loss = {"_target_": "torch.nn.modules.loss.CrossEntropyLoss", "weight": 3}
    with pytest.raises(InputError, match=r"^training\.loss\._target_=torch\S+CrossEntropyLoss: .*"):
        try_loss(PLAIN | {"loss": loss}, 3)


def test_targets_under_mixup(losses: Path) -> None:
    try_loss(PLAIN | {"loss": {"_target_": "losses.Focal"}, "mixup": 0.2}, 3)
    try_loss(PLAIN | {"loss": {"_target_": "others.hard"}}, 3)
    with pytest.raises(RuntimeError) as caught:
        try_loss(PLAIN | {"loss": {"_target_": "others.hard"}, "cutmix": 1.0}, 3)
    assert "under training.mixup and training.cutmix targets are (B, K)" in caught.value.__notes__
    margin = {"_target_": "torch.nn.modules.loss.MultiMarginLoss"}
    with pytest.raises(InputError, match=r"MultiMarginLoss: .*targets are"):
        try_loss(PLAIN | {"loss": margin, "mixup": 0.2}, 3)


def test_ours_are_not_tried() -> None:
    try_loss(PLAIN | {"loss": "cross_entropy"}, 3)
    weighed = build_loss(PLAIN | {"loss": "cross_entropy", "class_weights": "balanced"}, LABELS, 3)
    assert weighed(torch.zeros(6, 3), LABELS).item() == pytest.approx(math.log(3))
