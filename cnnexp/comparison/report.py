"""The page of a comparison: one HTML file in the look of a run's report."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnexp.comparison import provenance, table, verdicts
from cnnexp.comparison.comparison import Comparison
from cnnexp.comparison.curves import overlaid_curves
from cnnexp.comparison.data_size import accuracy_by_size
from cnnexp.comparison.flips import Flips, counted
from cnnexp.comparison.matrix import difference_matrix
from cnnexp.comparison.per_class import recall_per_class
from cnnexp.comparison.tradeoffs import tradeoffs
from cnnexp.comparison.verdicts import MOST_GROUPS, Verdict, called, points
from cnnexp.reporting.embedded_picture import embed
from cnnexp.reporting.page import told_apart
from cnnexp.reporting.picture import Picture, save_pictures
from cnnexp.reporting.run_report.template import write_page
from cnnexp.reporting.units import percent
from cnnexp.runs import now

PAGE = "comparison.html"
DECIDED = 8  # images that are named, per direction
MOST_KEYS = 40  # rows that are not folded away
SECTIONS = {
    "Differences": "differences",
    "Training images": "data_size",
    "Learning curves": "learning_curves",
    "Costs": "costs",
    "Classes": "recall_per_class",
    "Images that flip": "flips",
    "The same images": "side_by_side",
}


def write_comparison(
    comparison: Comparison,
    config: Mapping[str, Any],
    folder: Path,
    say: Callable[[str], None],
) -> Path:
    """Draw the pictures into <folder>/figures and write <folder>/comparison.html; its path.

    say: is told what could not be drawn, and of classes that have numbers. The file loads
    nothing and runs nothing.
    """
    reasons: list[str] = []
    with told_apart(comparison.classes, say):
        pictures = drawn(comparison)
        if gone := images_gone(comparison, config):
            reasons.append(gone)
        else:
            from cnnexp.comparison.same_images import image_pictures  # torch, from here on

            pictures |= image_pictures(comparison, config, reasons.append)
    for reason in reasons:
        say(reason)
    save_pictures(pictures, folder / "figures")
    path = folder / PAGE
    write_page(path, PAGE, contents(comparison, pictures, folder, reasons), Path(__file__).parent)
    return path


def images_gone(comparison: Comparison, config: Mapping[str, Any]) -> str:
    """Why no image can be shown, where that is plain before torch is imported; else ""."""
    root = (comparison.groups[0].runs[0].config.get("dataset") or {}).get("root")
    typed = any(str(line).lstrip("+").startswith("dataset.") for line in config["overrides"])
    if typed or not isinstance(root, str) or Path(root).expanduser().exists():
        return ""
    return f"no images are shown: {root} is not here; dataset.root=… says where they are now"


def drawn(comparison: Comparison) -> dict[str, Picture]:
    """What files alone say: by file name."""
    found = {
        f"differences_{number}" if family.name else "differences": difference_matrix(
            comparison.verdicts, comparison.groups, family
        )
        for number, family in enumerate(comparison.families, start=1)
        if len(family.members) > 1
    } | {
        "data_size": accuracy_by_size(comparison.scores),
        "learning_curves": overlaid_curves(comparison.groups),
        "costs": tradeoffs(comparison.scores) if comparison.verdicts else None,
        "recall_per_class": recall_per_class(
            comparison.scores, comparison.classes, comparison.answers.labels
        ),
    }
    return {name: picture for name, picture in found.items() if picture is not None}


def contents(
    comparison: Comparison, pictures: Mapping[str, Picture], folder: Path, reasons: Sequence[str]
) -> dict[str, Any]:
    """What the template fills in."""
    groups, images = comparison.groups, comparison.images
    told = verdicts.told(comparison.verdicts, comparison.families)
    runs = sum(len(group.runs) for group in groups)
    found = sections(pictures, folder)
    title = " and ".join(g.label for g in groups) if len(groups) < 3 else f"{len(groups)} groups"
    return {
        "title": title,
        "folder": folder.name,
        "facts_of": {
            "dataset": provenance.said(
                str((run.info.get("data") or {}).get("name") or "")
                for g in groups
                for run in g.runs
            ),
            "groups": str(len(groups)),
            "runs": str(runs),
            "test images": f"{images:,}",
            "training images": from_to(round(s.train_images) for s in comparison.scores),
            "epochs": from_to(len(run.history) for g in groups for run in g.runs),
            "classes": str(len(comparison.classes)),
            "written": now()[:16].replace("T", " "),
        },
        "conclusions": comparison.conclusions
        or [f"{groups[0].label}: {percent(comparison.scores[0].accuracy)} over {runs} seeds"],
        "verdicts": [verdict_row(v, comparison) for v in told],
        "most_verdicts": MOST_GROUPS,
        "metric": comparison.metric,
        "scale": scale(told),
        "pairs": len(comparison.verdicts),
        "one_seed": any(group.one_seed for group in groups),
        "notes": comparison.notes,
        "table": table.cells(comparison.scores),
        "sections": found,
        "headings": [h for h in SECTIONS if h in found or (h == "Images that flip" and told)],
        "flips": [flip_row(pair, comparison) for pair in comparison.flips()],
        "decided": decided(comparison),
        "reasons": reasons,
        "keys": provenance.key_table(groups),
        "most_keys": MOST_KEYS,
        "origins": provenance.origins(groups),
        "commands": {group.label: provenance.commands(group) for group in groups},
        "runs": provenance.run_table(groups, [score.each for score in comparison.scores]),
    }


def from_to(counts: Iterable[int]) -> str:
    """`200`, or `50 to 1,200` where they differ."""
    ends = sorted(set(counts))
    return f"{ends[0]:,}" if len(ends) == 1 else f"{ends[0]:,} to {ends[-1]:,}"


def verdict_row(verdict: Verdict, comparison: Comparison) -> dict[str, Any]:
    first, second = (comparison.groups[i] for i in (verdict.first, verdict.second))
    # Beside zero, and yet no verdict: chance among so many pairs explains it.
    alone = " for this pair alone" if verdict.low > 0 and not verdict.better else ""
    low, high = (points(end, sign=False) for end in (verdict.low, verdict.high))
    return {
        "first": called(first) if verdict.better else first.label,
        "second": called(second) if verdict.better else second.label,
        "better": verdict.better,
        "size": points(verdict.mean),
        "interval": f"{low} to {high}{alone}",
        # Spaces that no line ends at.
        "p": "<\u00a00.001" if verdict.corrected < 0.001 else f"=\u00a0{verdict.corrected:.3f}",
        "one_seed": first.one_seed or second.one_seed,
        "ends": (100 * verdict.low, 100 * verdict.mean, 100 * verdict.high),
    }


def scale(told: Sequence[Verdict]) -> dict[str, float]:
    """Of the bars: a little beyond the least and the greatest point, zero among them."""
    ends = [100 * value for v in told for value in (v.low, v.high)] or [0.0]
    low, high = min(0.0, *ends, -0.1), max(0.0, *ends, 0.1)
    beyond = 0.05 * (high - low)  # else the widest bar could not be told from the rail
    low, high = low - beyond, high + beyond
    return {"low": low, "range": high - low, "zero": -100 * low / (high - low)}


def flip_row(pair: Flips, comparison: Comparison) -> dict[str, Any]:
    ours, theirs = counted(pair)
    return {
        "first": comparison.groups[pair.first].label,
        "second": comparison.groups[pair.second].label,
        "first_alone": ours,
        "second_alone": theirs,
    }


def decided(comparison: Comparison) -> list[dict[str, str]]:
    """The most decided images of the first pair, both ways."""
    pairs = comparison.flips()[:1]
    rows = []
    for pair in pairs:
        first, second = (comparison.groups[i].label for i in (pair.first, pair.second))
        for right, wrong, places in (
            (first, second, pair.more_of_first),
            (second, first, pair.more_of_second),
        ):
            rows += [
                {
                    "path": comparison.answers.paths[place],
                    "true": comparison.classes[comparison.answers.labels[place]],
                    "right": right,
                    "wrong": wrong,
                }
                for place in places[:DECIDED].tolist()
            ]
    return rows


def sections(pictures: Mapping[str, Picture], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Heading -> groups of figures, as the run report's macro has them."""
    found: dict[str, list[dict[str, Any]]] = {}
    number = 0
    for heading, kind in SECTIONS.items():
        for stem in (stem for stem in pictures if re.fullmatch(rf"{kind}(_\d+)?", stem)):
            file = folder / "figures" / f"{stem}.png"
            embedded = embed(file)
            if embedded is None:
                continue
            number += 1
            figure = {
                "title": pictures[stem].title,
                "alt": pictures[stem].alt,
                "picture": embedded,
                "file": f"figures/{file.name}",
                "number": number,
            }
            group = {"reading": pictures[stem].reading, "figures": [figure]}
            found.setdefault(heading, []).append(group)
    return found
