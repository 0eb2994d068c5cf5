"""Files in one folder per class, as a Source."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from cnnexp.datasets.archive import FileList
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError

IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")


def children(files: FileList, folder: str) -> list[str]:
    """Names of the folders directly inside `folder` ("" is the root)."""
    prefix = f"{folder}/" if folder else ""
    below = (name[len(prefix) :] for name in files.folders if name.startswith(prefix))
    return sorted(name for name in below if name and "/" not in name)


def holds_images(files: FileList, folder: str) -> bool:
    """Whether a file that is named like an image lies directly in `folder`."""
    return any(
        name.startswith(f"{folder}/")
        and "/" not in name[len(folder) + 1 :]
        and name.casefold().endswith(IMAGES)
        for name in files.names
    )


def from_folders(
    name: str,
    files: FileList,
    base: str,
    classes: Sequence[str],
    folders: Mapping[str, tuple[int, str]],
) -> Source:
    """folders: path below `base` -> (label, given split or ""). Subfolders belong to their class.

    base: the folder (from the root) that the paths of the Source begin below; "" is the root.
    InputError where a class folder holds no file.
    """
    prefix = f"{base}/" if base else ""
    depths = {folder.count("/") + 1 for folder in folders}
    index: list[int] = []
    labels: list[int] = []
    given: list[str] = []
    listed = list(files.listed)
    for i, path in enumerate(files.names):
        parts = path[len(prefix) :].split("/") if path.startswith(prefix) else []
        tops = ("/".join(parts[:depth]) for depth in depths if len(parts) > depth)
        folder = next((top for top in tops if top in folders), None)
        if folder is None:
            listed.append((path, "outside the class folders"))
            continue
        index.append(i)
        labels.append(folders[folder][0])
        given.append(folders[folder][1])
    counts = np.bincount(labels, minlength=len(classes)) if labels else np.zeros(len(classes), int)
    if not counts.all():
        empty = classes[int(counts.argmin())]
        raise InputError(
            f"dataset.root={files.root}: class folder {empty!r} holds no image; "
            "put images there or remove the folder"
        )
    digest = hashlib.sha256()
    for i in index:
        digest.update(f"{files.names[i]}\0{files.stamps[i]}\n".encode())
    return Source(
        name=name,
        classes=tuple(classes),
        paths=[files.names[i][len(prefix) :] for i in index],
        labels=np.array(labels, dtype=np.int64),
        read=lambda i: files.read(index[i]),
        fingerprint=digest.hexdigest(),
        given=np.array(given) if any(given) else None,
        listed=tuple(sorted(listed)),
    )
