"""The last column of docs/reliability.md: what its tests tried, counted while they ran.

    make reliability        (or: python scripts/reliability_figures.py <JUnit XML of pytest> …)

Each row names its tests; the column has how many there were, and what they counted with pytest's
record_property. Nothing is written where one failed, or one that is named did not run.
"""

import argparse
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from cnnexp.files import whole_file

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+", help="pytest --junitxml=<this>")
    parser.add_argument("--page", type=Path, default=PAGE, help=argparse.SUPPRESS)
    given = parser.parse_args()
    cases = [case for path in given.results for case in ElementTree.parse(path).iter("testcase")]
    failed = [name(case) for case in cases if {"failure", "error"} & {one.tag for one in case}]
    if failed:
        parser.exit(1, f"{given.page} is left as it is: failed: {', '.join(failed)}\n")
    try:
        text = "\n".join(filled(line, cases) for line in given.page.read_text().split("\n"))
    except LookupError as error:
        parser.exit(1, f"{given.page} is left as it is: {error.args[0]}\n")
    with whole_file(given.page) as file:
        file.write(text)


def filled(line: str, cases: list[ElementTree.Element]) -> str:
    """A line of the page; one of the table with its figures."""
    cells = line.split(" | ")
    if not line.startswith("| ") or len(cells) != 3 or cells[0] == "| promise":
        return line
    of_row: dict[int, ElementTree.Element] = {}  # each once, though a row may name it twice
    for path in re.findall(r"`(tests/[\w/]+?)(?:\.py|/)`", cells[1]):
        module = path.replace("/", ".")
        found = [case for case in cases if f"{name(case)}.".startswith(f"{module}.")]
        if all(one.find("skipped") is not None for one in found):
            raise LookupError(f"nothing of {path} ran")
        of_row |= {id(case): case for case in found}
    return f"{cells[0]} | {cells[1]} | {figures(list(of_row.values()))} |"


def figures(cases: list[ElementTree.Element]) -> str:
    passed = [case for case in cases if case.find("skipped") is None]
    counts: Counter[str] = Counter()
    for case in passed:
        for counted in case.iter("property"):
            counts[counted.get("name", "")] += int(counted.get("value", 0))
    said = [f"{len(passed)} tests" if len(passed) > 1 else "1 test"]
    said += [f"{count:,} {what}" for what, count in counts.items()]
    if len(passed) < len(cases):
        said.append(f"{len(cases) - len(passed)} skipped")
    return "; ".join(said)


def name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}"


if __name__ == "__main__":
    main()
