"""model.weights: a name or a file that is there. Imports no torch."""

from pathlib import Path

from cnnexp.errors import InputError, nearest

IMAGENET = "imagenet"  # in place of a path: the library's own weights, from its cache
KEY = "model.weights"


def weights_file(path: str | Path) -> Path:
    """The file, which is there; or else InputError."""
    file = Path(path).expanduser()
    if file.is_file():
        return file
    beside = [IMAGENET, *(f.name for f in file.parent.glob("*") if f.is_file())]
    what = "is a folder" if file.is_dir() else "no such file"
    raise InputError(
        f"{KEY}={path}: {what}{nearest(file.name, beside) or ';'} "
        f"allowed: {IMAGENET}, null, or a .pth or .safetensors file"
    )
