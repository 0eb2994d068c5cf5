"""What configs may call, and how it is called."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cnnexp.config import own_folder
from cnnexp.config.instantiate import ROLES, call, check_allowed, resolve
from cnnexp.config.own_folder import allow_folder
from cnnexp.errors import InputError

TINY = """
import os
def make(a, *, size=1, shape=None):
    return a, size, shape
class Inner:
    class Nested:
        def __init__(self, depth=2):
            self.depth = depth
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "tinymod.py").write_text(TINY)
    (tmp_path / "broken_import.py").write_text("import a_package_that_is_not_there\n")
    (tmp_path / "broken_name.py").write_text("from math import no_such_thing\n")
    (tmp_path / "json.py").write_text("def dumps(): return 'not the real one'\n")
    (tmp_path / "tinypack").mkdir()
    (tmp_path / "tinypack" / "__init__.py").write_text("")
    (tmp_path / "tinypack" / "inner.py").write_text("def make():\n    return 'inner'\n")
    path, modules, folders = list(sys.path), set(sys.modules), list(own_folder._folders)
    yield tmp_path
    sys.path[:] = path
    own_folder._folders[:] = folders
    own_folder._added[:] = []
    own_folder._imported.clear()
    for name in set(sys.modules) - modules:
        if name.split(".")[0] in ("tinymod", "tinypack", "broken_import", "broken_name"):
            del sys.modules[name]


def test_a_library_class() -> None:
    weights = [torch.nn.Parameter(torch.zeros(2))]
    node = {"_target_": "torch.optim.SGD", "lr": 0.5, "momentum": 0.9}
    optimizer = call(node, params=weights)
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.defaults["momentum"] == 0.9
    assert node == {"_target_": "torch.optim.SGD", "lr": 0.5, "momentum": 0.9}


def test_a_users_folder_counts_once_it_is_named(folder: Path) -> None:
    node = {"_target_": "tinymod.make", "size": 3, "shape": {"_target_": "os.system", "x": [1]}}
    with pytest.raises(InputError, match=r"tinymod\.make: not among what a config may call"):
        call(node, a=1)
    allow_folder(folder)
    assert call(node, a=1) == (1, 3, {"_target_": "os.system", "x": [1]}), "nested nodes stay data"
    assert call({"_target_": "tinymod.Inner.Nested", "depth": 4}).depth == 4
    assert call({"_target_": "tinypack.inner.make"}) == "inner"


def test_what_a_users_file_imports_is_no_target(folder: Path) -> None:
    """A stranger's config may name it: only what the file defines, or what any config may call."""
    (folder / "tinymod.py").write_text(
        f"{TINY}from shutil import rmtree\nfrom subprocess import Popen\n"
        "from torch.optim import SGD\nfrom tinypack.inner import make as other\n"
    )
    allow_folder(folder)
    for name in ("rmtree", "Popen"):
        with pytest.raises(InputError, match=f"{name}: is defined in '(shutil|subprocess)', which"):
            resolve(f"tinymod.{name}")
    assert resolve("tinymod.SGD") is torch.optim.SGD
    assert resolve("tinymod.other")() == "inner"


def test_what_is_edited_is_imported_anew(folder: Path) -> None:
    """From one command of a notebook to the next, below another module of the folder, too."""
    module, inner = folder / "tinymod.py", folder / "tinypack" / "inner.py"
    module.write_text("from tinypack.inner import make as below\ndef make(): return below()\n")
    allow_folder(folder)
    first = resolve("tinymod.make")
    allow_folder(folder)
    assert resolve("tinymod.make") is first, "nothing was edited"
    inner.write_text("def make(): return 'edited'\n")
    os.utime(inner, ns=(1, inner.stat().st_mtime_ns + 1))
    allow_folder(folder)
    assert resolve("tinymod.make")() == "edited"
    assert first() == "inner"


def test_the_folder_named_last_comes_first(folder: Path) -> None:
    """Two folders with a file of one name, one after the other in a notebook."""
    other = folder / "other"
    other.mkdir()
    (other / "tinymod.py").write_text("def make(): return 'other'\n")
    allow_folder(folder)
    assert resolve("tinymod.make")(1)[0] == 1
    allow_folder(other)
    assert resolve("tinymod.make")() == "other"
    allow_folder(folder)
    assert resolve("tinymod.make")(1)[0] == 1


def test_what_is_injected_wins() -> None:
    node = {"_target_": "cnnexp.models.lenet5.lenet5", "image_size": 5, "outputs": 3}
    assert call(node, image_size=32, outputs=10)[-1][-1].out_features == 10


