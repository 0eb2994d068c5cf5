"""What frozen leading blocks make of each image: computed once, stored, read from then on.

An entry is a folder with `outputs.bin`, the raw values, and `index.json`: their shape, type and
checksum. One process builds while others wait; what is damaged or half is built again; the entries
that were not used for the longest time go when there is no more room.
"""

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from torch import nn

from cnnexp.data.batches import channels_first
from cnnexp.data.lock import held
from cnnexp.data.progress import Bar
from cnnexp.data.seal import intact, seal
from cnnexp.files import clear_parts, whole_file
from cnnexp.training.phases import LIBRARIES, fingerprints
from cnnexp.training.precision import autocast
from cnnexp.training.randomness import set_generators

VERSION = 1  # raise it when the files or the way to compute them change
BATCH = 64
TYPES = {"torch.bfloat16": torch.bfloat16, "torch.float16": torch.float16,
         "torch.float32": torch.float32}  # fmt: skip

log = logging.getLogger("cnnexp")


@dataclass(frozen=True)
class Prefix:
    """Frozen leading blocks and what they are given.

    images: (N, S, S, 3) uint8, of which `indices` are run, in that order. views: forms of each
    image, drawn by `augment` from `seed`; 1 without it. precision, device: as the phase trains.
    content: names the images and the augmentation: same content, same pixels. batch: images that
    are run at a time; without `augment` it may be smaller.
    """

    blocks: nn.Sequential
    images: torch.Tensor
    indices: np.ndarray
    precision: str
    device: torch.device
    content: Sequence[str]
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None
    views: int = 1
    seed: int = 0
    batch: int = BATCH

    def key(self) -> str:
        """Of all but code that modules call in other files, which `believed` may find out."""
        digest = hashlib.sha256()
        head = [VERSION, str(self.blocks), made_of(self.blocks), fingerprints(self.blocks),
                self.precision, self.device.type, self.views,
                self.seed if self.augment else None]  # fmt: skip
        digest.update(json.dumps(head).encode())
        for part in self.content:
            digest.update(part.encode("utf-8", "backslashreplace") + b"\0")
        return digest.hexdigest()[:32]

    @torch.no_grad()
    def outputs(self) -> Iterator[torch.Tensor]:
        """In batches, (B, H, W, C) or (B, F), on the CPU: all of the first view, then the next."""
        for view in range(self.views):
            for number in range(-(-len(self.indices) // self.batch)):
                yield self._run(self._given(view, number))

    @torch.no_grad()
    def first(self) -> torch.Tensor:
        """The outputs of the first two images."""
        return self._run(self._given(0, 0)[:2])

    def _given(self, view: int, number: int) -> torch.Tensor:
        """A batch of images (B, 3, S, S) as the blocks are given them."""
        first = number * self.batch
        chosen = np.asarray(self.indices[first : first + self.batch], dtype=np.int64)
        images = channels_first(self.images[torch.from_numpy(chosen).to(self.images.device)])
        if self.augment is None:
            return images
        drawn = np.random.SeedSequence((self.seed, view, number)).generate_state(1)
        set_generators(int(drawn[0]), self.device.type)
        return self.augment(images)

    def _run(self, images: torch.Tensor) -> torch.Tensor:
        self.blocks.eval().to(self.device)
        with autocast(self.precision, self.device):
            output = self.blocks(images.to(self.device))
        # Channels last, as images are: what is read back lies as convolutions like it.
        return (output.permute(0, 2, 3, 1) if output.ndim == 4 else output).contiguous().cpu()


def made_of(blocks: nn.Module) -> list[list[str]]:
    """Of each module its class; where a person wrote it, its plain attributes, and there and in
    cnnexp the SHA-256 of the file that it is in. A library's modules have in their repr what they
    were made with.
    """
    found = []
    for module in blocks.modules():
        kind = type(module)
        package, source, plain = kind.__module__.partition(".")[0], "", {}
        if package not in LIBRARIES:
            plain = {
                name: value
                for name, value in vars(module).items()
                if name[0] != "_" and name != "training" and _plain(value)
            }
        if package not in LIBRARIES - {"cnnexp"}:
            path = getattr(sys.modules.get(kind.__module__), "__file__", None)
            source = hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
        found.append([kind.__qualname__, repr(plain), source])
    return found


def _plain(value: Any) -> bool:
    """Whether its repr says what it is, in every process."""
    if isinstance(value, tuple | list):
        return all(_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def size_of(prefix: Prefix) -> int:
    """Bytes that its outputs will take."""
    return prefix.first()[0].nbytes * len(prefix.indices) * prefix.views


def believed(folder: Path, prefix: Prefix) -> torch.Tensor | None:
    """The entry, where it holds of the first images what the blocks make of them now: no key knows
    of code elsewhere, or of what a module keeps to itself that is no plain value.
    """
    found = _open(folder)
    if found is None:
        return None
    now, then = prefix.first().float(), found[:2].float()
    # Batches of another size, and other kernels, change the last bits: of bfloat16 about 0.4%.
    if now.shape == then.shape and (now - then).norm() <= 0.02 * now.norm():
        return found
    log.info("stored outputs of frozen blocks are of other code or settings: not used")
    return None


def stored_outputs(
    prefix: Prefix, cache: Path, limit_bytes: float, *, evict: bool = True
) -> torch.Tensor | None:
    """(views * N, H, W, C) or (views * N, F), a private map of the entry's file, built if need be.

    None, with a line that says why, where it cannot be stored: the blocks then run each time.
    evict: others may go for it; else, where there is no room beside them, None without a word.
    """
    folder = cache / "prefix" / prefix.key()
    found = believed(folder, prefix)
    if found is not None:
        log.info("outputs of frozen blocks are at hand, %s of them", f"{len(found):,}")
        return found
    size = size_of(prefix)
    try:
        if _too_large(size, limit_bytes):
            return None
        if not evict:
            taken = sum(path.stat().st_size for path in folder.parent.glob("*/*"))
            if taken + size > limit_bytes:
                return None
        with held(folder / "lock", "running the frozen blocks"):
            found = believed(folder, prefix)  # what another process built meanwhile
            if found is None:
                _make_room(cache / "prefix", limit_bytes - size)
                if _too_large(size, shutil.disk_usage(cache).free):
                    return None
                _build(folder, prefix)
                found = _open(folder)
    except OSError as error:
        log.warning("outputs of frozen blocks are not stored in %s: %s", folder, error)
    return found


def outputs_at_hand(prefix: Prefix, cache: Path) -> torch.Tensor | None:
    """As `stored_outputs`, where they are stored already."""
    return believed(cache / "prefix" / prefix.key(), prefix)


def _too_large(size: int, room_bytes: float) -> bool:
    if size > room_bytes:
        log.info(
            "outputs of frozen blocks are not stored: they need %.1f GB, and there are %.1f GB"
            " (training.prefix_cache_gb, free disk)", size / 1e9, room_bytes / 1e9,
        )  # fmt: skip
    return size > room_bytes


def _open(folder: Path) -> torch.Tensor | None:
    """None where there is no entry, or one that is not to be believed."""
    path = folder / "outputs.bin"
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        shape, kind = tuple(index["shape"]), TYPES[index["dtype"]]
        if not intact(path, index["values"]):
            return None
        with suppress(OSError):  # somebody else's
            (folder / "index.json").touch()  # used now
        return torch.from_file(str(path), shared=False, size=int(np.prod(shape)), dtype=kind).view(
            shape
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def _build(folder: Path, prefix: Prefix) -> None:
    (folder / "index.json").unlink(missing_ok=True)
    clear_parts(folder)  # of a builder that was killed: we hold the lock
    digest, count = hashlib.sha256(), 0
    total = len(prefix.indices) * prefix.views
    with (
        whole_file(folder / "outputs.bin", "wb") as file,
        Bar("running the frozen blocks", total, "images") as bar,
    ):
        for values in prefix.outputs():
            data = values.view(torch.uint8).numpy().tobytes()
            digest.update(data)
            file.write(data)
            count += len(values)
            bar.at(count)
    with whole_file(folder / "index.json") as text:
        shape = [count, *values.shape[1:]]
        sealed = seal(folder / "outputs.bin", digest.hexdigest())
        json.dump({"shape": shape, "dtype": str(values.dtype), "values": sealed}, text)


def _make_room(root: Path, left_bytes: float) -> None:
    """Take away whole entries, the longest unused first, until the rest takes no more than this;
    before them what was begun by a process that is no more.

    A run that reads one keeps its map: the file goes when the last reader has closed it.
    """
    entries = []
    for folder in root.iterdir():
        try:
            index = folder / "index.json"
            used_s = index.stat().st_mtime if index.exists() else 0.0
            size = sum(path.stat().st_size for path in folder.iterdir())
            if not used_s:
                with filelock.FileLock(folder / "lock").acquire(timeout=0):
                    pass  # nobody builds it
        except (OSError, filelock.Timeout):
            continue  # another process builds it, or takes it away, at this moment
        entries.append((used_s, size, folder))
    total = sum(size for _, size, _ in entries)
    for used_s, size, folder in sorted(entries):
        if used_s and total <= left_bytes:
            break
        shutil.rmtree(folder, ignore_errors=True)
        total -= size
