"""What the epochs of one phase show: its losses and accuracies, as `run.json` has them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnexp.reporting.diagnosis.finding import Finding

Rows = Sequence[Mapping[str, Any]]  # one per epoch: epoch, train/loss, val/loss, val/accuracy

LAST = 3  # epochs whose mean is "at the end": single epochs are noisy
# A change of the loss that matters: 5% of it, and 0.01 nats, for then the right classes'
# probabilities are 1% lower in the geometric mean, which nobody sees in an accuracy.
RELATIVE, NATS = 0.05, 0.01


def series(rows: Rows, *keys: str) -> np.ndarray:
    """(1 + keys, E): the epochs, then the values, of the rows where all are finite numbers."""
    found = []
    for number, row in enumerate(rows, start=1):
        values = [row.get(key) for key in keys]
        if all(isinstance(v, int | float) and math.isfinite(v) for v in values):
            found.append([row.get("epoch", number), *values])
    return np.array(found, dtype=float).reshape(-1, 1 + len(keys)).T


def noise(values: np.ndarray) -> float:
    """Standard deviation of a series about its smooth course: from second differences, which a
    straight line does not have, and white noise of variance s^2 gives the variance 6 s^2. Their
    median (normal: 0.6745 deviations), which the fall of the first epochs does not move.
    """
    if len(values) < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(values, 2))) / (0.6745 * math.sqrt(6)))


def over_fitting(rows: Rows) -> Finding | None:
    """Validation loss rises from its minimum while training loss falls, by more than noise.

    Its mean over the last 3 epochs is compared with the minimum, at least 3 epochs before the end.
    The minimum of 20 equal epochs is on average 1.9 standard deviations too low only because it
    was picked, and its difference to the mean of three scatters by 0.8. Over 5, white noise passes
    in one of 100 runs of 8 to 40 epochs (over 4 in one of 30), tried with 1,000 of each.
    """
    epochs, train, val = series(rows, "train/loss", "val/loss")
    low = int(val.argmin()) if len(val) else 0
    if len(val) - 1 - low < LAST:
        return None
    rise = val[-LAST:].mean() - val[low]
    enough = max(5 * noise(val), RELATIVE * val[low], NATS)
    if rise <= enough or train[-LAST:].mean() >= train[low]:
        return None
    return Finding(
        f"Over-fitting from epoch {epochs[low]:.0f}",
        f"Validation loss is lowest there ({val[low]:.3g}) and {val[-LAST:].mean():.3g} on average "
        f"over the last {LAST} epochs, while training loss fell from {train[low]:.3g} to "
        f"{train[-LAST:].mean():.3g}: from then on the network learned the training images, not "
        "the classes.",
        "More images or varied ones, a softer target, or an earlier end:",
        (
            "augmentation=crop_flip",
            "training.mixup=0.2",
            "training.label_smoothing=0.1",
            "training.early_stopping=5",
        ),
    )


def stuck(
    rows: Rows, classes: int, rate: float | None = None, before: bool = False
) -> Finding | None:
    """Training loss at ln K or above it at the end: what even shares for all K classes give.

    before: a phase before this one may have learned something.

    Within 2%: the first real learning takes more than that off (K = 10: 2.30 to 2.26), and the
    mean over an epoch's images is steadier. Fewer than 3 epochs are not yet an end, and a loss that
    fell by 5% in the last 3 is on its way.
    """
    train = series(rows, "train/loss")[1]
    # The lowest of them: the first epochs of a short run are no end.
    if len(train) < LAST or classes < 2 or train[-LAST:].min() < 0.98 * math.log(classes):
        return None
    if train[-1] < (1 - RELATIVE) * train[-LAST]:
        return None
    return Finding(
        f"Loss stuck at ln {classes}",
        f"Training loss is {train[-1]:.3g} at the end; equal probabilities for all "
        f"{classes} classes would give ln {classes} = {math.log(classes):.3g}. "
        + ("What was learned before is lost." if before else "The network has learned nothing."),
        "See whether it can learn a few images by heart; if not, the labels or the model are at "
        "fault, else the learning rate:",
        ("debug=overfit", f"optimizer.lr={(rate or 1e-3) / 10:g}"),
    )


def rising(rows: Rows) -> bool:
    """Training loss is no lower at the end than it was in the first of three epochs or more."""
    train = series(rows, "train/loss")[1]
    return len(train) >= LAST and bool(train[-1] >= train[0])


def far_off(rows: Rows, classes: int, rate: float | None = None) -> Finding | None:
    """Validation loss ends over twice ln K (the cost of knowing nothing), training loss over it, or
    over half of it and no better than it was; with a lower one it is over-fitting.
    """
    _, train, val = series(rows, "train/loss", "val/loss")
    chance = math.log(max(classes, 2))
    if not len(val) or val[-1] < 2 * chance:
        return None
    if train[-1] <= (chance / 2 if rising(rows) else chance):
        return None
    return Finding(
        "Loss far above chance",
        f"Validation loss is {val[-1]:.3g} at the end, training loss {train[-1]:.3g}; equal "
        f"probabilities for all {classes} classes would give {chance:.3g}: it is sure, and wrong, "
        "as after steps that are too large.",
        "Smaller steps:",
        (f"optimizer.lr={(rate or 1e-3) / 10:g}",),
    )


def not_finite(rows: Rows, rate: float | None = None) -> Finding | None:
    """A loss that is infinite or no number, in any epoch."""
    for number, row in enumerate(rows, start=1):
        values = [row.get("train/loss"), row.get("val/loss")]
        if any(isinstance(v, float) and not math.isfinite(v) for v in values):
            return Finding(
                "Loss is not a number",
                f"From epoch {row.get('epoch', number)} on: a step went so far that numbers "
                "overflowed.",
                "Smaller steps, or a limit to the gradient:",
                (f"optimizer.lr={(rate or 1e-3) / 10:g}", "trainer.gradient_clip_val=1.0"),
            )
    return None


def exploding(gradients: Sequence[tuple[int, float]], rate: float | None = None) -> Finding | None:
    """The gradient's norm at some step is over 100 times its median, or no number: Pascanu et al.
    2013, "On the difficulty of training recurrent neural networks". Batches alone make it vary by
    a few times; at 100 times one step goes as far as a hundred usual ones. Where it was larger in
    the first steps than it is later, for the images are learned, theirs is the usual one.
    """
    if len(gradients) < 10:
        return None
    steps, norms = np.array(gradients, dtype=float).T
    finite = norms[np.isfinite(norms)]
    parts = [part for part in (finite[:1].clip(max=1), finite[:10], finite) if len(part)]
    if not (usual := float(max(map(np.median, parts), default=0.0))):
        return None
    norms = np.where(np.isnan(norms), np.inf, norms)
    worst = int(norms.argmax())
    if norms[worst] <= 100 * usual:
        return None
    return Finding(
        "Exploding gradients",
        f"The gradient's norm is {norms[worst]:.2g} at step {steps[worst]:.0f}; usual is "
        f"{usual:.2g}: that one step goes as far as many.",
        "A limit to the gradient, or smaller steps:",
        (f"trainer.gradient_clip_val={10 * usual:.1g}", f"optimizer.lr={(rate or 1e-3) / 10:g}"),
    )


def still_improving(
    rows: Rows,
    key: str = "trainer.max_epochs",
    patience: tuple[str, int] | None = None,
    *,
    images: int = 0,
    one_loss: bool = True,
) -> Finding | None:
    """key: of the number of epochs. patience: key and value of the early stopping that ended it.
    one_loss: training's is measured as validation's is.

    The last epoch has the lowest validation loss, and the last quarter of the epochs, at least two,
    took off a change that matters (and 4 times the noise): another quarter would, too. Or they
    added 5 points to the accuracy and 4 standard errors on the validation `images`: steps that are
    too small move the loss by a hundredth while the answers become right.

    Not where training loss is below half of validation loss: the images are learned, and what is
    left is over-fitting that a falling rate hides.
    """
    _, train, val = series(rows, "train/loss", "val/loss")
    quarter = min(max(2, len(val) // 4), len(val) - 1)
    if len(val) < 2 or val.argmin() != len(val) - 1:
        return None
    if one_loss and train[-1] < 0.5 * val[-1]:
        return None
    gain = val[-1 - quarter] - val[-1]
    right = series(rows, "val/accuracy")[1]
    more = 0.0
    if images and len(right) == len(val):
        more = right[-1] - right[-1 - quarter]
    learned = more > max(0.05, 4 * math.sqrt(0.25 / max(images, 1)))
    fell = gain > max(4 * noise(val[len(val) // 2 :]), RELATIVE * val[-1 - quarter], NATS)
    if gain <= 0 or not (fell or learned):
        return None
    and_more = f"; accuracy rose by {100 * more:.0f} points" if learned else ""
    longer = f"{patience[0]}={2 * patience[1] + 1}" if patience else f"{key}={2 * len(val)}"
    return Finding(
        "Still improving at the end (under-fitting)",
        f"Validation loss is lowest in the last epoch: it fell by {gain:.2g} in the last "
        f"{'epoch' if quarter == 1 else f'{quarter} epochs'}, to {val[-1]:.3g}{and_more}.",
        "Wait longer before stopping early:" if patience else "Train longer:",
        (longer,),
    )


def swinging(
    rows: Rows, rate: float | None = None, batch: float | None = None, images: int = 0
) -> Finding | None:
    """Validation loss goes up and down in the second half: the usual change from one epoch to the
    next is over 15% of the loss and 0.05 nats, and at least every second one turns back.

    The kept epoch is then a matter of luck: at 15%, epochs that differ by nothing else look as
    different as two settings that one would compare. White noise turns back in two of three.

    Of few validation `images` (0: unknown) a handful of answers moves the loss. Where W of them are
    wrong, which cost all of it, and were drawn anew in each epoch, its relative deviation would be
    sqrt(accuracy / W), the usual change 0.95 of that: twice as much is no luck.
    """
    _, val = series(rows, "val/loss")
    half = val[len(val) // 2 :]
    changes = np.diff(half)
    if len(changes) < 4:
        return None
    size, turns = np.median(np.abs(changes)), np.mean(changes[1:] * changes[:-1] < 0)
    right = series(rows, "val/accuracy")[1]
    share = float(np.median(right[len(right) // 2 :])) if images and len(right) else 0.0
    luck = 2 * math.sqrt(share / max((1 - share) * images, 1))
    if size <= max(max(0.15, luck) * np.median(half), 0.05) or turns < 0.5:
        return None
    return Finding(
        "Validation loss swings",
        f"From one epoch to the next it changes by {size:.2g} (median of the second half; the loss "
        f"is about {np.median(half):.2g}), up and down: which epoch is best is partly luck.",
        "Smaller steps, larger batches, or an average of the weights:",
        (
            f"optimizer.lr={(rate or 1e-3) / 3:.1g}",
            f"dataset.batch_size={2 * (batch or 32):g}",
            "training.ema=0.999",
        ),
    )
