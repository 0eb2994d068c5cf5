"""The page that --help prints, for somebody who sees cnnexp for the first time."""

import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path

from cnnexp.config.groups import config_folder, read_groups
from cnnexp.errors import InputError

INTRODUCTION = """\
cnnexp: experiments with convolutional networks on images. One command trains a network, tests it,
draws what it looks at and keeps the run, so that runs can be compared.

usage: python -m cnnexp [options] [group=option …] [key=value …]        (or: cnnexp …)
"""

FIRST = (
    "task",
    "experiment",
    "dataset",
    "model",
    "augmentation",
    "optimizer",
    "scheduler",
    "phases",
    "trainer",
)
LAST = ("visualization", "tracking", "sweep", "suite", "debug", "hydra/launcher")

# The groups' own lines: what choosing in them decides.
MEANING = {
    "task": "what the command does",
    "experiment": "a whole recipe; what you type beside it counts more",
    "dataset": "where the images come from",
    "model": "the network",
    "augmentation": "random changes to the training images",
    "optimizer": "how the weights are moved",
    "scheduler": "how the learning rate changes",
    "trainer": "how long, on what, how precisely",
    "phases": "which blocks train, for how long, at which rates",
    "visualization": "pictures of what the network sees; several: visualization=[gradcam]",
    "tracking": "where runs are kept",
    "sweep": "one run after the other; what you type with -m counts more",
    "suite": "with task=suite: experiments in order, several seeds each, compared at the end",
    "debug": "quick checks of any experiment",
    "hydra/launcher": "where a sweep's jobs run, other than here",
}

KEYS = (
    ("name", "of the experiment: its runs are in outputs/<name>/"),
    ("seed", "0, 1, …: the same seed gives the same run"),
    (
        "run, input, format",
        "a finished run's folder; images to classify; of its export: onnx, torch",
    ),
    ("runs", "several: task=compare says which is better, task=visualize shows what each sees"),
    ("a, b", "two runs, whose differences task=diff lists"),
    ("dataset.root", "folder or zip with your images"),
    ("dataset.image_size", "side in pixels that images are resized to"),
    ("dataset.batch_size", "images per step"),
    ("dataset.per_class", "use only so many training images of each class"),
    ("dataset.fold", "0 to 4: another fifth of training and validation images validates"),
    ("trainer.max_epochs", "times through the training images, in each phase"),
    ("model.name", "with model=torchvision and model=timm: which of theirs"),
    ("model.weights", "of trained networks: imagenet, a file, or null"),
    ("phases.<phase>.…", "trainable (blocks), epochs, optimizer, lr_scale, warmup, early_stopping"),
    ("init_from, resume", "another run's weights; an interrupted run goes on"),
    ("optimizer.lr", "learning rate"),
    ("training.…", "loss, label_smoothing, mixup, cutmix, ema, early_stopping, class_weights"),
    ("n_jobs", "jobs of a sweep at the same time on this machine"),
    ("search.trials", "of sweep=optuna: how many it tries"),
    ("paths.outputs", "where runs' folders are made"),
)

OPTIONS = (
    ("-h, --help", "this page"),
    ("--cfg job", "print the whole config instead of running; all keys are there"),
    ("-m", "a sweep: all combinations of comma-separated values; begun again, it goes on"),
    ("--config-dir DIR", "your own configs and Python files beside ours"),
    ("--completion bash", 'tab completion: eval "$(python -m cnnexp --completion bash)"'),
    ("--version", "the version"),
)

EXAMPLES = """\
examples:
  python -m cnnexp                                            handwritten digits, no download
  python -m cnnexp model=lenet5 trainer.max_epochs=5 seed=1   another network, shorter, another seed
  python -m cnnexp experiment=cifar10_baseline debug=smoke    try an experiment out in seconds
  python -m cnnexp dataset=image_folder dataset.root=photos   your images, one folder per class
  python -m cnnexp dataset=csv dataset.root=leaves            … or a table that tells the classes
  python -m cnnexp task=data dataset=image_folder dataset.root=photos augmentation=photo
  python -m cnnexp model=torchvision model.name=resnet50 phases=finetune   the head first, then more
  python -m cnnexp -m model=baseline,lenet5 seed=0,1,2        six runs
  python -m cnnexp sweep=optuna 'optimizer.lr=tag(log,interval(1e-4,1e-1))'  a search
  python -m cnnexp task=evaluate run=outputs/<name>/<run>     test a finished run again
  python -m cnnexp task=predict run=outputs/<name>/<run> input=cat.jpg
  python -m cnnexp task=visualize run=outputs/<name>/<run> input=cat.jpg  which part decided
  python -m cnnexp task=compare 'runs=[outputs/<name>,outputs/<other>]'  which is better, how surely
  python -m cnnexp task=export run=outputs/<name>/<run> format=onnx   for other programs

Results: outputs/<name>/<time>_<id>/, and `mlflow ui` compares runs. More: README.md.
"""


def help_page(config_dir: str | None = None) -> str:
    """config_dir: a folder of the user's own configs, listed with ours."""
    folders = [config_folder()]
    if config_dir is not None:
        folders.append(Path(config_dir).expanduser())
        if not folders[-1].is_dir():
            raise InputError(f"--config-dir {config_dir}: no such folder")
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 110)
    groups = read_groups(folders)
    rest = sorted(name for name in groups if name not in FIRST + LAST and "/" not in name)
    parts = [INTRODUCTION, "options:", *rows(OPTIONS, width), ""]
    for name in [*FIRST, *rest, *LAST]:
        if name in groups:
            meaning = MEANING.get(name, "")
            parts += [f"{name}={'  (' + meaning + ')' if meaning else ''}"]
            parts += [*rows(groups[name].items(), width), ""]
    parts += ["most used keys:", *rows(KEYS, width), "", EXAMPLES.rstrip()]
    return "\n".join(parts)


def rows(pairs: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Two columns, the second wrapped."""
    lines: list[str] = []
    for name, text in pairs:
        start = f"  {name:<20} "
        lines += textwrap.wrap(text, width, initial_indent=start, subsequent_indent=" " * 23) or [
            start
        ]
    return lines
