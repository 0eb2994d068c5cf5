"""A phase is one of those that the config has, or says what it trains."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from cnnexp.config.compose import compose, user_folder
from cnnexp.errors import InputError
from cnnexp.execution import checked


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["phases=finetune", "phases.finetun.epochs=2"],
            "phases.finetun: there is no such phase; did you mean 'finetune'? the run has head, "
            "finetune; a new one says what it trains: phases.finetun.trainable=[head]",
        ),
        (
            ["phases.head.lr_scale=2"],
            "phases.head: there is no such phase; the run has train; a new one says what it "
            "trains: phases.head.trainable=[head]",
        ),
    ],
)
def test_a_misspelt_phase_is_none(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError) as error:
        checked(compose(overrides).config, overrides)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("overrides", "fine"),
    [
        (["experiment=own"], False),
        (["experiment=own", "trainer.max_epochs=null"], True),
        (["experiment=own", "trainer.max_epochs=2"], True),
        (["experiment=own", "debug=smoke"], True),
        (["experiment=own", "phases.train.epochs=20"], False),
        (["experiment=own", "task=data"], True),
        (["experiment=cifar10_baseline"], True),
        (["experiment=cifar10_baseline", "phases=finetune"], True),
        (["experiment=cats_dogs_baseline", "model=vgg16_finetune", "model.weights=null"], True),
    ],
    ids=str,
)
def test_epochs_of_a_phase_that_would_not_be_heeded(
    overrides: list[str], fine: bool, tmp_path: Path
) -> None:
    (tmp_path / "experiment").mkdir()
    own = (
        "# @package _global_\n# Own.\ndefaults: [cifar10_baseline]\nphases: {train: {epochs: 3}}\n"
    )
    (tmp_path / "experiment" / "own.yaml").write_text(own)
    root = f"dataset.root={tmp_path}"
    composed = compose([*overrides, root], user_folder(tmp_path))
    said = r"^phases\.train\.epochs=\d+: trainer\.max_epochs=20"
    with nullcontext() if fine else pytest.raises(InputError, match=said):
        checked(composed.config, composed.overrides)


def test_a_new_phase_says_what_it_trains() -> None:
    overrides = ["phases=frozen", "phases.last.trainable=all", "phases.last.epochs=3"]
    phases = checked(compose(overrides).config, overrides)["phases"]
    assert {name: phase["epochs"] for name, phase in phases.items()} == {"head": 20, "last": 3}
