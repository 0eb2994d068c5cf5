"""Any combination of groups and values trains a batch, or is refused in one line.

CNNEXP_FUZZ says how many are tried (12), other ones each time where it is given.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import cnnexp
from cnnexp.config.compose import compose, resolved
from cnnexp.errors import InputError
from cnnexp.training.classifier import Classifier

TRIED = os.environ.get("CNNEXP_FUZZ")
OPTIONS = {
    "dataset": ["digits", "shapes"],
    "augmentation": ["none", "flip", "crop_flip", "photo", "torchvision", "trivial_augment"],
    "model": ["assignment", "baseline", "baseline_deep", "googlenet", "inception", "lenet5",
              "residual", "resnet18", "torchvision"],
    "optimizer": ["adam", "adamw", "sgd", "rmsprop"],
    "scheduler": ["constant", "cosine", "one_cycle", "plateau"],
    "phases": ["whole", "frozen", "finetune"],
    "visualization": ["none", "activations", "gradcam", "[activations,mistakes]"],
    "debug": ["null", "smoke", "overfit"],
}  # fmt: skip
ALWAYS = {"torchvision": ["model.name=mobilenet_v3_small", "model.weights=null"]}
VALUES = ["0", "-1", "1", "2", "3", "0.5", "1e-8", "1e9", "1000000", "nan", "inf", "-inf", "null",
          "true", "abc", "all", "''", "[]", "[0]", "[-1]", "[nan]", "[1,2]", "[[1],[2]]",
          "{a: 1}"]  # fmt: skip
# Keys of the network, the data and the training; not where files go, or of other tasks.
SECTIONS = ("dataset", "augmentation", "model", "optimizer", "scheduler", "phases", "trainer",
            "training", "visualization")  # fmt: skip


class Trained(Exception):
    """A batch went forward and back."""


@pytest.fixture(scope="module", autouse=True)
def one_batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    def stop(*_: object) -> None:
        raise Trained

    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CNNEXP_CACHE", str(folder / "cache"))
        patch.setattr(Classifier, "on_before_optimizer_step", stop)
        yield folder


def keys(config: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield before + str(key)
        if isinstance(value, Mapping):
            yield from keys(value, f"{before}{key}.")


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    """Some groups chosen, and up to two values that nobody would think of."""
    chosen = draw(
        st.fixed_dictionaries({}, optional={g: st.sampled_from(o) for g, o in OPTIONS.items()})
    )
    words = ["tracking=none", *(f"{group}={option}" for group, option in chosen.items())]
    words += ALWAYS.get(chosen.get("model", ""), [])
    config = resolved(compose(words).config)
    there = [f"{top}.{key}" for top in SECTIONS for key in keys(config[top] or {})]
    changes = draw(st.dictionaries(st.sampled_from(there), st.sampled_from(VALUES), max_size=2))
    return [*words, *(f"{key}={value}" for key, value in changes.items())]


@settings(
    max_examples=int(TRIED or 12),
    derandomize=TRIED is None,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(words=commands())
def test_it_trains_or_one_line_says_why_not(
    words: list[str], record_property: Callable[[str, object], None]
) -> None:
    record_property("combinations", 1)
    note(f"python -m cnnexp {' '.join(words)}")
    said = "it neither trained\nnor was refused"
    try:
        cnnexp.run(words)
    except Trained:
        return
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 700
