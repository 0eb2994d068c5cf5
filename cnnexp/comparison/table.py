"""The table of a comparison: for a terminal, a spreadsheet, Markdown and LaTeX."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cnnexp.comparison.names import brief
from cnnexp.comparison.scores import Score
from cnnexp.reporting.units import duration, percent, short_count

WIDTH = 120  # of a terminal's lines
GAP = 2
SHORTEST = 30  # characters of a label that are shown before columns are


class Column(NamedTuple):
    """title: short. key: in the CSV. text: of a cell, for people; None: the CSV alone has it."""

    title: str
    key: str
    value: Callable[[Score], float | None]
    text: Callable[[float, Score], str] | None = None


def f1_text(value: float, score: Score) -> str:
    if score.f1_low is None or score.f1_high is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({score.f1_low:.3f} to {score.f1_high:.3f})"


COLUMNS = (
    Column("sd", "accuracy_sd", lambda s: s.deviation, lambda v, _: f"{100 * v:.2f}"),
    Column("F1", "f1", lambda s: s.f1, f1_text),
    Column("", "f1_low", lambda s: s.f1_low),
    Column("", "f1_high", lambda s: s.f1_high),
    Column("AUROC", "auroc", lambda s: s.auroc, lambda v, _: f"{v:.3f}"),
    Column("loss", "loss", lambda s: s.loss, lambda v, _: f"{v:.3f}"),
    Column(
        "best val.",
        "best_validation_accuracy",
        lambda s: s.best_validation,
        lambda v, _: percent(v),
    ),
    Column("params", "parameters", lambda s: s.parameters, lambda v, _: short_count(v)),
    Column("mult-adds", "multiply_adds", lambda s: s.multiply_adds, lambda v, _: short_count(v)),
    Column("training", "train_s", lambda s: s.train_s, lambda v, _: duration(v)),
    Column("images/s", "images_per_s", lambda s: s.images_per_s, lambda v, _: f"{v:,.0f}"),
)


def cells(scores: Sequence[Score]) -> list[list[str]]:
    """Rows of text, the titles first; columns that say nothing of any group are left out."""
    there = [
        (column, column.text)
        for column in COLUMNS
        if column.text is not None and any(column.value(score) is not None for score in scores)
    ]
    rows = [["group", "runs", "accuracy", "95% interval", *(c.title for c, _ in there)]]
    for score in scores:
        values = [(c.value(score), text) for c, text in there]
        rows.append(
            [
                score.group.label,
                str(len(score.group.runs)),
                percent(score.accuracy),
                f"{100 * score.low:.1f} to {100 * score.high:.1f}",
                *("" if value is None else text(value, score) for value, text in values),
            ]
        )
    return rows


def console_lines(scores: Sequence[Score]) -> list[str]:
    """Aligned, of at most WIDTH characters: labels give way, then the last columns."""
    rows = cells(scores)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    label = min(widths[0], SHORTEST)
    while label + sum(widths[1:]) + GAP * (len(widths) - 1) > WIDTH:
        widths.pop()
    room = WIDTH - sum(widths[1:]) - GAP * (len(widths) - 1)
    widths[0] = min(widths[0], room)
    titles, *labels = [row[0] for row in rows]
    if max(map(len, labels)) > widths[0]:
        labels = brief(labels)
        widths[0] = min(max(len(label) for label in (titles, *labels)), widths[0])
    lines = []
    for name, row in zip([titles, *labels], rows, strict=True):
        numbers = (cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=False))
        lines.append((" " * GAP).join([shortened(name, widths[0]).ljust(widths[0]), *numbers]))
    return lines


def shortened(text: str, length: int) -> str:
    """The middle goes: names differ at their ends."""
    if len(text) <= length:
        return text
    back = (length - 1) // 2
    return f"{text[: length - 1 - back]}…{text[len(text) - back :]}"


def as_csv(scores: Sequence[Score]) -> str:
    """Numbers as they were measured; accuracies as shares."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    keys = ["accuracy", "accuracy_low", "accuracy_high", *(c.key for c in COLUMNS)]
    writer.writerow(["group", "seeds", *keys, "accuracy_of_each_seed", "runs"])
    for score in scores:
        values = [score.accuracy, score.low, score.high, *(c.value(score) for c in COLUMNS)]
        writer.writerow(
            [
                score.group.label,
                " ".join(str(run.seed) for run in score.group.runs),
                *("" if value is None else f"{value:.8g}" for value in values),
                " ".join(f"{accuracy:.6g}" for accuracy in score.each),
                " ".join(run.folder.name for run in score.group.runs),
            ]
        )
    return out.getvalue()


def as_markdown(scores: Sequence[Score]) -> str:
    head, *rows = [[escaped_markdown(cell) for cell in row] for row in cells(scores)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def escaped_markdown(text: str) -> str:
    return "".join(f"\\{c}" if c in r"\`*_[]<>|" else c for c in " ".join(text.split()))


def as_latex(scores: Sequence[Score]) -> str:
    r"""A tabular for \usepackage{booktabs}."""
    head, *rows = [[escaped_latex(cell) for cell in row] for row in cells(scores)]
    lines = [" & ".join(row) + r" \\" for row in (head, *rows)]
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule",
            r"\end{tabular}", "",
        ]
    )  # fmt: skip


LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--", "−": "$-$",
    "…": r"\dots{}", "±": r"$\pm$",
}  # fmt: skip


def escaped_latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in " ".join(text.split()))
