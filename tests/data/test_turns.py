"""The first of each class, then the second of each."""

import numpy as np

from cnnexp.data.turns import in_turn, turns


def test_by_hand() -> None:
    labels = np.array([2, 0, 2, 2, 0, 1])
    assert turns(labels).tolist() == [0, 0, 1, 2, 1, 0]
    assert in_turn(labels).tolist() == [1, 5, 0, 4, 2, 3]  # classes 0 1 2, 0 2, 2


def test_names_and_nothing() -> None:
    assert turns(["late", "early", "late"]).tolist() == [0, 0, 1]
    assert turns([]).tolist() == in_turn([]).tolist() == []
