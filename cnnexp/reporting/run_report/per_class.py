"""Precision, recall and F1 of each class, and what it is most often taken for."""

from typing import Any

import numpy as np

from cnnexp.reporting.page import numbered, told_apart
from cnnexp.reporting.run_report.run_files import RunFiles
from cnnexp.reporting.run_report.words import TABLE
from cnnexp.reporting.statistics import confusion_counts, interval_over, scores_of_classes
from cnnexp.reporting.units import percent

NONE = "–"  # of no image


def per_class(run: RunFiles) -> dict[str, Any] | None:
    """A row of texts per class, and their means; None without test images."""
    if run.answers is None:
        return None
    labels, clusters = run.answers.labels, run.answers.clusters
    predictions = run.answers.probabilities.argmax(1)
    counts = confusion_counts(labels, predictions, len(run.classes))  # (K, K), rows are true
    right, true, said = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    there = true > 0
    precision, recall, f1 = scores_of_classes(counts)
    wrong = counts - np.diag(right)
    rows = []
    with told_apart(run.classes):
        names = [numbered(name) for name in run.classes]  # as the figures have them
    for k, name in enumerate(names):
        taken = int(wrong[k].argmax())
        own = labels == k
        groups = None if clusters is None else clusters[own]
        interval = map(percent, interval_over(predictions[own] == k, groups)) if there[k] else ()
        rows.append({
            "name": name,
            "images": f"{true[k]:,}",
            "recall": percent(recall[k]) if there[k] else NONE,
            "interval": " to ".join(interval) or NONE,
            "precision": percent(precision[k]) if said[k] else NONE,
            "f1": f"{f1[k]:.3f}" if there[k] else NONE,
            "taken": f"{names[taken]} ({wrong[k, taken]:,} of {true[k]:,})"
            if wrong[k].any()
            else "",
        })  # fmt: skip
    means = {"recall": percent(recall[there].mean()), "precision": percent(precision[there].mean()),
             "f1": f"{f1[there].mean():.3f}"}  # fmt: skip
    return {"rows": rows, "means": means, "folded": len(rows) > TABLE}
