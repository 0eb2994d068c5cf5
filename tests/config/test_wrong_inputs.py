"""Wrong inputs: exit code 2, one line that says what and what to do, nothing written."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RUN = "0123456789abcdef" * 2  # looks like an MLflow id

# What is typed, and the parts that the answer must have: the key, and what to do.
WRONG: dict[str, tuple[str, list[str]]] = {
    "misspelt group": ("modle=lenet5", ["modle=lenet5", "did you mean 'model'?"]),
    "more processes than images": (
        "trainer.devices=99", ["trainer.devices=99", "dataset.batch_size=64", "use 32 at most"],
    ),
    "an empty list for a group": ("visualization=[]", ["visualization: is missing", "give it"]),
    "too long a name": (f"name={'x' * 300}", ["name=xxx", "100 characters at most"]),
    "misspelt option": ("model=lenet6", ["model=lenet6", "did you mean 'lenet5'?", "baseline"]),
    "epochs beside debug": (
        "debug=smoke phases=frozen phases.head.epochs=3",
        ["phases.head.epochs=3: trainer.max_epochs=1 (debug=smoke) stands for all phases"],
    ),
    "option as a path": ("dataset=my/digits", ["dataset=my/digits: no such option", "cifar10"]),
    "misspelt experiment": ("+experiment=quikstart", ["experiment=quikstart", "'quickstart'"]),
    "another group's key": ("training.epochs=2", ["training.epochs=2", "'trainer.max_epochs'?"]),
    "in capitals": ("optimizer=SGD", ["optimizer=SGD", "did you mean 'sgd'?"]),
    "another optimizer's word": ("optimizer.learning_rate=1", ["did you mean 'optimizer.lr'?"]),
    "option of another kind": ("model=3", ["model=3", "no such option", "baseline"]),
    "list of numbers for options": ("optimizer=[1,2]", ["optimizer=[1,2]", "allowed: adam"]),
    "list for a mapping": ("dataset.split=[60,20,20]", ["dataset.split=[60,20,20]", "a mapping"]),
    "mapping for a list": ("'model.dense={a: 1}'", ["model.dense={a: 1}", "must be a list"]),
    "misspelt key": ("optimizer.lrr=1", ["optimizer.lrr=1", "'lr'", "betas"]),
    "key of an option that has none": (
        "augmentation.flip=0.5", ["augmentation.flip=0.5", "none; another augmentation may have"],
    ),
    "a file without its key": (__file__, [f"mean 'input={__file__}'?"]),
    "misspelt key, added": ("+optimizer.lrr=3", ["optimizer.lrr=3", "'lr'"]),
    "misspelt key, forced": ("++optimizer.lrr=3", ["optimizer.lrr=3", "'lr'"]),
    "misspelt group of a key": ("optimizr.lr=0.1", ["optimizr.lr=0.1", "mean 'optimizer'?"]),
    "jobs beside each other without jobs": ("n_jobs=2", ["n_jobs=2: is for several runs: add -m"]),
    "trials without a search": ("search.trials=3", ["search.trials=3", "add -m, or sweep=optuna"]),
    "key without its group": ("lr=0.1", ["lr=0.1", "'optimizer.lr'"]),
    "argument of another optimizer": (
        "optimizer=adamw +optimizer.momentum=0.9", ["optimizer.momentum=0.9", "unknown key"],
    ),
    "model's misspelt key": ("model.kernel_sise=5", ["model.kernel_sise=5", "'kernel_size'"]),
    "picture's misspelt key": ("visualization.gradcam.imagess=2", ["gradcam.imagess", "'images'"]),
    "key that the program fills in": ("+model.outputs=3", ["model.outputs=3", "take it out"]),
    "compiled steps that overwrite each other": (
        "training.compile=reduce-overhead trainer.accumulate_grad_batches=2",
        ["training.compile=reduce-overhead", "accumulate_grad_batches=2", "use default"],
    ),
    "negative size": ("model.kernel_size=-3", ["model.kernel_size=-3", "greater than 0"]),
    "one pixel": ("dataset.image_size=1", ["dataset.image_size=1", "an integer of at least 2"]),
    "one wrong item of a list": ("model.widths=[[32,-1]]", ["model.widths[0][1]=-1", "an integer"]),
    "wrong choice": ("training.loss=crossentropy", ["loss=crossentropy", "'cross_entropy'"]),
    "wrong choice in a signature": ("model.norm=bach", ["model.norm=bach", "mean 'batch'?"]),
    "text for a number": ("seed=one", ["seed=one", "must be an integer"]),
    "quoted number": ("'seed=\"3\"'", ['seed="3"', "must be an integer"]),
    "true for a number": ("seed=true", ["seed=true", "must be an integer"]),
    "half an epoch": ("trainer.max_epochs=1.5", ["trainer.max_epochs=1.5", "must be an integer"]),
    "no epoch": ("trainer.max_epochs=0", ["trainer.max_epochs=0", "greater than 0"]),
    "negative rate": ("optimizer.lr=-0.1", ["optimizer.lr=-0.1", "greater than 0"]),
    "infinite rate": ("optimizer.lr=.inf", ["optimizer.lr", "a number greater than 0"]),
    "dropping everything": ("model.dropout=1", ["model.dropout=1", "less than 1"]),
    "one beta": ("optimizer.betas=[0.9]", ["optimizer.betas=[0.9]", "a list of 2"]),
    "fractions above one": ("dataset.split.train=0.9", ["dataset.split", "to 1.3", "at most 1"]),
    "fractions and counts": ("dataset.split.train=30", ["dataset.split", "three fractions"]),
    "no such fold": ("dataset.fold=5", ["dataset.fold=5", "there are 0 to 4"]),
    "no split": ("dataset.split=null", ["must be a mapping, with a value for t"]),
    "a part of a split": ("~dataset.split.test", ["test: is missing", "validation, te"]),
    "braces that a shell took apart": (
        "dataset.split=train:50", ["dataset.split=train:50", "quote it: 'dataset.split={…}'"],
    ),
    "no test images": ("dataset.split.test=0", ["dataset.split.test=0", "greater than 0"]),
    "combination": ("optimizer=sgd optimizer.momentum=0", ["nesterov=true", "optimizer.momentum"]),
    "name that is a path": ("name=../elsewhere", ["name=../elsewhere", "folder"]),
    "half precision on a CPU": (
        "trainer.precision=16-mixed trainer.accelerator=cpu", ["precision=16-mixed", "bf16-mixed"],
    ),
    "target that is no target": (
        "model._target_=os.system", ["model._target_=os.system", "allowed: cnnexp.models.*, "],
    ),
    "target of another group": (
        "model._target_=torch.optim.SGD", ["model._target_=torch.optim.SGD", "cnnexp.models.*"],
    ),
    "private target": (
        "model._target_=cnnexp.models.baseline._stage", ["model._target_", "begins with _"],
    ),
    "Lightning's option that breaks runs": (
        "trainer.fast_dev_run=true", ["trainer.fast_dev_run=true", "unknown key", "max_epochs"],
    ),
    "validation now and then": (
        "trainer.check_val_every_n_epoch=2", ["check_val_every_n_epoch=2", "unknown key"],
    ),
    "half deterministic": ("trainer.deterministic=warn", ["deterministic=warn", "true or false"]),
    "time without days": ("'trainer.max_time=10m'", ["trainer.max_time=10m", "00:01:30:00"]),
    "one end of a range": (
        "augmentation=photo augmentation.scale=[0.4]", ["augmentation.scale=[0.4]", "a list of 2"],
    ),
    "range from high to low": (
        "augmentation=photo augmentation.ratio=[2,0.5]", ["ratio=[2, 0.5]", "ascending"],
    ),
    "crops larger than the image": (
        "augmentation=photo augmentation.scale=[0.4,1.5]", ["scale[1]=1.5", "of at most 1"],
    ),
    "images without a size": ("~dataset.image_size", ["dataset.image_size: is missing"]),
    "a value that is empty": ("resume=", ["resume=: is empty", "null"]),
    "capitals": ("optimizer=adamW", ["optimizer=adamW", "did you mean 'adamw'"]),
    "a flag with a value": ("--multirun=3", ["--multirun=3: --multirun takes no value"]),
    "name with a comma": ("name=a,b", ["name=a,b", "letters, digits"]),
    "name with a bracket": ("'name=a (b)'", ["name=a (b)", "letters, digits"]),
    "misspelt target": (
        "model._target_=cnnexp.models.baseline.baselin", ["model._target_", "'baseline'"],
    ),
    "left out": ("~model", ["model: is missing", "~model"]),
    "rate left out": ("~optimizer.lr", ["optimizer.lr: is missing"]),
    "devices left out": ("~trainer.devices", ["trainer.devices: is missing"]),
    "phase's optimizer without a rate": (
        "'phases.train.optimizer={_target_: torch.optim.SGD}'",
        ["phases.train.optimizer.lr: is missing"],
    ),
    "bad interpolation": ("'name=${nmae}'", ["name", "'nmae' not found"]),
    "unset variable": ("'name=${oc.env:CNNEXP_NO_SUCH}'", ["name", "CNNEXP_NO_SUCH"]),
    "must be given": ("name=???", ["name: must be given", "name=…"]),
    "sweep without -m": ("seed=0,1", ["seed=0,1", "add -m", "[0,1]"]),
    "sweep that goes down": ("seed=10,0", ["seed=10,0", "add -m", "[10,0]"]),
    "sweep over a group without -m": ("model=lenet5,baseline", ["several values", "add -m\n"]),
    "several pictures without brackets": (
        "visualization=gradcam,kernels", ["visualization=[gradcam,kernels]"],
    ),
    "spaces around a group's": (
        "experiment = debug", ["experiment: has no value", "'experiment=…', without spaces"],
    ),
    "spaces around the sign": ("seed = 3", ["seed: has no value", "'seed=…', without spaces"]),
    "a space after the sign": ("optimizer.lr= 0.01", ["0.01: stands alone", "without a space"]),
    "decimal comma": ("optimizer.lr=0,01", ["optimizer.lr=0,01", "a point: optimizer.lr=0.01"]),
    "underscore for a dot": ("dataset_root=x", ["dataset_root=x", "did you mean 'dataset.root'?"]),
    "range without -m": ("'seed=range(0,3)'", ["seed=range(0,3)", "add -m"]),
    "half a list": ("seed=[1", ["seed=[1", "the bracket is not closed"]),
    "no such function": (
        "optimizer.lr=tag(log,intervall(1e-4,1e-1))",
        ["no such function: intervall", "did you mean 'interval'?"],
    ),
    "a value that stands apart": (
        "optimizer.lr 3e-4", ["optimizer.lr: has no value", "'optimizer.lr=…'"],
    ),
    "no value": ("seed", ["seed: has no value", "key=value"]),
    "option without its group": ("lenet5", ["lenet5", "'model=lenet5'"]),
    "unknown option": ("--mutlirun", ["--mutlirun", "'--multirun'"]),
    "setting written as an option": ("--model lenet5", ["--model: unknown option", "model=…"]),
    "the same with its value": ("--seed=3", ["--seed=3: unknown option", "no dashes: seed=3"]),
    "setting after one dash": ("-model=lenet5", ["-model=lenet5", "no dashes: model=lenet5"]),
    "several options in braces": (
        "'model={lenet5,baseline}'", ["several values are written model=lenet5,baseline", "-m"],
    ),
    "mapping that a shell took apart": (
        "dataset.split={train: 9, test: 9}", ["{train:: the bracket is not", "'dataset.split={…}'"],
    ),
    "two inputs": (
        "task=predict run=x input=a.png input=b.png", ["given 2 times", "'input=[a,b]'"],
    ),
    "a share of the split, and the others' numbers": (
        "'dataset.split={train: 300}'",
        ["is not typed is the dataset's or the experiment's", "three integers"],
    ),
    "another program's option": ("--epochs 3", ["--epochs", "trainer.max_epochs=…"]),
    "option without its value": ("--config-dir", ["--config-dir", "expected one argument"]),
    "no such config folder": ("--config-dir nowhere", ["--config-dir nowhere", "no such folder"]),
    "wrong --cfg": ("--cfg jobs", ["--cfg", "'jobs'", "'job'"]),
    "wrong --package": ("--cfg job -p modle", ["--package modle", "model"]),
    "Hydra's misspelt key": ("hydra.sweep.dirr=x", ["hydra.sweep.dirr"]),
    "sweep with one wrong value": ("-m seed=0,1 optimizer.lr=1,-1", ["optimizer.lr=-1", "than 0"]),
    "sweep over a misspelt key": ("-m optimizer.lrr=1,2", ["optimizer.lrr=1", "'lr'"]),
    "sweep with a misspelt option": ("-m model=lenet5,baselin", ["model=baselin", "'baseline'"]),
    "sweep with a wrong end": (
        "-m 'training.label_smoothing=interval(0,2)'", ["label_smoothing=2", "less than 1"],
    ),
    "sweep over no option": ("-m 'model=glob(nothing*)'", ["glob(nothing*)", "lenet5"]),
    "value with a space": ("name=my photos", ["photos: has no value", "quotes: 'name=my photos'"]),
    "value behind a colon": ("optimizer.lr:0.1", ["did you mean 'optimizer.lr=0.1'?"]),
    "seeds in a list": ("seed=[0,1]", ["seed=[0, 1]: must be an integer", "-m seed=0,1"]),
    "prediction without its task": ("input=new", ["input=new: only task=predict run=<run>"]),
    "more images than a debug run has": (
        "dataset.per_class=100 debug=smoke",
        ["dataset.per_class=100: of each class dataset.split has 16", "(debug=smoke)"],
    ),
    "value with a comma behind it": ("optimizer.lr=1e-3,", ["1e-3,: a comma stands beside no"]),
    "sweep that is half written": ("-m seed=0,", ["seed=0,: a comma stands beside no value"]),
    "task without its run": ("task=evaluate", ["task=evaluate", "needs run="]),
    "prediction of nothing": (f"task=predict run={RUN}", ["task=predict", "needs input="]),
    "run that training ignores": (f"run={RUN}", [f"run={RUN}", "task=evaluate"]),
    "run that a layer table ignores": (
        f"task=anatomy run={RUN}", ["task=anatomy", "its anatomy.csv", "task=evaluate"],
    ),
    "run that a search for rates ignores": (f"task=lr_find run={RUN}", ["task=lr_find", "new"]),
    "no such run": ("task=evaluate run=outputs/no", ["run=outputs/no", "no such folder"]),
    "a pattern that matches nothing": (
        f"task=predict run={RUN} input=*.bmp", ["input=*.bmp", "no file matches"],
    ),
    "a device for an image": (
        f"task=predict run={RUN} input=/dev/zero", ["input=/dev/zero: is neither a file nor a"],
    ),
    "no such input": (f"task=predict run={RUN} input=no.jpg", ["input=no.jpg", "no such file"]),
    "images are not named": ("dataset=image_folder", ["dataset.root", "folder or file"]),
    "own images for a set that has its own": (
        "dataset.root=photos", ["dataset.root=photos", "add dataset=image_folder"],
    ),
    "no such images": ("dataset=image_folder dataset.root=no", ["dataset.root=no", "no such file"]),
}  # fmt: skip

# Found only when the data or the network is there.
LATER: dict[str, tuple[str, list[str]]] = {
    "one class only": (
        "dataset=image_folder dataset.root={single} dataset.image_size=16", ["class", "two"],
    ),
    "runs among the classes": (
        "dataset=image_folder dataset.root={both} paths.outputs={both}/outputs",
        ["the runs' folder", "of their own"],
    ),
    "model too deep for the images": (
        "dataset.image_size=8 model.widths=[[4],[4],[4],[4]]", ["model.widths", "larger dataset"],
    ),
    "LeNet on small images": ("model=lenet5 dataset.image_size=8", ["dataset.image_size", "16"]),
    "batch of 1 with batch norm": ("dataset.batch_size=1", ["dataset.batch_size=1", "batch norm"]),
    "one logit for ten classes": ("training.loss=bce", ["training.loss=bce", "cross_entropy"]),
    "more images than there are": (
        "dataset.split={{train:9000,validation:1,test:1}}", ["dataset.split", "9,0"],
    ),
}  # fmt: skip

Run = Callable[..., tuple[int, str, str]]


def words(line: str) -> list[str]:
    """As a shell splits it, for the quotes that the table uses."""
    return shlex.split(line)


def check(answer: tuple[int, str, str], parts: list[str], folder: Path) -> None:
    code, _, stderr = answer
    assert code == 2
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert stderr.endswith("\n")
    for part in parts:
        assert part in stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str, run_main: Run, work: Path) -> None:
    typed, parts = WRONG[name]
    answer = run_main(*words(typed))
    check(answer, parts, work)
    assert answer[1] == ""


@pytest.mark.parametrize("name", LATER)
def test_wrong_data(name: str, run_main: Run, work: Path, tmp_path: Path) -> None:
    single, both = tmp_path / "single", tmp_path / "both"
    noise = np.random.default_rng(0)
    for folder in (single / "cat", both / "cat", both / "dog"):
        folder.mkdir(parents=True)
        for number in range(6):
            pixels = noise.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    typed, parts = LATER[name]
    typed = typed.format(single=single, both=both)
    check(run_main(*words(typed), "tracking=none"), parts, work)


HEAVY = "import sys; from cnnexp.__main__ import main; code = main(sys.argv[1:]); "
HEAVY += (
    "print(sorted({'torch', 'mlflow', 'pytorch_lightning', 'sklearn', 'PIL', 'numpy', 'pandas'} & "
)
HEAVY += "set(sys.modules))); sys.exit(code)"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (["model.kernel_sise=5"], 2),
        (["modle=lenet5"], 2),
        (["dataset=image_folder"], 2),
        (["-m", "seed=0,1", "optimizer.lr=-1"], 2),
        (["--cfg", "job"], 0),
        (["--help"], 0),
        (["--version"], 0),
    ],
)
def test_nothing_heavy_is_imported(typed: list[str], code: int, work: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAVY, *typed], capture_output=True, text=True, cwd=work, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Traceback" not in done.stderr
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("typed", ["modle=lenet5", "-m optimizer.lr=0.1,-1"])
def test_the_real_command(typed: str, work: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cnnexp", *words(typed)],
        capture_output=True,
        text=True,
        cwd=work,
        check=False,
    )
    check((done.returncode, done.stdout, done.stderr), [], work)
