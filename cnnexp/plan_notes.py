"""What of a run's plan its person may not have meant: lines, said before it trains."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from cnnexp.config.compose import read_option
from cnnexp.plan import is_identity
from cnnexp.training.phases import Phase, weighted_blocks

Config = Mapping[str, Any]


def plan_notes(config: Config, network: nn.Sequential, phases: Sequence[Phase]) -> Iterator[str]:
    """In the order in which they are said."""
    found = (
        frozen_as_drawn(config, network, phases),
        after_all(config),
        rate_of_another(config),
        views_of_none(config),
        *(never_early(phase) for phase in phases),
    )
    return (line for line in found if line)


def frozen_as_drawn(config: Config, network: nn.Sequential, phases: Sequence[Phase]) -> str:
    """A line where blocks that nobody has trained are frozen, else ""."""
    trained = config["init_from"] is not None or config["model"].get("weights") is not None
    frozen = [n for n in weighted_blocks(network) if n not in phases[0].trainable]
    if trained or not frozen or config["resume"] is not None:
        return ""
    are = "is" if len(frozen) == 1 else "are"
    return (
        f"{', '.join(frozen)} {are} frozen with the weights that were drawn, which know nothing; "
        f"{'model.weights or ' if 'weights' in config['model'] else ''}init_from gives trained ones"
    )


def after_all(config: Config) -> str:
    """A line where phases come after the one that phases=whole brings, else ""."""
    first, *others = config["phases"].items()
    if not others or first[0] != "train" or first[1]["trainable"] != "all":
        return ""
    return (
        f"phase train, which trains all blocks, is that of phases=whole; for {others[0][0]} "
        "without it: a file phases/<name>.yaml of your own, and phases=<name>"
    )


def views_of_none(config: Config) -> str:
    """A line where forms are asked for and nothing is there to draw them, else ""."""
    views = config["training"]["views"]
    if not views or views == 1 or not is_identity(config["augmentation"]):
        return ""
    return f"training.views={views}: without an augmentation all forms of an image are the same one"


def rate_of_another(config: Config) -> str:
    """A line where an optimizer was typed and its rate is one that a config, such as the
    experiment's, chose for another, else "".
    """
    typed = dict(line.lstrip("+").partition("=")[::2] for line in config["overrides"])
    chosen, rate = typed.get("optimizer"), config["optimizer"]["lr"]
    if chosen is None or "optimizer.lr" in typed or config["resume"] is not None:
        return ""
    try:
        own = float(read_option("optimizer", chosen)["lr"])
    except (LookupError, TypeError, ValueError):
        return ""  # not here any more, or its rate is no plain number
    if own == rate:
        return ""
    return (
        f"{chosen} trains at {rate:g}, which was chosen for another optimizer; "
        f"its own rate is optimizer.lr={own:g}"
    )


def never_early(phase: Phase) -> str:
    """A line where early stopping waits for longer than the phase trains, else ""."""
    waits = phase.early_stopping
    if waits is None or waits + 1 < phase.epochs:
        return ""
    epochs = "1 epoch" if phase.epochs == 1 else f"{phase.epochs} epochs"
    return f"early_stopping={waits} ends nothing: {phase.name} has {epochs}"
