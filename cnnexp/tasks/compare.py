"""task=compare: finished runs, in groups of seeds: who is better, by how much, how surely.

Torch is imported only for what needs networks, after the answer has been printed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnexp.comparison import flips, table, verdicts
from cnnexp.comparison.comparison import Comparison, compare_runs
from cnnexp.config.arguments import to_type
from cnnexp.files import shown_path, whole_file
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result, create_run_folder


def compare(config: Mapping[str, Any]) -> Result:
    """Nothing is written before the runs are known to be comparable."""
    with Journal() as journal:
        comparison = compare_runs(config)
        tell(comparison, journal)
        folder = create_run_folder(Path(config["paths"]["outputs"]), "comparisons")
        journal.open(folder)
        write_tables(comparison, folder)
        from cnnexp.comparison.report import write_comparison  # matplotlib, for pictures

        page = write_comparison(comparison, config, folder, lambda s: journal.topic("note", s))
        journal.say()
        for line in comparison.conclusions:
            journal.topic("in short", line)
        journal.topic(
            "saved", f"{shown_path(folder)}  (table.csv, table.md, table.tex, pairs.csv, flips.csv)"
        )
        journal.topic("report", f"{shown_path(page)}  (open it in a browser)")
        journal.topic("next", next_command(comparison))
    return Result(figures(comparison), folder)


def tell(comparison: Comparison, journal: Journal) -> None:
    """The answer: table, verdicts, flips."""
    groups, images = comparison.groups, comparison.images
    count = sum(len(group.runs) for group in groups)
    named = f"{len(groups)} groups" if len(groups) != 1 else "one group"
    journal.topic("compare", f"{count} runs in {named}, on {images:,} test images")
    for note in comparison.notes:
        journal.topic("note", note)
    journal.say()
    for line in table.console_lines(comparison.scores):
        journal.say(line)
    journal.say()
    told = verdicts.told(comparison.verdicts, comparison.families)
    each, metric = comparison.each, comparison.metric
    alone = bool(told) and all(groups[v.first].one_seed or groups[v.second].one_seed for v in told)
    for verdict in told:
        family = next(f.members for f in comparison.families if verdict.first in f.members)
        own = [runs if place in family else () for place, runs in enumerate(each)]
        text = verdicts.sentence(verdict, groups, images, seeds=not alone, metric=metric, each=own)
        journal.topic("verdict", text)
    if not told:
        journal.topic("verdict", "all runs are one group's: there is nothing to compare")
    if alone:
        journal.topic(
            "", "of each pair one side or both have one seed: others may differ; seed=0,1,2 says"
        )
    if len(told) < len(comparison.verdicts):
        journal.topic("", f"with the best; all {len(comparison.verdicts):,} pairs are in pairs.csv")
    for found in comparison.flips()[:1]:
        first, second = groups[found.first], groups[found.second]
        means = "" if first.one_seed and second.one_seed else " (means over pairs of seeds)"
        ours, theirs = flips.counted(found)
        journal.topic(
            "flips",
            f"{first.label} alone is right on {ours} images, {second.label} alone on {theirs}"
            f"{means}",
        )


def write_tables(comparison: Comparison, folder: Path) -> None:
    texts = {
        "table.csv": table.as_csv(comparison.scores),
        "table.md": table.as_markdown(comparison.scores),
        "table.tex": table.as_latex(comparison.scores),
        "pairs.csv": verdicts.as_csv(comparison.verdicts, comparison.groups),
        "flips.csv": flips.as_csv(
            comparison.answers, comparison.classes, comparison.groups, comparison.shares
        ),
    }
    for name, text in texts.items():
        with whole_file(folder / name, "wb") as file:
            file.write(text.encode("utf-8", "replace"))


def next_command(comparison: Comparison) -> str:
    """What sets the first family's first two apart, looked at closely."""
    pair = (comparison.families[0].members * 2)[:2]
    first, second = (comparison.groups[place].runs[0] for place in pair)
    if len(comparison.groups) == 1:
        second = comparison.groups[0].runs[-1]
    a, b = (shown_path(run.folder) for run in (first, second))
    return to_type("task=diff", f"a={a}", f"b={b}")


def figures(comparison: Comparison) -> dict[str, float]:
    """Accuracy of each group and of each pair the difference, by label."""
    groups = comparison.groups
    found = {"images": float(comparison.images), "groups": float(len(groups))}
    found |= {f"accuracy/{score.group.label}": score.accuracy for score in comparison.scores}
    for verdict in verdicts.told(comparison.verdicts, comparison.families):
        pair = f"{groups[verdict.first].label} - {groups[verdict.second].label}"
        found |= {f"difference/{pair}": verdict.mean, f"p/{pair}": verdict.corrected}
    return found
