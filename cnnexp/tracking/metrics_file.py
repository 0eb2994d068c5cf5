"""metrics.csv in a run's folder: step, epoch, metric, value, in the order they were logged."""

import csv
from pathlib import Path

from cnnexp.errors import InputError
from cnnexp.files import shown_path

NAME = "metrics.csv"
HEADER = ("step", "epoch", "metric", "value")
FIRST = (",".join(HEADER) + "\n").encode()


def check_metrics(folder: Path, keep: int | None) -> None:
    """keep: how long the file was when the checkpoint was saved from which its run goes on.

    Raises InputError where it is another file now: what the run had logged cannot be had again.
    """
    if not keep:
        return
    path = folder / NAME
    content = path.read_bytes()[:keep] if path.is_file() else b""
    if len(content) < keep or not content.startswith(FIRST) or not content.endswith(b"\n"):
        found = "another one" if content else "gone"
        raise InputError(
            f"resume={shown_path(folder)}: its {NAME} is {found}; put back the one that the run "
            "had written, or begin the run anew"
        )


def prepare(path: Path, keep: int | None) -> None:
    """A header where there is none. What is beyond `keep` goes, and a line torn by a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(0)
        content = file.read(-1 if keep is None else keep)
        file.seek(0, 2)
        whole = content.rfind(b"\n") + 1
        if whole != file.tell():
            file.truncate(whole)
        if not whole:
            file.write(FIRST)


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Its rows; their step, epoch and value are numbers. Raises InputError."""
    path = folder / NAME
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            int(row["step"]), float(row["epoch"]), float(row["value"]), row["metric"]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, csv.Error):
        raise InputError(f"{path} is damaged: no table of {', '.join(HEADER)}") from None
    return rows
