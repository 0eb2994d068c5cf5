"""Any model of timm, cut into named blocks, with a last layer of one's own."""

import importlib
import urllib.request
from collections import OrderedDict
from pathlib import Path
from typing import Any

from torch import nn

from cnnexp.config.weights import IMAGENET
from cnnexp.errors import InputError, nearest
from cnnexp.models.cut import chain
from cnnexp.models.normalize import Normalize
from cnnexp.models.weights import (
    KEY,
    about_to_download,
    cached_file,
    load_weights,
    read_weights,
    reason,
)


def timm(
    image_size: int, outputs: int, *, name: str = "convnext_tiny", weights: str | None = "imagenet"
) -> nn.Sequential:
    """(B, 3, S, S) -> normalize -> blocks with the library's names -> head -> (B, outputs).

    name: of timm.list_models(), or with the tag of certain weights, of timm.list_pretrained().
    weights: imagenet (the library's own ones for that name), or a file of the network as timm saves
    it, whose last layer is left out; the block normalize is that of the library's weights. None:
    drawn, and no block normalize.
    """
    library = installed()
    names = library.list_models()
    if name not in names and name not in library.list_pretrained():
        close = nearest(name, [*names, *library.list_pretrained()])
        raise InputError(
            f"model.name={name}: timm has no such model"
            f"{close or f'; timm.list_models() lists its {len(names):,}'}"
        )
    config = library.get_pretrained_cfg(name)
    last = [config.classifier] if isinstance(config.classifier, str) else list(config.classifier)
    # Networks with an embedding per position are built for one size.
    size = {"img_size": image_size} if config.fixed_input_size else {}
    made_for = config.input_size[-1]
    try:
        if weights is None:
            network = library.create_model(name, num_classes=outputs, **size)
        else:
            network = trained(library, name, config, weights, last, size)
            network.reset_classifier(outputs)
    except (AssertionError, TypeError, ValueError) as error:
        if not size:
            raise
        raise InputError(
            f"dataset.image_size={image_size}: {name} cannot be built for such images "
            f"({reason(error)}); use {made_for}"
        ) from None
    blocks = chain(network, name, image_size, last=last, made_for=made_for)
    if weights is None:
        return blocks
    normalize = Normalize(config.mean, config.std)
    return nn.Sequential(OrderedDict([("normalize", normalize), *blocks.named_children()]))


def installed() -> Any:
    """timm's functions for models."""
    try:
        return importlib.import_module("timm.models")
    except ModuleNotFoundError as error:
        raise InputError(f"model=timm: {error}; pip install 'cnnexp[timm]'") from None


def trained(
    library: Any, name: str, config: Any, weights: str, last: list[str], size: dict[str, int]
) -> Any:
    """The network with all that is in the file, its last layer, too.

    timm fits what it can, such as embeddings of positions for other image sizes; it does not say
    what is missing unless the last layer is as in the file.
    """
    path = library_file(name, config) if weights == IMAGENET else weights
    state = read_weights(path)
    known = [state[f"{layer}.weight"] for layer in last if f"{layer}.weight" in state]
    classes = len(known[0]) if known else config.num_classes if weights == IMAGENET else 0
    overlay = {"state_dict": state, "num_classes": classes, "label_offset": 0}
    options = {"num_classes": classes, **size}
    try:
        return library.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, **options
        )
    except (RuntimeError, KeyError, IndexError) as error:
        load_weights(library.create_model(name, **options), state, path, name)
        raise InputError(f"{KEY}={path}: does not fit {name} ({reason(error)})") from None


def library_file(name: str, config: Any) -> Path:
    """The file in Hugging Face's cache (HF_HOME), downloaded where it is not there yet."""
    if not config.hf_hub_id:
        if config.url:
            return cached_file(config.url)
        raise InputError(f"{KEY}={IMAGENET}: timm has no weights for {name}; use {KEY}=null")
    hub = importlib.import_module("huggingface_hub")
    repository, _, revision = config.hf_hub_id.partition("@")
    place = (repository, config.hf_hub_filename or "model.safetensors")
    found = hub.try_to_load_from_cache(*place, revision=revision or None)
    if isinstance(found, str):
        return Path(found)
    url = hub.hf_hub_url(*place, revision=revision or None)
    about_to_download(url, "/".join(place))
    try:
        # The hub's client tries for half a minute before it says that there is no network.
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10):
            return Path(hub.hf_hub_download(*place, revision=revision or None))
    except Exception as error:  # of any of the libraries below
        raise InputError(
            f"{KEY}={IMAGENET}: cannot download {url} ({reason(error)}); fetch it elsewhere and "
            f"name it: {KEY}=<path>, or run `python scripts/prefetch.py` where there is a network "
            "and copy its HF_HOME"
        ) from None