def test_a_users_file_hides_no_installed_module(folder: Path) -> None:
    allow_folder(folder)
    with pytest.raises(InputError, match=r"json\.dumps: your json\.py has the name of another"):
        resolve("json.dumps")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.run",
        "torch.hub.load",
        "torch.load",
        "cnnexp.config.instantiate.call",
        "cnnexp.files.whole_file",
        "pytorch_lightning.Trainer.fit",
        "pytorch_lightning.Callback",
        "torch.optim.adam.torch.hub.load",
        "torch.optim.lr_scheduler.math.sqrt",
        "torchvision.models.vgg.torch.load",
        "cnnexp.models.baseline.nn.Sequential",
        "cnnexp.augmentations.photo.math.exp",
        "cnnexp.tracking.store.os.system",
        "timmy.create_model",
        "",
        ".",
        "torch.optim.",
        "torch.optim..SGD",
        "torch.optim._functional.sgd",
        "cnnexp.models.baseline.__loader__.load_module",
        "timm.models.load_checkpoint",
        "timm.create_model",
        "torchvision.models.resnet18",
        "pytorch_lightning.Trainers",
    ],
)
def test_refused(target: str) -> None:
    with pytest.raises(InputError):
        resolve(target)


EACH = {
    "dataset": "cnnexp.datasets.digits.digits",
    "augmentation": "cnnexp.augmentations.none.none",
    "model": "cnnexp.models.lenet5.lenet5",
    "loss": "torch.nn.modules.loss.MultiMarginLoss",
    "optimizer": "torch.optim.Adam",
    "scheduler": "torch.optim.lr_scheduler.ConstantLR",
    "trainer": "pytorch_lightning.Trainer",
    "tracking": "cnnexp.tracking.none.NullTracker",
    "visualization": "cnnexp.visualization.gradcam.gradcam",
    "task": "cnnexp.tasks.train.train",
}


def test_each_group_names_its_own(folder: Path) -> None:
    allow_folder(folder)
    assert EACH.keys() == ROLES.keys()
    for group in EACH:
        check_allowed("tinymod.make", role=group)
        for other, target in EACH.items():
            # A schedule's name begins as an optimizer's does; torch refuses it as one.
            if group == other or (group, other) == ("optimizer", "scheduler"):
                check_allowed(target, role=group)
            else:
                with pytest.raises(InputError, match=r"not among what a config may call"):
                    check_allowed(target, role=group)


def test_whole_names_lead_below_their_package() -> None:
    assert resolve("pytorch_lightning.Trainer").__name__ == "Trainer"


@pytest.mark.parametrize("target", [None, 3, ["torch.optim.SGD"]])
def test_a_target_is_text(target: object) -> None:
    with pytest.raises(InputError, match="must be text"):
        call({"_target_": target})


def test_what_is_allowed_is_said(folder: Path) -> None:
    allow_folder(folder)
    with pytest.raises(InputError) as caught:
        resolve("tinymd.make")
    assert "did you mean 'tinymod'?" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_real_import_error(folder: Path) -> None:
    allow_folder(folder)
    with pytest.raises(InputError, match=r"not_there', in .*broken_import\.py line 1"):
        resolve("broken_import.make")
    with pytest.raises(InputError, match=r"cannot import name 'no_such_thing' from 'math'"):
        resolve("broken_name.make")


def test_missing_names_and_arguments() -> None:
    with pytest.raises(InputError, match=r"'cnnexp.models.lenet5' has no 'lenet'; did you mean"):
        resolve("cnnexp.models.lenet5.lenet")
    with pytest.raises(InputError, match=r"lenet5: missing a required argument: 'outputs'"):
        call({"_target_": "cnnexp.models.lenet5.lenet5"}, image_size=32)
    with pytest.raises(InputError, match=r"lenet5: got an unexpected keyword argument 'deep'"):
        call({"_target_": "cnnexp.models.lenet5.lenet5", "deep": 1}, image_size=32, outputs=2)
    with pytest.raises(InputError, match="not a class or a function"):
        resolve("cnnexp.models.layers.ACTIVATIONS")


def test_errors_inside_are_left_alone(folder: Path) -> None:
    (folder / "tinymod.py").write_text("def make():\n    return {}['key']\n")
    allow_folder(folder)
    with pytest.raises(KeyError, match=r"^'key'$"):
        call({"_target_": "tinymod.make"})
    with pytest.raises(KeyError) as caught:
        call({"_target_": "tinymod.make"}, "dataset")
    assert caught.value.__notes__ == ["raised by dataset._target_=tinymod.make"]


def test_what_is_abstract_is_said(folder: Path) -> None:
    (folder / "tinymod.py").write_text(
        "from abc import ABC, abstractmethod\n"
        "class Half(ABC):\n    @abstractmethod\n    def __call__(self, images): ...\n"
    )
    allow_folder(folder)
    with pytest.raises(InputError, match=r"tinymod\.Half: is an abstract class; it lacks __call__"):
        call({"_target_": "tinymod.Half"})


def test_text_becomes_a_path_where_one_is_wanted(folder: Path) -> None:
    (folder / "tinymod.py").write_text(
        "from pathlib import Path\n"
        "def make(a: Path, b: Path | None = None, c: str | Path = '', d: 'Path' = Path()):\n"
        "    return a, b, c, d\n"
    )
    allow_folder(folder)
    node = {"_target_": "tinymod.make", "a": "x", "b": "y", "c": "z", "d": "w"}
    assert call(node) == (Path("x"), Path("y"), "z", Path("w"))
    assert call({"_target_": "tinymod.make", "a": "x", "b": None})[1] is None
