"""Pairs of groups: which is better, by how much, and whether that can be told from chance."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cnnexp.comparison.groups import Group
from cnnexp.reporting.json_values import at
from cnnexp.reporting.statistics import LEVEL, Measured, differences, holm

MOST_GROUPS = 10  # whose pairs are all told; of more, those with the best
LARGE = 0.05  # a difference that one expects to be told
FEW = 3  # seeds, from which a variance is hardly known
NAMED = 3  # groups in one sentence
ONE_SEED = "one seed: others may differ"


class Family(NamedTuple):
    """Groups whose pairs are judged: all, or those with the same number of training images.

    name: "" for all. members: the best first. metric: that they are judged by, "accuracy" or "F1".
    """

    name: str
    members: list[int]
    metric: str = "accuracy"


@dataclass(frozen=True)
class Verdict:
    """Of the pair (first, second), numbers of groups; first has the higher figure, or as high.

    mean, low, high: first minus second, as shares, with the 95% interval. p: of no difference;
    corrected: Holm's, for all pairs of the comparison. low_of_images: of the interval that only
    other images could give, were all seeds alike. better: whether first is.
    """

    first: int
    second: int
    mean: float
    low: float
    high: float
    p: float
    corrected: float
    low_of_images: float

    @property
    def better(self) -> bool:
        return self.corrected < LEVEL


def judge(measured: Measured, families: Sequence[Family]) -> list[Verdict]:
    """A verdict for each pair in a family, by the first's place there, then the second's."""
    found = []
    alike = measured._replace(seed_variance=np.zeros_like(measured.seed_variance))
    for family in families:
        for place, first in enumerate(family.members[:-1]):
            others = family.members[place + 1 :]
            between = differences(measured, first, others, family.members)
            of_images = differences(alike, first, others, family.members).low
            found += [
                (first, other, *values)
                for other, *values in zip(others, *between, of_images, strict=True)
            ]
    corrected = holm(np.array([p for *_, p, _ in found]))
    return [
        Verdict(a, b, float(mean), float(low), float(high), float(p), float(c), float(of_images))
        for (a, b, mean, low, high, p, of_images), c in zip(found, corrected, strict=True)
    ]


def told(verdicts: Sequence[Verdict], families: Sequence[Family]) -> list[Verdict]:
    """All while the groups are few, else those of each family's best."""
    few = sum(len(family.members) for family in families) <= MOST_GROUPS
    best = {family.members[0] for family in families}
    return [v for v in verdicts if few or v.first in best]


def sentence(
    verdict: Verdict,
    groups: Sequence[Group],
    images: int,
    *,
    seeds: bool = True,
    metric: str = "accuracy",
    each: Sequence[Sequence[float]] = (),
) -> str:
    """seeds: say where there is one on a side. metric: of the family. each: of each group its runs'
    figures, () of one of another family.
    """
    first, second = groups[verdict.first], groups[verdict.second]
    size = f"{points(verdict.mean)} points{'' if metric == 'accuracy' else f' of {metric}'}"
    interval = f"{points(verdict.low, sign=False)} to {points(verdict.high, sign=False)}"
    if verdict.better:
        text = f"{called(first)} is better than {called(second)}: {size} (95% interval {interval})"
    else:
        # Its own interval may lie beside zero: then chance among so many pairs explains it.
        many, own = (" and so many pairs", " for this pair alone") if verdict.low > 0 else ("", "")
        text = (
            f"{first.label} and {second.label} are not distinguishable with "
            f"{evidence([first, second], images)}{many}: {size} ({interval}{own})"
            f"{far_apart(verdict, groups, each)}"
        )
    one = first.one_seed or second.one_seed
    return f"{text}; {ONE_SEED}" if seeds and one else text


def called(group: Group) -> str:
    """In a verdict: of one seed it is that run's, not its config's."""
    return f"one run of {group.label}" if group.one_seed else group.label


def far_apart(verdict: Verdict, groups: Sequence[Group], each: Sequence[Sequence[float]]) -> str:
    """Why a large difference tells so little: few images; runs of one group that lie half as far
    apart; or so few of them that nobody knows how far apart they lie. Of any difference: runs of a
    third group of the family, with which their variance is pooled, lie as far apart as half of the
    interval. Seeds are a reason only where images alone would tell.
    """
    if verdict.low_of_images <= 0:
        return ", for so few test images" if verdict.mean >= LARGE else ""
    everyone = {place: max(runs) - min(runs) for place, runs in enumerate(each) if len(runs) > 1}
    apart = {p: everyone[p] for p in (verdict.first, verdict.second) if p in everyone}
    widest = max(everyone, key=everyone.__getitem__, default=None)
    if widest is not None and widest not in apart and len(apart) == 2:
        own = max(apart.values())
        much = max(2 * own, (verdict.high - verdict.low) / 2)
        if everyone[widest] > much and verdict.mean > own:
            return (
                f", for all groups' seeds are pooled, and runs of {groups[widest].label} lie "
                f"{points(everyone[widest], sign=False)} points apart"
            )
    widest = max(apart, key=apart.__getitem__, default=None)
    if widest is None or verdict.mean < LARGE:
        return ""
    if apart[widest] < verdict.mean / 2:
        few = min(len(each[place]) for place in apart) <= FEW
        return ", for so few seeds hardly tell how far apart runs lie; more would" if few else ""
    size = points(apart[widest], sign=False)
    return f", for runs of {groups[widest].label} lie {size} points apart"


