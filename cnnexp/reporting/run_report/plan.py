"""The tables of a run's report: its phases, and the layers of its network."""

from collections.abc import Mapping
from typing import Any

from cnnexp.config.loss_options import loss_options, own_loss
from cnnexp.config.overlay import laid_over
from cnnexp.reporting.json_values import at, mapping, number
from cnnexp.reporting.run_report.run_files import RunFiles
from cnnexp.reporting.run_report.words import target
from cnnexp.reporting.units import duration


def plan(run: RunFiles) -> dict[str, Any] | None:
    """A row per phase: those of the config, and those that run.json knows besides."""
    planned, records = mapping(run.config.get("phases")), mapping(run.info.get("phases"))
    names = [*planned, *(name for name in records if name not in planned)]
    blocks: dict[str, int] = {}
    for row in run.anatomy:
        block, count = row.get("layer", "").partition(".")[0], row.get("parameters", "")
        blocks[block] = blocks.get(block, 0) + (int(count) if count.isdigit() else 0)
    rows = [
        _phase(run, name, mapping(planned.get(name)), records.get(name), blocks) for name in names
    ]
    if not rows:
        return None
    training = mapping(run.config.get("training"))
    name = own_loss(training) or str(training.get("loss") or "")
    options = [option for option in loss_options(training) if not option.startswith("loss=")]
    said = {
        "batches of": at(run.config, "dataset", "batch_size"),
        "augmentation": target(run.config.get("augmentation")),
        "loss": ", ".join(filter(None, [name, *options])),
        "schedule": ", then ".join(schedules(run.config)),
        "best epoch by": training.get("monitor"),
    }
    return {
        "rows": rows,
        "said": {key: str(value) for key, value in said.items() if value not in (None, "")},
        "frozen": any(row["frozen"] for row in rows),
        "proven": any(row["frozen"] == "verified" for row in rows),
    }


def schedules(config: Mapping[str, Any]) -> list[str]:
    """Of the phases, each where it is another than that before it."""
    phases = mapping(config.get("phases")) or {"": {}}
    own = mapping(config.get("scheduler"))
    names = [target(laid_over(own, mapping(at(one, "scheduler")))) for one in phases.values()]
    return [name for name, before in zip(names, ["", *names], strict=False) if name != before]


def _phase(
    run: RunFiles, name: str, planned: Mapping[str, Any], record: Any, blocks: Mapping[str, int]
) -> dict[str, str]:
    tested, frozen = at(record, "test"), mapping(at(record, "frozen"))
    epochs = at(run.config, "trainer", "max_epochs") or planned.get("epochs")
    heavy = [block for block, count in blocks.items() if count]
    own = [block for block in heavy if block not in frozen]
    if record is None or not heavy:
        trains, parameters = _wanted(planned.get("trainable")), ""
    else:
        trains = "all" if own == heavy else ", ".join(own)
        parameters = f"{sum(blocks[b] for b in own):,} of {sum(blocks.values()):,}"
    optimizer = laid_over(mapping(run.config.get("optimizer")), mapping(planned.get("optimizer")))
    rate, scale = optimizer.get("lr"), planned.get("lr_scale")
    scale = _wanted(scale) if isinstance(scale, Mapping) else scale
    times = f" × {scale}" if scale not in (None, 1, "") else ""
    held = [block for block in heavy if block in frozen]
    accuracy, loss = number(at(tested, "test/accuracy")), number(at(tested, "test/loss"))
    spent = number(at(record, "train_s"))
    return {
        "name": name,
        "trains": trains,
        "parameters": parameters,
        "epochs": _epochs(run, name, epochs) if record is not None else "not begun",
        "best": str(at(record, "best_epoch") or ""),
        "rate": f"{target(optimizer)} at {rate}{times}" if rate is not None else target(optimizer),
        "time": "" if spent is None else duration(spent),
        "accuracy": "" if accuracy is None else f"{accuracy:.4f}",
        "loss": "" if loss is None else f"{loss:.4f}",
        # The run checks it before it tests, and fails where a hash has changed.
        "frozen": "" if record is None else "" if not held else "verified" if tested else "not yet",
    }


def _epochs(run: RunFiles, name: str, planned: Any) -> str:
    """`5 to 8`, counted over the phases; what is missing of what was planned, said."""
    rows = run.history.get(name, [])
    ran, ends = len(rows), [str(row.get("epoch", "?")) for row in (*rows[:1], *rows[1:][-1:])]
    said = " to ".join(ends) or "none"
    return said if not planned or ran == planned else f"{said} ({ran} of {planned})"


def _wanted(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"the last {value}"
    return "" if value is None else str(value)


def anatomy(run: RunFiles) -> dict[str, Any] | None:
    if not run.anatomy:
        return None
    columns = list(run.anatomy[0])
    counts = ("size", "parameters", "multiply-adds")

    def cell(row: Mapping[str, str], column: str) -> str:
        value = row.get(column) or ""
        return f"{int(value):,}" if column in counts and value.isdigit() else value

    def total(column: str) -> str:
        values = [row.get(column) or "" for row in run.anatomy]
        return f"{sum(int(v) for v in values if v.isdigit()):,}"

    return {
        "columns": columns,
        "rows": [[cell(row, column) for column in columns] for row in run.anatomy],
        "totals": {c: total(c) for c in counts[1:] if c in columns},
    }
