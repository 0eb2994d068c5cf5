"""What the validation accuracies of the epochs show: each is a share of so many images."""

import math
from collections.abc import Mapping

from scipy.special import ndtri

from cnnexp.reporting.diagnosis.finding import Finding
from cnnexp.reporting.diagnosis.training import LAST, NATS, Rows, series


def best_of(count: int) -> float:
    """Mean of the largest of `count` standard normal numbers: Blom 1958, "Statistical Estimates
    and Transformed Beta-Variables", (n - 3/8) / (n + 1/4) as a quantile.
    """
    return float(ndtri((count - 0.375) / (count + 0.25)))


def worse_than_before(
    name: str, rows: Rows, before: Mapping[str, Rows], images: int, scale: float | None
) -> Finding | None:
    """The phase's best validation accuracy is below an earlier phase's, by more than luck.

    The best of many equal epochs is better than the best of few: by the standard error on the
    validation `images` times what `best_of` says. Another 2.5 of them (1.8 of a difference): of
    two equally good phases of 1 to 60 epochs that is said in 1 of 20 pairs at most, tried with
    2,000 of each, and far less often where both have several epochs.

    scale: the phase's lr_scale, if a number.
    """
    reached = series(rows, "val/accuracy")[1]
    earlier = {n: series(r, "val/accuracy")[1] for n, r in before.items()}
    best = {n: float(values.max()) for n, values in earlier.items() if len(values)}
    if not len(reached) or not best or not images:
        return None
    first = max(best, key=best.__getitem__)
    share = (best[first] + reached.max()) / 2
    error = math.sqrt(max(share * (1 - share), 0) / images)
    more = best_of(sum(map(len, earlier.values()))) - best_of(len(reached))
    if best[first] - reached.max() <= (2.5 + max(more, 0)) * error:
        return None
    return Finding(
        f"Worse than before it, phase {name}",
        f"Its best epoch is right on {100 * reached.max():.1f}% of the {images:,} validation "
        f"images; phase {first} had reached {100 * best[first]:.1f}%. So many images and epochs "
        "leave less than that to luck.",
        "Smaller steps, a warm-up, or fewer blocks that train:",
        (f"phases.{name}.lr_scale={scale / 10:g}",) if scale else (f"phases.{name}.warmup=1",),
    )


def contradiction(rows: Rows, images: int = 0) -> Finding | None:
    """The loss rises again while accuracy still does: over the last 3 epochs it is on average over
    10% (and 0.01 nats) above its minimum, and the accuracy higher than in the 3 epochs from there
    on, by 2 standard errors of such a difference on the validation `images` (0: unknown, then 2
    points). Means, for the best of many epochs is higher than any one, though all be equal.

    Where accuracy is flat that is said in 1 of 35 runs of 8 to 60 epochs at most, of a rise by
    5 points on 400 images in 5 to 8 of 10, tried with 2,000 of each.
    """
    epochs, loss, accuracy = series(rows, "val/loss", "val/accuracy")
    low = int(loss.argmin()) if len(loss) else 0
    if len(loss) - low < 2 * LAST:
        return None
    at_end, then, now = (
        float(part.mean()) for part in (loss[-LAST:], accuracy[low : low + LAST], accuracy[-LAST:])
    )
    error = math.sqrt(max(then * (1 - then), 0) / images * 2 / LAST) if images else 0.01
    if at_end - loss[low] <= max(0.1 * loss[low], NATS) or now - then <= 2 * error:
        return None
    return Finding(
        "Loss and accuracy disagree",
        f"Validation loss is lowest in epoch {epochs[low]:.0f} ({loss[low]:.3g}) and {at_end:.3g} "
        f"on average over the last {LAST} epochs; accuracy rose meanwhile, from {100 * then:.1f}% "
        f"(mean of {LAST} epochs from there) to {100 * now:.1f}%: more answers became right, and "
        "the wrong ones, as a rule, more confident.",
        "Where probabilities matter, let the loss choose the epoch, or soften the targets:",
        ("training.monitor=val/loss", "training.label_smoothing=0.1"),
    )
