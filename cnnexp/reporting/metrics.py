"""Figures of merit of a classifier, from its probabilities and the labels alone."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import mannwhitneyu
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from cnnexp.logits import log_odds
from cnnexp.reporting.predictions import MOST_CLASSES


def classification_metrics(
    logits: torch.Tensor, probabilities: torch.Tensor, labels: torch.Tensor, classes: Sequence[str]
) -> dict[str, float]:
    """Loss, accuracy, top5 (K > 5), calibration error, auroc where two classes have images;
    precision, recall and f1: macro, and of each of up to 256 classes, where it has images.

    logits: (N, K) or (N, 1). probabilities: (N, K), each row sums to 1. labels: (N,) int64. The
    loss is the mean negative log-likelihood in nats; the calibration error is the expected one
    over 15 bins (Guo et al. 2017), 0 to 1. auroc is the mean area under the ROC curves of each
    class that has images against all others. A class without predictions has precision 0.
    """
    count = len(classes)
    there = torch.bincount(labels, minlength=count) > 0
    if logits.shape[1] == 1:
        signed = torch.where(labels == 1, logits[:, 0], -logits[:, 0])
        loss = -torch.nn.functional.logsigmoid(signed).mean()
    else:
        loss = torch.nn.functional.cross_entropy(logits, labels)
    values = {
        "loss": float(loss),
        "accuracy": float((probabilities.argmax(1) == labels).float().mean()),
        "calibration_error": float(
            multiclass_calibration_error(probabilities, labels, count, n_bins=15)
        ),
    }
    if count > 5:
        values["top5"] = float(
            multiclass_accuracy(probabilities, labels, count, top_k=5, average="micro")
        )
    if there.sum() > 1:
        odds, truth = log_odds(logits).numpy(), labels.numpy()
        areas = [auroc(odds[:, k], truth == k) for k in there.nonzero().flatten().tolist()]
        values["auroc"] = sum(areas) / len(areas)
    scores = {
        "precision": multiclass_precision,
        "recall": multiclass_recall,
        "f1": multiclass_f1_score,
    }
    for name, score in scores.items():
        per_class = score(probabilities, labels, count, average="none")
        values[name] = float(per_class[there].mean())
        if count <= MOST_CLASSES:
            own = zip(classes, per_class, there, strict=True)
            values |= {f"{name}/{c}": float(value) for c, value, has in own if has}
    return values


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The area under the ROC curve. scores: (N,). positive: (N,) bool, some of each.

    As Mann and Whitney's U, of which it is the share of all pairs (Hanley and McNeil 1982), out of
    scipy: every command would wait a second for scikit-learn's import.
    """
    own, others = scores[positive], scores[~positive]
    u = mannwhitneyu(own, others, method="asymptotic").statistic
    return float(u) / (len(own) * len(others))
