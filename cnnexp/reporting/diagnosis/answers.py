"""What the answers on the test images show, and how many images of each class there are."""

from collections.abc import Sequence

import numpy as np

from cnnexp.reporting.diagnosis.finding import Finding
from cnnexp.reporting.statistics import LEVEL, accuracy_interval, interval_over, mcnemar
from cnnexp.reporting.units import of_groups


def never_predicted(
    labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]
) -> Finding | None:
    """Classes with at least 5 test images that are the answer to none: with fewer it happens by
    chance (a recall of a half misses all 5 in 3% of the cases).
    """
    have = np.bincount(labels, minlength=len(classes))
    said = np.bincount(predictions, minlength=len(classes))
    never = [name for name, n, m in zip(classes, have, said, strict=True) if n >= 5 and not m]
    if not never:
        return None
    more = f" and {len(never) - 5} more" if len(never) > 5 else ""
    return Finding(
        "Classes that are never predicted",
        f"{', '.join(never[:5])}{more}, though the test images hold at least 5 of each.",
        "Weigh classes equally, and look at those images:",
        ("training.class_weights=balanced",),
    )


def one_answer(predictions: np.ndarray, classes: Sequence[str]) -> Finding | None:
    """All test images get the same answer."""
    said = np.unique(predictions)
    if len(said) != 1:
        return None
    return Finding(
        "One class for all",
        f"All {len(predictions):,} answers are {classes[said[0]]}: so far it tells nothing apart.",
        "The accuracy is that class's share of the test images.",
    )


def no_better_than_one_class(
    labels: np.ndarray, predictions: np.ndarray, train_counts: Sequence[int], classes: Sequence[str]
) -> Finding | None:
    """The network is not significantly more often right than one class for all images is: the
    class that is most frequent in training (in the test set, if training's counts are unknown).
    Paired, for it is right on most of the images that class has: `mcnemar`, two-sided, at 5%.
    Of an accuracy ten points above that the test set says too little, not the network.
    """
    counts = train_counts if len(train_counts) else np.bincount(labels, minlength=len(classes))
    major = int(np.argmax(counts))
    right, constant = labels == predictions, labels == major
    gained, lost = int((right & ~constant).sum()), int((constant & ~right).sum())
    advice = "See whether the network can learn a few images by heart, and weigh classes equally:"
    overrides = ("debug=overfit", "training.class_weights=balanced")
    if only := one_answer(predictions, classes):
        share = (
            f" The accuracy is that class's share of the test images, {100 * right.mean():.1f}%."
        )
        return Finding(only.title, only.text + share, advice, overrides)
    p = mcnemar(gained, lost)
    if (gained > lost and p < LEVEL) or gained - lost > 0.1 * len(labels):
        return None
    test = (
        f"; of the {gained + lost:,} images on which one of the two alone is right the network has "
        f"{gained:,} (exact McNemar test: p = {p:.2g}). More test images may show it"
    )
    return Finding(
        "Not shown to be better than one class for all",
        f"Accuracy is {100 * right.mean():.1f}%; always answering {classes[major]} gives "
        f"{100 * constant.mean():.1f}%{test if gained > lost else ''}.",
        advice,
        overrides,
    )


