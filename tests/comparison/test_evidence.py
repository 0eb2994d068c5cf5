"""What a verdict rests on, in words: `800 test images and 2 or 3 seeds`."""

from types import SimpleNamespace
from typing import Any

import pytest

from cnnexp.comparison.groups import Group
from cnnexp.comparison.verdicts import Verdict, evidence, far_apart


def group(count: int, fold: bool) -> Group:
    runs: Any = [SimpleNamespace(config={"dataset": {"fold": 0 if fold else None}})] * count
    return Group("a", tuple(runs), {})


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([group(3, False), group(3, False)], "1,000 test images and 3 seeds"),
        ([group(5, True), group(5, True)], "1,000 test images and 5 folds"),
        ([group(3, False), group(5, True)], "1,000 test images and 3 or 5 seeds or folds"),
        ([group(1, False), group(3, False)], "1,000 test images"),
    ],
)
def test_seeds_and_folds_are_called_what_they_are(groups: list[Group], said: str) -> None:
    assert evidence(groups, 1000) == said


def test_a_third_groups_seeds_that_lie_far_apart_are_named() -> None:
    """Their variance is pooled: without that group the verdict may be another."""
    groups = [Group(name, (), {}) for name in "abc"]
    verdict = Verdict(0, 1, 0.034, -0.005, 0.074, 0.08, 0.08)
    near, wide = ([0.13, 0.14, 0.135], [0.10, 0.102, 0.096]), [0.05, 0.12, 0.08]
    said = far_apart(verdict, groups, [*near, wide])
    assert said == ", for all groups' seeds are pooled, and runs of c lie 7.0 points apart"
    assert far_apart(verdict, groups, near) == ""
    assert far_apart(verdict, groups, [*near, [0.05, 0.06, 0.055]]) == ""
