"""Runs -> groups, their scores on the common test images, and a verdict for each pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnexp.comparison.flips import Flips, flips, shares_right
from cnnexp.comparison.groups import Group, group_runs
from cnnexp.comparison.provenance import one_code
from cnnexp.comparison.records import Run, check_classes, read_run
from cnnexp.comparison.scores import Score, score_groups
from cnnexp.comparison.selection import select_runs
from cnnexp.comparison.sizes import families_of
from cnnexp.comparison.test_images import Answers, read_answers
from cnnexp.comparison.verdicts import Family, Verdict, conclusions, judge
from cnnexp.config.saved import edited
from cnnexp.errors import InputError
from cnnexp.reporting.diagnosis.diagnose import LAGGING
from cnnexp.reporting.json_values import mapping
from cnnexp.reporting.statistics import f1_of_images, measure
from cnnexp.reporting.units import of_groups

FEWEST = 10  # common test images; fewer that are less than half of a run's say nothing
BY_F1 = "val/f1"
PAIRS = 3  # of groups whose flips are told: the best one with the next


@dataclass(frozen=True)
class Comparison:
    """groups, scores: by what they are judged by, the best first. columns: each group's places in
    `answers`. figures: (N, R) of each image and run, whose means are judged.

    families: of groups that are judged against each other; verdicts: of their pairs. shares:
    (N, G), of each group's seeds, how many are right. notes: lines that a person should read.
    """

    groups: list[Group]
    scores: list[Score]
    columns: list[list[int]]
    answers: Answers
    families: list[Family]
    verdicts: list[Verdict]
    figures: np.ndarray
    shares: np.ndarray
    notes: list[str]

    @property
    def classes(self) -> list[str]:
        return self.groups[0].runs[0].classes

    @property
    def images(self) -> int:
        return len(self.answers.labels)

    @property
    def metric(self) -> str:
        """That is judged: "accuracy" or "F1"."""
        return self.families[0].metric

    @property
    def each(self) -> list[tuple[float, ...]]:
        """Of each group its runs' figures, of what is judged."""
        return [tuple(self.figures[:, members].mean(0).tolist()) for members in self.columns]

    @property
    def conclusions(self) -> list[str]:
        """A sentence per family."""
        return conclusions(self.verdicts, self.groups, self.families, self.images)

    def flips(self) -> list[Flips]:
        """Of the first family's best group with each of those that follow."""
        best, *others = self.families[0].members
        return [flips(self.shares, self.answers.labels, best, other) for other in others[:PAIRS]]


def compare_runs(config: Mapping[str, Any]) -> Comparison:
    """What config["runs"] names, compared. Raises InputError for runs that cannot be."""
    chosen = select_runs(config)
    runs = [read_run(folder, config) for folder in chosen.folders]
    check_classes({run.folder: run.classes for run in runs})
    groups, twice = group_runs(runs)
    counted = [run for group in groups for run in group.runs]
    if len(counted) < 2:
        raise InputError(f"runs: one run is left, two are needed; {'; '.join(twice)}")
    answers = read_answers([run.folder for run in counted], counted[0].classes)
    common = len(answers.labels)
    if common < min(FEWEST, int(answers.tested.min()) / 2):
        raise InputError(
            f"runs: only {common} of {int(answers.tested.min()):,} test images or more "
            f"{'are' if common > 1 else 'is'} in all of them: they come from different splits or "
            "data; give runs with the same data and dataset.split_seed"
        )
    places = iter(range(len(counted)))
    columns = [[next(places) for _ in group.runs] for group in groups]
    right = answers.right
    metric = judged_by(counted)
    figures = right if metric == "accuracy" else f1_figures(answers, len(counted[0].classes))
    order = np.argsort([-figures[:, members].mean() for members in columns], kind="stable").tolist()
    groups, columns = [groups[i] for i in order], [columns[i] for i in order]
    judged = measure(figures, columns, answers.clusters)
    by_f1 = judged if metric == "F1" else None
    by_accuracy = measure(right, columns, answers.clusters)
    scores = score_groups(groups, columns, answers, by_accuracy, by_f1)
    families = [family._replace(metric=metric) for family in families_of(scores)]
    return Comparison(
        groups=groups,
        scores=scores,
        columns=columns,
        answers=answers,
        families=families,
        verdicts=judge(judged, families),
        figures=figures,
        shares=shares_right(answers, columns),
        notes=[
            *chosen.notes,
            *twice,
            *image_notes(answers),
            *cluster_notes(answers),
            *metric_notes(counted, metric),
            *constant_notes(groups, columns, answers),
            *effort_notes(scores, families),
            *code_notes(groups),
            *config_notes(counted),
        ],
    )


def judged_by(runs: Sequence[Run]) -> str:
    """F1 where all runs were chosen by it, and so for classes of other sizes; else accuracy."""
    return "F1" if {monitor_of(run) for run in runs} == {BY_F1} else "accuracy"


