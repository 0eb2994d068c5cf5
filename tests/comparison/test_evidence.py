"""What a verdict rests on, in words: `800 test images and 2 or 3 seeds`."""

from types import SimpleNamespace
from typing import Any

import pytest

from cnnexp.comparison.groups import Group
from cnnexp.comparison.verdicts import evidence


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
