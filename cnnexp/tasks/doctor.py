"""task=doctor: whether a run with this config would work here; each finding with what mends it.

Nothing is written, made or downloaded. What imports torch is imported where it is used: a broken
torch is a finding, too.
"""

import functools
import inspect
import os
import shlex
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnexp.config.arguments import to_type
from cnnexp.config.instantiate import resolve
from cnnexp.doctor import machine, places, software
from cnnexp.doctor.cluster import slurm
from cnnexp.doctor.finding import Finding, note, ok, problem
from cnnexp.errors import InputError
from cnnexp.files import shown_path
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result
from cnnexp.tracking import store as tracking_store
from cnnexp.tracking.environment import mask

if TYPE_CHECKING:
    from cnnexp.datasets.source import Source

Config = Mapping[str, Any]
Findings = Finding | Iterable[Finding]
STYLE = {"ok": None, "note": "yellow", "problem": "bold red"}
ONLINE_S = 3  # to wait for a server that a download would come from


def doctor(config: Config) -> Result:
    """Exit code 1 where there is a problem."""
    counts: Counter[str] = Counter()
    with Journal() as journal:
        for name, look in looks(config).items():
            for finding in looked(look):
                counts[finding.state] += 1
                line = f"{name:<9} {finding.state:<7} {finding}"
                journal.say(line, style=STYLE[finding.state])
        journal.say()
        journal.topic("so", summary(counts))
    problems, notes = counts["problem"], counts["note"]
    figures = {"problems": float(problems), "notes": float(notes)}
    return Result(figures, exit_code=1 if problems else 0)


def looks(config: Config) -> dict[str, Callable[[], Findings]]:
    """What is looked at, in this order."""
    env, accelerator = os.environ, config["trainer"]["accelerator"]
    outputs = Path(config["paths"]["outputs"])
    cache = Path(config["paths"]["cache"])
    written = {"paths.outputs": outputs, "paths.cache": cache}
    find = functools.cache(lambda: images_here(config))  # reading an archive takes seconds
    in_container = places.container_kind(env) is not None
    return {
        "python": software.python,
        "packages": software.packages,
        "torch": software.torch,
        "gpu": lambda: machine.gpu(accelerator, env),
        "precision": lambda: machine.precision(config["trainer"]["precision"], accelerator),
        "cpu": lambda: machine.cpu(threads(), env),
        "memory": machine.memory,
        "shm": machine.shared_memory,
        "outputs": lambda: places.folder(outputs, "paths.outputs"),
        "cache": lambda: places.folder(cache, "paths.cache"),
        "runs": lambda: places.runs(outputs),
        "data": lambda: data(config, find),
        "network": lambda: network(config, find),
        "store": lambda: store(config),
        "slurm": lambda: slurm(env, in_container=in_container),
        "container": lambda: places.container(written, env),
    }


def looked(look: Callable[[], Findings]) -> list[Finding]:
    """A look that fails is a finding itself: the others are told all the same."""
    try:
        found = look()
    except InputError as error:
        return [problem(str(error))]
    except Exception as error:
        return [problem(f"cannot be looked at: {type(error).__name__}: {error}")]
    return [found] if isinstance(found, Finding) else list(found)


def summary(counts: Mapping[str, int]) -> str:
    words = [
        f"{counts[state]} {state}{'s' * (counts[state] > 1)}"
        for state in ("problem", "note")
        if counts[state]
    ]
    return ", ".join(words) or "a run should work here"


def threads() -> int:
    import torch

    return torch.get_num_threads()


def images_here(config: Config) -> "Source":
    from cnnexp.sources import find_images

    return find_images(config, download=False)


def data(config: Config, find: Callable[[], "Source"]) -> Finding:
    options = config["dataset"]
    function = resolve(options["_target_"])
    try:
        source = find()
    except InputError as error:
        downloads = "download" in inspect.signature(function).parameters
        if not downloads or options.get("root") is not None or not options.get("download", True):
            return problem(str(error))
        # By convention a dataset that downloads says in its module from where.
        url = getattr(sys.modules[function.__module__], "URL", None)
        return missing(f"{function.__name__} is not here yet", url, config)
    return ok(f"{source.name}: {len(source.paths):,} images, {len(source.classes)} classes")


def network(config: Config, find: Callable[[], "Source"]) -> Finding:
    """Built as for a run, trained weights and all."""
    from cnnexp.experiment import build_network
    from cnnexp.models.weights import NotHere, local_only

    try:
        classes = len(find().classes)
    except InputError:
        classes = 2 if config["training"]["loss"] == "bce" else 10
    try:
        with local_only():
            built = build_network(config, classes)
    except NotHere as error:
        return missing(str(error), error.url, config)
    parameters = sum(parameter.numel() for parameter in built.parameters())
    weights = config["model"].get("weights")
    trained = f", weights {weights} at hand" if weights else ""
    return ok(f"{parameters:,} parameters{trained}")


def missing(what: str, url: str | None, config: Config) -> Finding:
    """A run would download it: nothing wrong with that where there is a way to the server."""
    typed = [shlex.quote(line) for line in config["overrides"] if line.lstrip("+") != "task=doctor"]
    fetch = " ".join(["python scripts/prefetch.py", *typed])
    if url is not None and online(url):
        return note(f"{what}: a run will download it", f"beforehand: {fetch}")
    return problem(f"{what}, and cannot be downloaded", f"on a machine with internet: {fetch}")


def online(url: str) -> bool:
    """Whether a server answers there, be it with an error of its own."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=ONLINE_S):
            return True
    except urllib.error.HTTPError as answer:
        answer.close()
        return True
    except OSError:
        return False


def store(config: Config) -> Finding:
    uri = config["tracking"].get("uri")
    if uri is None:
        return ok("none (tracking=none): runs are kept in their folders alone")
    uri = tracking_store.absolute_uri(uri)
    path = tracking_store.database(uri)
    if path is None:
        try:
            tracking_store.reach(uri)
        except tracking_store.UnreachableError as error:
            if config["tracking"].get("if_unreachable") != "keep":
                raise
            kept = f"{error.reason}: runs are kept in their folders"
            runs = shown_path(Path(config["paths"]["outputs"]) / config["name"])
            words = ("task=sync", f"runs=[{runs}]", f"tracking.uri={mask(uri)}")
            return note(kept, f"afterwards: {to_type(*words)}")
        return ok(f"{mask(uri)} answers")
    if not path.exists():
        place = places.folder(path.parent, "tracking.uri")
        made = f"{path}: made by the first run"
        return ok(made) if place.state != "problem" else place
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        fix = "tracking.uri=sqlite:////a/writable/folder/mlflow.db, or tracking=none"
        return problem(f"{path}: not writable", fix)
    tracking_store.check(path, uri)
    return ok(f"{path}")