def monitor_of(run: Run) -> Any:
    return mapping(run.config.get("training")).get("monitor")


def f1_figures(answers: Answers, classes: int) -> np.ndarray:
    """(N, R)."""
    columns = [f1_of_images(answers.labels, said, classes) for said in answers.predictions.T]
    return np.stack(columns, axis=1)


def metric_notes(runs: Sequence[Run], metric: str) -> list[str]:
    if metric == "F1":
        return [f"all runs were chosen by {BY_F1}: they are judged by the mean F1 of the classes"]
    if BY_F1 in {monitor_of(run) for run in runs}:
        return [f"not all runs were chosen by {BY_F1}: they are judged by accuracy"]
    return []


def constant_notes(
    groups: Sequence[Group], columns: Sequence[Sequence[int]], answers: Answers
) -> list[str]:
    """Runs that have one answer for all images, which may look good where a class is common."""
    notes = []
    for group, members in zip(groups, columns, strict=True):
        said = answers.predictions[:, list(members)]
        alike = (said == said[0]).all(axis=0)
        if alike.any() and len(said) > 1:
            names = sorted({group.runs[0].classes[number] for number in said[0, alike]})
            runs = f"in {alike.sum()} of {len(members)} runs " if len(members) > 1 else ""
            notes.append(f"{group.label}: {runs}every image is taken for {' or '.join(names)}")
    return notes


def cluster_notes(answers: Answers) -> list[str]:
    if answers.clusters is None:
        return []
    return [
        f"the test images are{of_groups(answers.clusters)} that belong together, of one patient or "
        "scene, say: intervals count these, for their images are no independent evidence"
    ]


def image_notes(answers: Answers) -> list[str]:
    count, sizes = len(answers.labels), sorted(set(answers.tested.tolist()))
    if sizes == [count]:
        return []
    tested = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    learned = (
        f"; {answers.learned:,} are left out because a run has learned from them"
        if answers.learned
        else ""
    )
    return [
        f"compared on the {count:,} different test images that are common to all runs, "
        f"each of which was tested on {tested}{learned}"
    ]


def effort_notes(scores: Sequence[Score], families: Sequence[Family]) -> list[str]:
    """Groups that are judged against each other, of which one had 1.5 times as many epochs as
    another or more, or training images.
    """
    epochs = [float(np.mean([len(run.history) for run in s.group.runs])) for s in scores]
    images = [score.train_images for score in scores]
    notes = []
    for what, values in (("trained for {} epochs", epochs), ("trained on {} images", images)):
        for family in families:
            least, most = (f(family.members, key=values.__getitem__) for f in (min, max))
            if values[least] and values[most] >= 1.5 * values[least]:
                said = what.format(f"{values[least]:,.0f} to {values[most]:,.0f}")
                labels = f"{scores[least].group.label}, {scores[most].group.label}"
                notes.append(f"{said} ({labels}): a verdict is of networks and of effort")
    few = [s.group.label for s in scores if any(0 < run.steps < LAGGING for run in s.group.runs)]
    if few:
        notes.append(
            f"{named(few, scores)}: fewer than {LAGGING} steps of training: what is compared is "
            "how training begins, and batch norm's averages, where there are some, lag behind"
        )
    on = [s.group.label for s in scores if any(run.info.get("ancestors") for run in s.group.runs)]
    if 0 < len(on) < len(scores):
        notes.append(
            f"{named(on, scores)}: began with weights of other runs (init_from), whose epochs and "
            "training time are not counted here"
        )
    folds = [s.group.label for s in scores if any(_fold(run) for run in s.group.runs)]
    if 0 < len(folds) < len(scores):
        notes.append(
            f"{named(folds, scores)}: folds of a cross-validation, whose training and validation "
            "images are others: beside groups of seeds no comparison of like with like"
        )
    return notes


def named(labels: Sequence[str], all_of: Sequence[Any]) -> str:
    if len(labels) == len(all_of) > 1:
        return "all groups"
    return ", ".join(labels) if len(labels) <= 4 else f"{len(labels)} of {len(all_of)} groups"


def _fold(run: Run) -> bool:
    return (run.config.get("dataset") or {}).get("fold") is not None


def config_notes(runs: Sequence[Run]) -> list[str]:
    return [line for run in runs if (line := edited(run.folder, run.info))]


def code_notes(groups: Sequence[Group]) -> list[str]:
    """Groups whose seeds were not trained by the same code."""
    mixed = [group.label for group in groups if not one_code(group.runs)]
    if mixed:
        said = "not all of it was trained by the same state of the code; task=diff says which"
        return [f"{named(mixed, groups)}: {said}"]
    if not one_code([run for group in groups for run in group.runs]):
        return ["the groups were trained by other states of the code; task=diff says which"]
    return []
