"""Download what a run needs, for machines without internet.

    python scripts/prefetch.py model=vgg16 dataset=cifar10

Takes what `python -m cnnexp` takes. Nothing is decoded or trained.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnexp.config.compose import compose
from cnnexp.errors import InputError
from cnnexp.execution import checked


def prefetch(overrides: Sequence[str]) -> tuple[dict[str, Any], list[InputError]]:
    """Downloads what can be had; the config of the run, and what could not be had."""
    composed = compose(overrides)
    config = checked(composed.config, composed.overrides)
    from cnnexp.experiment import build_network
    from cnnexp.sources import find_images

    failures, classes = [], 2  # any model and loss can be built for two
    try:
        classes = len(find_images(config).classes)
    except InputError as error:
        failures.append(error)
    try:
        build_network(config, classes)
    except InputError as error:
        failures.append(error)
    return config, failures


def caches(config: dict[str, Any]) -> dict[str, Path]:
    """Environment variable -> its folder, of the caches that such a run reads downloads from."""
    import torch

    from cnnexp.sources import cache_of

    folders = {"CNNEXP_CACHE": cache_of(config) / "downloads"}
    if config["model"].get("weights") == "imagenet":
        folders["TORCH_HOME"] = Path(torch.hub.get_dir(), "checkpoints")
        if "huggingface_hub" in sys.modules:  # timm's weights come from there
            folders["HF_HOME"] = Path(sys.modules["huggingface_hub"].constants.HF_HOME, "hub")
    return {name: folder for name, folder in folders.items() if size(folder)}


def size(folder: Path) -> int:
    """Bytes; links are to files in the same folder."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink())


def main(overrides: Sequence[str]) -> int:
    try:
        config, failures = prefetch(overrides)
    except InputError as error:
        return refuse([error])
    if failures:
        return refuse(failures)
    found = caches(config)
    copied = "; for another machine copy, and name there:" if found else ""
    print(f"here is all that these settings need{copied}")
    for name, folder in found.items():
        root = folder.parents[1] if name == "TORCH_HOME" else folder.parent
        print(f"  {name}={root}: its {folder.relative_to(root)}, {size(folder) / 1e6:,.0f} MB")
    return 0


def refuse(failures: Sequence[InputError]) -> int:
    for error in failures:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
