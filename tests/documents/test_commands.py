"""Each command in the documents is one that cnnexp takes; what needs no download is run, too."""

import contextlib
import io
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cnnexp.__main__ import main
from cnnexp.config.arguments import names_sweep, parse
from cnnexp.config.compose import compose, user_folder
from cnnexp.config.sweep import check_sweep
from cnnexp.execution import checked
from cnnexp.sweeps.suite import read_suite

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if page.parent.name != "reference"]  # made when the site is
COMMAND = re.compile(r"^(?:\$ )?(?:python -m cnnexp|cnnexp)\b(.*)$", re.MULTILINE)
INLINE = re.compile(r"`python -m cnnexp\b([^`]*)`")
FENCED = re.compile(r"^```[a-z]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What a reader fills in.
FILLED = {
    "dataset.root=…": "dataset.root=photos",
    "suite.weights=…": "suite.weights=imagenet",
    "experiment=…": "experiment=cifar10_baseline",
    "tracking.uri=…": "tracking.uri=http://localhost:5000",
}


def found() -> dict[str, str]:
    """Command -> the page that has it, those that are shown with their error left out."""
    commands = {}
    for page in PAGES:
        text = page.read_text()
        lines = INLINE.findall(FENCED.sub("", text))
        for block in FENCED.findall(text):
            for line in COMMAND.finditer(block):
                if not re.match(r"\nerror:", block[line.end() :]):
                    lines.append(line[1])
        for line in lines:
            words = shlex.split(line, comments=True)
            commands[shlex.join(words)] = page.relative_to(ROOT).as_posix()
    return commands


def filled(command: str, world: Path) -> list[str]:
    runs = sorted(str(path.relative_to(world)) for path in world.glob("outputs/photos/*"))
    words = []
    others = itertools.cycle(runs)  # of two that are named the second is another one
    for word in shlex.split(command):
        word = FILLED.get(word, word)
        word = re.sub(r"resume=.*<run>", "resume=outputs/stopped/run", word)
        word = re.sub(r"(outputs/\w+/)?<run>", lambda _: next(others), word)
        word = word.replace("outputs/sweeps/<sweep>", ",".join(runs))
        word = re.sub(r"outputs/cifar10_\w+", runs[0], word)
        if word != "…":
            words.append(word)
    return words


COMMANDS = found()


def test_the_documents_have_commands() -> None:
    assert len(COMMANDS) > 50
    assert len(set(COMMANDS.values())) > 8
    assert len(SHOWN) >= 3
    suites = {f"suite={path.stem}" for path in (ROOT / "configs" / "suite").glob("*.yaml")}
    assert suites <= {word for command in COMMANDS for word in shlex.split(command)}


@pytest.mark.parametrize("command", COMMANDS)
def test_is_taken(command: str, here: Path) -> None:
    arguments = parse(filled(command, here))
    if arguments.help or arguments.completion or arguments.version:
        return
    words, folder = arguments.overrides, user_folder(arguments.config_dir)
    if any(word.startswith("suite=") for word in words):
        suite = read_suite(words, folder)
        assert suite.seeds == (0, 1, 2)
        assert len(suite.steps) >= 4
        return
    if arguments.multirun or names_sweep(words):
        check_sweep(words, folder)
        return
    composed = compose(words, folder)
    checked(composed.config, composed.overrides)


SHOWN = [
    (line[1], said)
    for page in PAGES
    for block in FENCED.findall(page.read_text())
    for line in COMMAND.finditer(block)
    for said in re.findall(r"\A\n(error:.*)", block[line.end() :])
]


@pytest.mark.parametrize(("command", "said"), SHOWN)
def test_an_error_is_as_shown(command: str, said: str, here: Path) -> None:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        assert main(shlex.split(command, comments=True)) == 2
    assert errors.getvalue().startswith(said.partition("…")[0])


# Downloads, a cluster, several GPUs, or a run that was interrupted: tests of their own have these.
ELSEWHERE = re.compile(
    r"experiment=[cv]|suite|sweep=|cifar10|cats_dogs|localhost|slurm|ddp|torchvision|resume|vgg16|"
    r"init_from|task=sync|…|layers?="
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if not ELSEWHERE.search(command)]
)
def test_runs(command: str, here: Path) -> None:
    words = filled(command, here)
    trains = not any(word.startswith(("task=", "--cfg", "--help")) for word in words)
    done = subprocess.run(
        [sys.executable, "-m", "cnnexp", *words, *(["debug=smoke"] if trains else [])],
        cwd=here, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
