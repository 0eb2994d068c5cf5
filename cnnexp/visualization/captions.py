"""What the network said of an image, in a line or two."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnexp.reporting.page import drawn, fitted, text_width
from cnnexp.reporting.style import INK, VERMILION

RIGHT, WRONG = "✓", "✗"  # a sign, not the colour alone
LEGEND = f"Above: {RIGHT} right or {WRONG} wrong, true class → predicted class (its probability)."


@dataclass(frozen=True)
class Verdict:
    """lines: one, or two where there is little room. right: or its true class is not known."""

    right: bool
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def style(self) -> dict[str, str]:
        """What is wrong stands out."""
        if self.right:
            return {"color": INK, "fontweight": "normal"}
        return {"color": VERMILION, "fontweight": "bold"}


def verdict(
    label: int, probabilities: np.ndarray, classes: Sequence[str], *, width: float, size: float = 10
) -> Verdict:
    """`✓ cat → cat (98%)`: the true class, the predicted one and its probability.

    label: -1 where the true class is not known: `→ cat (98%)`. probabilities: (K,). width: inches;
    where one line is too long for it, two: the true class, then the predicted one. size: points.
    """
    predicted = int(probabilities.argmax())
    if label < 0:
        sure = percent(float(probabilities[predicted]))
        room = width - text_width(f"→  ({sure})", size, "bold")
        said = fitted(" ".join(classes[predicted].split()), room, size, "bold")
        return Verdict(True, (f"→ {said} ({sure})",))
    right = predicted == label
    sign = RIGHT if right else WRONG
    sure = percent(float(probabilities[predicted]))
    true, said = (" ".join(classes[k].split()) for k in (label, predicted))
    line = f"{sign} {drawn(true)} → {drawn(said)} ({sure})"
    if text_width(line, size, "bold") <= width:
        return Verdict(right, (line,))
    first = fitted(true, width - text_width(f"{sign} ", size, "bold"), size, "bold")
    second = fitted(said, width - text_width(f"→  ({sure})", size, "bold"), size, "bold")
    return Verdict(right, (f"{sign} {first}", f"→ {second} ({sure})"))


def legend(labels: Sequence[int]) -> str:
    """What the verdicts on images of these classes mean, which stand above them."""
    if max(labels) < 0:
        return "Above: the predicted class (its probability)."
    return LEGEND + " Without a sign: the predicted class alone." * (min(labels) < 0)


def percent(probability: float) -> str:
    """98%, 99.7%, and >99.9% for what would round to certainty."""
    if probability < 0.99:
        return f"{100 * probability:.0f}%"
    return f"{100 * probability:.1f}%" if probability < 0.9995 else ">99.9%"
