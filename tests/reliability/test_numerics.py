"""Numbers that go wrong end the training where they do; odd data is right or refused."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import cnnexp
from cnnexp.errors import InputError
from cnnexp.reporting.diagnosis import diagnose as diagnosis
from cnnexp.reporting.run_report.report import findings
from cnnexp.training.classifier import Classifier

SMALL = [
    "dataset=shapes", "dataset.images=200", "dataset.image_size=24", "dataset.batch_size=16",
    "model.widths=[[4],[4]]", "model.dense=[]", "name=small", "visualization=none", "tracking=none",
    "trainer.max_epochs=2", "trainer.log_every_n_steps=3",
]  # fmt: skip
pytestmark = pytest.mark.usefixtures("work")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    "place", [(1, 1), (1, 5), (2, 1), (2, 8)]
)  # 8 batches an epoch; looked at after 3
def test_a_loss_that_is_no_number_is_said_with_its_place(
    place: tuple[int, int], value: float, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, images, rates = Classifier.training_step, [], []

    def spoilt(self: Classifier, batch: Any, number: int) -> torch.Tensor:
        loss = step(self, batch, number)
        if (self.current_epoch + 1, number + 1) == place:
            images.extend(batch[2].tolist())
            rates.append(self._rates[-1])
            self._train[-1] = self._train[-1] * value
            return loss * value
        return loss

    monkeypatch.setattr(Classifier, "training_step", spoilt)
    with pytest.raises(InputError) as caught:
        cnnexp.run(SMALL)
    text = str(caught.value)
    assert text.startswith(
        f"the training loss is {value} at step {8 * (place[0] - 1) + place[1]} "
        f"(epoch {place[0]}, batch {place[1]} of 8: images {str(images[:8])[1:-1]}, … of the data "
    )
    assert f"of the data set; rate {rates[0]:.3g})" in text
    (folder,) = Path("outputs/small").iterdir()
    kept = folder / "checkpoints/train/last.ckpt"
    assert text.endswith(f"; {kept} is from before it") == (place[0] == 2)
    assert ("no step was before it: a block gives that" in text) == (place == (1, 1))
    if kept.exists():
        state = torch.load(kept, weights_only=True)["state_dict"]
        assert all(v.isfinite().all() for v in state.values() if v.is_floating_point())
    assert json.loads((folder / "run.json").read_text())["status"] == "FAILED"


def test_a_rate_that_is_far_too_large() -> None:
    with pytest.raises(InputError, match=r"the training loss is nan at step 2 \(epoch 1, batch 2"):
        cnnexp.run([*SMALL, "optimizer.lr=1e30"])


def test_the_gradients_norm_is_logged_before_it_is_clipped() -> None:
    norms = []
    for more in ([], ["trainer.gradient_clip_val=1e-6"]):
        result = cnnexp.run([*SMALL, "optimizer=sgd", *more])
        assert result.folder is not None
        text = (result.folder / "metrics.csv").read_text()
        found = re.findall(r"(\d+),\d,train/gradient_norm,(.+)", text)
        assert [int(step) for step, _ in found] == [3, 6, 9, 12, 15]
        norms.append([float(norm) for _, norm in found])
    assert norms[1][0] == pytest.approx(norms[0][0], rel=0.3), "before weights differ by much"
    assert min(norms[1]) > 1e-3


def test_gradients_that_explode_are_noticed(work: Path) -> None:
    calm = [(step, 1.0 + step % 3) for step in range(40)]
    assert diagnosis.diagnose(classes=["a", "b"], gradients=calm) == []
    learned = [(step, 5.0 * 0.8**step) for step in range(60)]  # down to a hundred-thousandth
    assert diagnosis.diagnose(classes=["a", "b"], gradients=learned) == []
    (one,) = diagnosis.diagnose(classes=["a", "b"], gradients=[*calm, (41, 500.0)])
    assert one.title == "Exploding gradients"
    assert "is 5e+02 at step 41; usual is 2:" in one.text
    assert one.overrides[0] == "trainer.gradient_clip_val=2e+01"
    for broken in (math.inf, math.nan):
        (one,) = diagnosis.diagnose(classes=["a", "b"], gradients=[*calm, (41, broken)])
        assert "is inf at step 41; usual is 2:" in one.text
    result = cnnexp.run([*SMALL, "trainer.log_every_n_steps=1"])
    assert result.folder is not None
    path = result.folder / "metrics.csv"
    path.write_text(re.sub(r"(\n9,.,train/gradient_norm,).*", r"\g<1>1e9", path.read_text()))
    assert any("is 1e+09 at step 9" in one.text for one in findings(result.folder))
