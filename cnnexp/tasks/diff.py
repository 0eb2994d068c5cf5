"""task=diff: what differs between two runs, beside what came out. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnnexp.comparison.difference import (
    Section,
    code_section,
    config_section,
    data_section,
    environment_section,
    metric_differences,
    result_section,
)
from cnnexp.comparison.records import read_run
from cnnexp.comparison.selection import named_run
from cnnexp.comparison.table import shortened
from cnnexp.errors import InputError
from cnnexp.files import shown_path
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result

WIDTH = 120  # of a terminal's lines
KEY = 34  # characters of a fact's name, at most


def diff(config: Mapping[str, Any]) -> Result:
    """Differences of metrics are b minus a."""
    folders = [named_run(config[key], config, key) for key in ("a", "b")]
    if folders[0] == folders[1]:
        raise InputError(f"a, b: both are {shown_path(folders[0])}; name two runs")
    a, b = (read_run(folder, config) for folder in folders)
    sections = [
        result_section(a, b),
        config_section(a, b, config),
        code_section(a, b),
        data_section(a, b),
        environment_section(a, b),
    ]
    with Journal() as journal:
        for name, run in (("a", a), ("b", b)):
            journal.topic(name, f"{run.name}, seed {run.seed}: {shown_path(run.folder)}")
        for lines in sections:
            for line in section_lines(lines):
                journal.say(line)
        journal.say()
        if same := [text for each in sections[1:] for text in each.same]:
            journal.topic("the same", ", ".join(same))
        if not any(each.rows for each in sections[1:]):
            journal.topic("so", "config, code, data and environment are the same")
    return Result(metric_differences(a, b))


def section_lines(section: Section) -> Sequence[str]:
    """Three columns; a value that is too long loses its middle."""
    if not section.rows:
        return []
    keys = min(max(len(what) for what, _, _ in section.rows), KEY)
    most = (WIDTH - 10 - keys - 4) // 2
    left = min(max(len(a) for _, a, _ in section.rows), most)
    lines = [""]
    for number, (what, a, b) in enumerate(section.rows):
        topic = section.name if number == 0 else ""
        cells = (
            shortened(what, keys).ljust(keys),
            shortened(a, left).ljust(left),
            shortened(b, most),
        )
        lines.append(f"{topic:<9} {'  '.join(cells)}".rstrip())
    return lines