def calibration(
    labels: np.ndarray, probabilities: np.ndarray, softened_by: Sequence[str] = ()
) -> Finding | None:
    """Expected calibration error over 0.05 (an answer given as 95% sure is right in 90%), and over
    what 95% of perfectly calibrated networks would show on as many images: with few, much.

    softened_by: what made the targets of the training less than sure.
    """
    sure = probabilities.max(1)
    bins = np.minimum((sure * 15).astype(int), 14)  # 15, as the run's calibration_error has

    def error(right: np.ndarray) -> float:
        return float(np.abs(np.bincount(bins, right - sure)).sum() / len(sure))

    generator = np.random.default_rng(0)
    by_chance = [error(generator.random(len(sure)) < sure) for _ in range(200)]
    right = probabilities.argmax(1) == labels
    measured = error(right)
    if measured <= max(0.05, float(np.quantile(by_chance, 0.95))):
        return None
    too_sure = sure.mean() > right.mean()
    if abs(sure.mean() - right.mean()) < measured / 2:
        return Finding(
            "Probabilities that do not fit",
            f"On average they do ({100 * sure.mean():.1f}%, and {100 * right.mean():.1f}% are "
            "right), but not those that are equally sure: the expected calibration error is "
            f"{measured:.3f}.",
            "The reliability diagram shows where it is too sure, and where not sure enough.",
        )
    return Finding(
        "Over-confident" if too_sure else "Under-confident",
        f"It gives its answers a probability of {100 * sure.mean():.1f}% on average, and "
        f"{100 * right.mean():.1f}% are right; the expected calibration error is {measured:.3f}.",
        "Soften the targets:"
        if too_sure
        else f"Its targets are soft ({', '.join(softened_by)}), or it was trained too short."
        if softened_by
        else "It was probably trained too short, or an early epoch was kept.",
        ("training.label_smoothing=0.1", "training.mixup=0.2") if too_sure else (),
    )


def too_small(
    labels: np.ndarray, predictions: np.ndarray, clusters: np.ndarray | None = None
) -> Finding | None:
    """An interval wider than 10 points: what one compares (an augmentation, a wider network) is
    worth one to five points, and would not be seen. clusters: (N,) of images that belong together.
    """
    low, high = interval_over(labels == predictions, clusters)
    if high - low <= 0.1:
        return None
    return Finding(
        "Test set too small to tell",
        f"With {len(labels):,} test images{of_groups(clusters)} the accuracy is known to "
        f"{100 * low:.0f}% to {100 * high:.0f}%, about {50 * (high - low):.0f} points either way: "
        "what one changes is often worth less.",
        "Compare on the same images (task=compare), repeat with several seeds (-m seed=0,1,2), "
        "and test on more images where there are any.",
    )


def chosen_by_few(reached: float, images: int, monitor: object) -> Finding | None:
    """The accuracy by which the epoch was chosen is known to 20 points or worse (less than about 90
    validation images): epochs that differ by a point are told apart by luck.
    """
    if monitor != "val/accuracy" or not images:
        return None
    low, high = accuracy_interval(round(reached * images), images)
    if high - low <= 0.2:
        return None
    return Finding(
        "Few validation images",
        f"With {images} of them an epoch's accuracy is known to about {50 * (high - low):.0f} "
        "points either way: which epoch was kept is partly luck.",
        "The loss chooses more steadily; or validate on more images (dataset.split):",
        ("training.monitor=val/loss",),
    )


def imbalance(
    counts: Sequence[int], classes: Sequence[str], *, weighed: bool = False, by_f1: bool = True
) -> Finding | None:
    """The largest class has 3 times the training images of the smallest: of two such classes,
    always naming the larger is right in three of four cases, which already looks like learning.
    weighed: the loss weighs classes equally. by_f1: that F1 chooses the epoch is advised.
    """
    if len(counts) < 2 or max(counts) < 3 * max(min(counts), 1):
        return None
    large, small = int(np.argmax(counts)), int(np.argmin(counts))
    advice = "Weigh them equally in the loss"
    if weighed:
        advice = "The loss weighs classes equally already"
    if by_f1:
        advice += f"{';' if weighed else ', and'} let their mean F1 choose the epoch"
    keys = {"training.class_weights=balanced": not weighed, "training.monitor=val/f1": by_f1}
    overrides = tuple(key for key, wanted in keys.items() if wanted)
    return Finding(
        "Classes of unequal size",
        f"{classes[large]} has {counts[large]:,} training images, {classes[small]} "
        f"{counts[small]:,}: accuracy says little of small classes, see their recall.",
        advice + (":" if overrides else "."),
        overrides,
    )
