"""Types for the arguments of configurable functions: checked before anything heavy is imported.

A model, dataset or augmentation annotates its arguments with these; the config is checked against
them. Any `Annotated` type with bounds of annotated_types (or pydantic) works the same.
"""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, Predicate
from pydantic import Strict


def ascending(numbers: Sequence[float]) -> bool:
    return list(numbers) == sorted(numbers)


PositiveInt = Annotated[int, Gt(0)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Fraction01 = Annotated[float, Ge(0), Lt(1)]  # [0, 1)
Share = Annotated[float, Gt(0), Le(1)]  # (0, 1]
Probability = Annotated[float, Ge(0), Le(1)]  # [0, 1]
# Least and most; a list in YAML.
ShareRange = Annotated[tuple[Share, Share], Strict(False), Predicate(ascending)]
PositiveRange = Annotated[tuple[PositiveFloat, PositiveFloat], Strict(False), Predicate(ascending)]
