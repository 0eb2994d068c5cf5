"""What each group reached, and what it cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cnnexp.comparison.groups import Group
from cnnexp.comparison.records import Run
from cnnexp.comparison.test_images import Answers
from cnnexp.reporting.statistics import Measured, accuracies, confusion_counts, scores_of_classes


@dataclass(frozen=True)
class Score:
    """Of a group, means over its seeds, on the common test images; None where a run does not say.

    accuracy, low, high: with its 95% interval over images and seeds; these are taken to lie as far
    apart as those of groups with as many training images, if that is more. deviation: standard
    deviation of the seeds' accuracies, None for one seed. f1: of the classes that have images, the
    mean; with its 95% interval, made alike, where the comparison is by F1. train_s, images_per_s,
    train_images: of one run, the last the mean where folds differ.
    """

    group: Group
    accuracy: float
    low: float
    high: float
    deviation: float | None
    f1: float
    f1_low: float | None
    f1_high: float | None
    auroc: float | None
    loss: float | None
    best_validation: float | None
    parameters: float | None
    multiply_adds: float | None
    train_s: float | None
    images_per_s: float | None
    train_images: float
    each: tuple[float, ...]
    recall: np.ndarray


def score_groups(
    groups: Sequence[Group],
    columns: Sequence[Sequence[int]],
    answers: Answers,
    measured: Measured,
    by_f1: Measured | None,
) -> list[Score]:
    """columns: the places of each group's runs in `answers`. measured: accuracies; by_f1: F1, where
    that is what is judged.
    """
    sizes = [float(answers.train[list(members)].mean()) for members in columns]
    alike = [[i for i, own in enumerate(sizes) if own == size] for size in dict.fromkeys(sizes)]
    intervals = accuracies(measured, alike)
    of_f1 = None if by_f1 is None else accuracies(by_f1, alike)
    classes = groups[0].runs[0].classes
    own = answers.right.mean(0)
    there = np.unique(answers.labels)  # of the others F1 says nothing
    scores = []
    for number, (group, members) in enumerate(zip(groups, columns, strict=True)):
        each = own[list(members)]
        figures = [class_figures(answers, column, len(classes)) for column in members]
        whole = all(answers.tested[column] == len(answers.labels) for column in members)
        scores.append(
            Score(
                group=group,
                accuracy=float(intervals.mean[number]),
                low=float(intervals.low[number]),
                high=float(intervals.high[number]),
                deviation=float(each.std(ddof=1)) if len(each) > 1 else None,
                f1=float(np.mean([f1[there].mean() for _, f1 in figures])),
                f1_low=None if of_f1 is None else float(of_f1.low[number]),
                f1_high=None if of_f1 is None else float(of_f1.high[number]),
                auroc=mean_of(group, lambda run: run.metric("test/auroc")) if whole else None,
                loss=mean_of(group, lambda run: run.metric("test/loss")) if whole else None,
                best_validation=mean_of(group, lambda run: run.best_validation),
                parameters=mean_of(group, lambda run: run.metric("parameters")),
                multiply_adds=mean_of(group, lambda run: run.metric("multiply_adds")),
                train_s=mean_of(group, lambda run: run.metric("train_s")),
                images_per_s=mean_of(group, lambda run: run.metric("images_per_s")),
                train_images=sizes[number],
                each=tuple(each.tolist()),
                recall=np.mean([recall for recall, _ in figures], axis=0),
            )
        )
    return scores


def mean_of(group: Group, value: Callable[[Run], float | None]) -> float | None:
    values = [value(run) for run in group.runs]
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def class_figures(answers: Answers, column: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall and F1 (K,) of one run; 0 for a class without images."""
    counts = confusion_counts(answers.labels, answers.predictions[:, column], count)
    _, recall, f1 = scores_of_classes(counts)
    return recall, f1
