"""Labels where there is little room: no two groups have the same name."""

import pytest

from cnnexp.comparison.labels import names_within
from cnnexp.comparison.names import brief
from cnnexp.reporting.page import text_width

OF_A_SUITE = [
    f"data_size_{step} dataset.per_class={n}"
    for n in (50, "null")
    for step in ("scratch", "scratch_augmented", "frozen", "frozen_augmented")
]


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (OF_A_SUITE[:2], ["…scratch…", "…scratch_augmented…"]),
        (OF_A_SUITE[::4], ["…per_class=50", "…per_class=null"]),
        (["made optimizer.lr=0.1", "made optimizer.lr=0.01", "other"],
         ["made lr=0.1", "made lr=0.01", "other"]),
        (["a model.lr=1 optimizer.lr=2", "b"], ["a model.lr=1 optimizer.lr=2", "b"]),
        (["cifar10_baseline", "cifar10_baseline_deep"], ["…baseline", "…baseline_deep"]),
        (["a", "ab", "b"], ["a", "ab", "b"]),
        (["a dataset.per_class=50"], ["a per_class=50"]),
        (["a x.y=[1, 2]", "b x.y=[1, 2]"], ["a…", "b…"]),
    ],
)  # fmt: skip
def test_brief(labels: list[str], wanted: list[str]) -> None:
    assert brief(labels) == wanted


def test_within() -> None:
    labels = OF_A_SUITE[:4]
    assert names_within(labels, 9.0, 9) == labels, "there is room"
    names = names_within(labels, 1.5, 9)
    assert len(set(names)) == 4
    assert all(text_width(name, 9) <= 1.5 for name in names)