def evidence(groups: Sequence[Group], images: int) -> str:
    """`800 test images and 2 or 3 seeds`; one seed is said elsewhere. Folds are named as such."""
    counts = sorted({len(group.runs) for group in groups})
    folded = [at(run.config, "dataset", "fold") is not None for g in groups for run in g.runs]
    what = "folds" if all(folded) else "seeds or folds" if any(folded) else "seeds"
    seeds = f" and {' or '.join(map(str, counts))} {what}" if counts[0] > 1 else ""
    return f"{images:,} test images{seeds}"


def points(share: float, *, sign: bool = True) -> str:
    """Percentage points with one decimal, two where one would be 0.0."""
    digits = 1 if abs(share) >= 0.0005 or share == 0 else 2
    text = f"{100 * share:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("+-")


def conclusions(
    verdicts: Sequence[Verdict],
    groups: Sequence[Group],
    families: Sequence[Family],
    images: int,
) -> list[str]:
    """A sentence per family: whether there is a best group. images: of the test set."""
    found = []
    for family in families:
        own = [v for v in verdicts if v.first == family.members[0]]
        if own:
            found.append(_conclusion(own, groups, family, images))
    return found


def _conclusion(
    own: Sequence[Verdict], groups: Sequence[Group], family: Family, images: int
) -> str:
    """own: of the best group. Of one seed nothing is concluded without saying so."""
    text = _ranked(own, groups, family, images)
    members = [own[0].first, *(v.second for v in own)]
    return f"{text}; {ONE_SEED}" if any(groups[m].one_seed for m in members) else text


def _ranked(own: Sequence[Verdict], groups: Sequence[Group], family: Family, images: int) -> str:
    of, metric = f" {family.name}" if family.name else "", family.metric
    best = groups[own[0].first]
    members = [best, *(groups[v.second] for v in own)]
    beaten = [v for v in own if v.better]
    if len(beaten) == len(own):
        rest = "both others" if len(own) == 2 else f"all {len(own)} others"
        rest = called(groups[own[0].second]) if len(own) == 1 else rest
        return f"{called(best)} is the best of {len(own) + 1}{of}: better than {rest}"
    equal = [groups[v.second].label for v in own if not v.better]
    names = enumerated(equal)
    tied = [groups[v.second].label for v in own if v.mean == 0 and not v.better]
    if not beaten and tied:
        text = f"{enumerated([best.label, *tied])} have the same {metric}{of}"
        left = [label for label in equal if label not in tied]
        others = f"; with {images:,} test images they cannot be told from {enumerated(left)}"
        return text + (others if left else "")
    if not beaten:
        return (
            f"{best.label} has the highest {metric}{of}, but with {evidence(members, images)} it "
            f"cannot be told from {names}"
        )
    head = f"{best.label} has the highest {metric}{of}"
    if tied:
        equal = [label for label in equal if label not in tied]
        head = f"{enumerated([best.label, *tied])} have the highest {metric}{of}, and the same"
    names = f"{len(equal)} others" if len(equal) > NAMED else enumerated(equal)
    verb = "is" if len(equal) == 1 else "are"
    near = f" with {evidence(members, images)} {names} {verb} not distinguishable from it,"
    worse = f"{groups[beaten[0].second].label} is" if len(beaten) == 1 else f"{len(beaten)} are"
    return f"{head};{near if equal else ''} {worse} worse"


def enumerated(names: Sequence[str], most: int = NAMED) -> str:
    """a, b and c; of many the first."""
    parts = list(names[:most])
    if len(names) > most:
        parts.append(f"{len(names) - most} more")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def as_csv(verdicts: Sequence[Verdict], groups: Sequence[Group]) -> str:
    """A row per pair; differences are shares."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["first", "second", "difference", "low", "high", "p", "p_holm", "better"])
    for v in verdicts:
        numbers = (f"{value:.6g}" for value in (v.mean, v.low, v.high, v.p, v.corrected))
        labels = (groups[v.first].label, groups[v.second].label)
        writer.writerow([*labels, *numbers, str(v.better).lower()])
    return out.getvalue()
