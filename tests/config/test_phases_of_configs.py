"""A phase is one of those that the config has, or says what it trains."""

import pytest

from cnnexp.config.compose import compose
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


def test_a_new_phase_says_what_it_trains() -> None:
    overrides = ["phases=frozen", "phases.last.trainable=all", "phases.last.epochs=3"]
    phases = checked(compose(overrides).config, overrides)["phases"]
    assert {name: phase["epochs"] for name, phase in phases.items()} == {"head": 20, "last": 3}
