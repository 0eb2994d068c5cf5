"""Files of trained weights: found, read without running anything in them, put into a network."""

import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torch import nn

from cnnexp.config.weights import IMAGENET, KEY, weights_file
from cnnexp.data.download import download
from cnnexp.errors import InputError

_downloads = True


class NotHere(InputError):
    """Trained weights that would have to be downloaded, from `url` to `path`."""

    def __init__(self, url: str, path: str | Path) -> None:
        super().__init__(f"{KEY}={IMAGENET}: {path} is not here")
        self.url = url


@contextmanager
def local_only() -> Iterator[None]:
    """In it, weights that are not in the caches raise NotHere, and nothing is written."""
    global _downloads
    former, _downloads = _downloads, False
    try:
        yield
    finally:
        _downloads = former


def about_to_download(url: str, path: str | Path) -> None:
    if not _downloads:
        raise NotHere(url, path)


def cached_file(url: str) -> Path:
    """The file in torch.hub's cache (TORCH_HOME), downloaded where it is not there yet; of the hash
    that its name holds.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    if path.exists():
        return path
    about_to_download(url, path)
    sha256 = re.search(r"-([0-9a-f]{8,})\.", path.name)
    try:
        return download(url, path, sha256=sha256 and sha256[1], key=KEY, cache="TORCH_HOME")
    except InputError as error:
        raise InputError(f"{KEY}={IMAGENET}: {error}") from error


def reason(error: BaseException) -> str:
    """In one line: of libraries' long messages the first sentence."""
    text = str(getattr(error, "reason", "") or error) or type(error).__name__
    return text.strip().splitlines()[0][:200].rstrip(".:; ")


def read_weights(path: str | Path) -> OrderedDict[str, torch.Tensor]:
    """A state dict: name -> tensor, floating ones as float32.

    .safetensors, or what torch.save made of tensors alone; nothing in the file is executed.
    """
    file = weights_file(path)
    try:
        if file.suffix == ".safetensors":
            content = load_file(file)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of old formats, and of what is refused below
                content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{KEY}={path}: cannot be read ({reason(error)})") from None
    except Exception:  # a file that is something else makes readers fail in any way
        raise InputError(
            f"{KEY}={path}: is damaged, or holds more than tensors, which is never loaded; "
            "allowed: .safetensors, or what torch.save(network.state_dict(), …) wrote"
        ) from None
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{KEY}={path}: holds no weights by name but a {type(content).__name__}")
    others = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise InputError(
            f"{KEY}={path}: holds more than weights: {few(others)}; take the state dict out of it "
            "and save that"
        )
    weights = OrderedDict(
        (n, v.float() if v.is_floating_point() else v) for n, v in content.items()
    )
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise InputError(f"{KEY}={path}: holds values that are no numbers, in {few(broken)}")
    if hasattr(content, "_metadata"):  # versions of layers, by which torch reads old files
        weights._metadata = content._metadata  # type: ignore[attr-defined]
    return weights


def load_weights(
    network: nn.Module,
    weights: Mapping[str, torch.Tensor],
    path: str | Path,
    name: str,
    without: Sequence[str] = (),
) -> None:
    """Into all of `network` but the modules named in `without`, which may be in the file or not.

    path, name: of the file and of the network, for the error. Raises InputError that lists what
    either side lacks and where their shapes differ.
    """
    own = network.state_dict()
    left_out = tuple(f"{module}." for module in without)
    given = OrderedDict((n, v) for n, v in weights.items() if not n.startswith(left_out))
    given._metadata = getattr(weights, "_metadata", own._metadata)  # type: ignore[attr-defined]
    shapes = {
        n: f"{n} is {tuple(v.shape)} there and {tuple(own[n].shape)} here"
        for n, v in given.items()
        if n in own and v.shape != own[n].shape
    }
    for misshaped in shapes:
        del given[misshaped]
    missing, unexpected = network.load_state_dict(given, strict=False)
    optional = (*shapes, "num_batches_tracked")  # a counter that old files lack
    missing = [n for n in missing if not n.startswith(left_out) and not n.endswith(optional)]
    differences = [
        *([f"missing {few(missing)}"] if missing else []),
        *([f"unexpected {few(unexpected)}"] if unexpected else []),
        *([few(list(shapes.values()), most=1)] if shapes else []),
    ]
    if differences:
        raise InputError(f"{KEY}={path}: does not fit {name}: {'; '.join(differences)}")


def few(names: Sequence[str], most: int = 3) -> str:
    """The first of them, and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
