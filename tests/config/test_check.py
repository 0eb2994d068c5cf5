"""Values against types, and the words for what is wrong."""

from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Lt
from pydantic import Field, Strict

from cnnexp.config.check import check_keys, check_value, describe, shown
from cnnexp.config.types import Fraction01, PositiveInt, Probability
from cnnexp.errors import InputError

Pair = Annotated[tuple[float, float], Strict(False)]


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (int, [0, -3, 10**12], [True, 1.0, "1", None, [1], {}]),
        (float, [1, 1.5, -0.0], [True, "1.5", None, float("inf"), float("nan"), [1.0]]),
        (bool, [True, False], [0, 1, "true", None]),
        (str, ["", "x"], [1, None, True, ["x"]]),
        (int | None, [None, 3], ["null", 3.5]),
        (PositiveInt, [1], [0, -1, 1.5]),
        (Fraction01, [0, 0.0, 0.999], [1, 1.0, -0.1]),
        (Probability, [0, 1, 0.5], [1.01]),
        (Annotated[float, Field(gt=0, lt=1)], [0.5], [0.0, 1.0]),
        (Literal["a", "b"], ["a"], ["c", 1, None]),
        (Literal["a"] | None, ["a", None], ["b"]),
        (list[list[PositiveInt]], [[], [[1], []]], [[1], [[0]], "ab", ((1,),)]),
        (Pair, [[1, 2.5]], [[1], [1, 2, 3], ["1", 2], 5]),
        (PositiveInt | Annotated[float, Gt(0), Lt(1)], [3, 0.5], [0, 1.5, 0.0, True]),
        (dict, [{"a": 1}], [[], None]),
        (dict[str, int], [{"a": 1}], [{"a": "x"}]),
        (Any, [1, None, [object()]], []),
    ],
)
def test_right_and_wrong(kind: Any, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        check_value(kind, value, "key")
    for value in wrong:
        with pytest.raises(InputError, match=r"^key.*must be"):
            check_value(kind, value, "key")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "an integer"),
        (PositiveInt, "an integer greater than 0"),
        (Fraction01, "a number of at least 0 and less than 1"),
        (float | None, "a number or null"),
        (Literal["a", "b"] | None, "'a', 'b' or null"),
        (int | float | None, "a number or null"),
        (list[PositiveInt], "a list, each item an integer greater than 0"),
        (list[Any], "a list"),
        (Pair, "a list of 2: a number, a number"),
        (Annotated[int, Ge(0), Lt(8)] | str, "an integer of at least 0 and less than 8 or text"),
        (
            Literal[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            "1, 2, 3, 4, 5, 6, 7, 8 or … (11 in all)",
        ),
        (bool, "true or false"),
    ],
)
def test_words(kind: Any, words: str) -> None:
    assert describe(kind) == words


@pytest.mark.parametrize(
    ("kind", "value", "line"),
    [
        (int, "3", 'key="3": must be an integer'),
        (int, True, "key=true: must be an integer"),
        (list[list[int]], [[1], [2, "x"]], "key[1][1]=x: must be an integer"),
        (list[int] | None, [1, None], "key[1]=null: must be an integer"),
        (Pair, [0.5, "x"], "key[1]=x: must be a number"),
        (Pair, [0.5], "key=[0.5]: must be a list of 2: a number, a number"),
        (Literal["crop", "pad"], "crap", "key=crap: must be 'crop' or 'pad'; did you mean 'crop'?"),
        (str, {"a": [1, None]}, "key={a: [1, null]}: must be text"),
        (list[str], "a", "key=a: must be a list, each item text; did you mean 'key=[a]'?"),
        (
            list[list[int]],
            32,
            "key=32: must be a list, each item a list, each item an integer; did you mean "
            "'key=[[32]]'?",
        ),
        (
            list[list[int]],
            [32, 64],
            "key[0]=32: must be a list, each item an integer; did you mean 'key=[[32, 64]]'?",
        ),
    ],
)
def test_lines(kind: Any, value: Any, line: str) -> None:
    with pytest.raises(InputError) as caught:
        check_value(kind, value, "key")
    assert str(caught.value) == line


def test_keys() -> None:
    check_keys({"a": 1}, ["a", "b"])
    with pytest.raises(InputError) as caught:
        check_keys({"widht": 3}, ["width", "depth"], "model.")
    line = "model.widht=3: unknown key; did you mean 'width'? allowed: depth, width"
    assert str(caught.value) == line
    with pytest.raises(InputError, match=r"allowed: k00, .*k19, … \(30 in all\)"):
        check_keys({"x": 1}, [f"k{i:02}" for i in range(30)])


def test_shown_is_short_and_one_line() -> None:
    assert shown("a\nb") == "a b"
    assert shown("null") == '"null"'
    assert len(shown("x" * 1000)) == 60
    assert len(shown(list(range(1000)))) == 60
