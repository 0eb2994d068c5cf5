"""Files that are whole or absent: written beside their place, renamed; and how paths are shown."""

import errno
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

PART = ".part"
UMASK = os.umask(0o077)  # asked for once: another thread's files must not see it change
os.umask(UMASK)
# What keeps a program from writing or reading and is not its fault -> what to do about it.
MENDABLE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room there"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "give this user access to it"),
    errno.EIO: "see whether the disk is sound",
}


@contextmanager
def whole_file(path: Path | str, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; on success it takes `path`'s place, else it goes.

    mode: "w" for UTF-8 text (newlines as written), "wb" for bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
    try:
        with os.fdopen(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~UMASK)  # mkstemp makes it private; others read these folders
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def files_named(wanted: str) -> Iterator[Path]:
    """A file, all below a folder or those of a glob (** goes into folders); no hidden ones."""
    path = Path(wanted).expanduser()
    inside = Path(glob.escape(str(path))) / "**" / "*"
    names = glob.iglob(str(inside if path.is_dir() else path), recursive=True)
    places = [path] if path.is_file() else map(Path, names)
    return (place for place in places if place.is_file())


def nearest_there(path: Path) -> Path:
    """The folder itself or the first above it that exists; a dangling link counts as nothing."""
    return next(place for place in (path, *path.parents) if os.path.exists(place))


def under_two_names(path: Path, also: Path) -> None:
    """`also` becomes the same file, written once; a copy where the file system has no links.

    Whoever replaces one of them, as `whole_file` does, leaves the other as it is.
    """
    beside = also.with_name(f".{also.name}.{os.getpid()}{PART}")
    beside.unlink(missing_ok=True)
    try:
        os.link(path, beside)
    except OSError:
        with open(path, "rb") as source, whole_file(also, "wb") as file:
            shutil.copyfileobj(source, file)
        return
    os.replace(beside, also)
    beside.unlink(missing_ok=True)  # a name of the same file stays where it is


def clear_parts(folder: Path) -> None:
    """Take away what `whole_file` left there, and in folders below, in processes that were killed.
    To be called where no other process writes.
    """
    for left in folder.rglob(f".*{PART}"):
        left.unlink(missing_ok=True)


def refused_by_disk(problem: BaseException, folder: Path) -> str:
    """Where it was, as far as is known, what the system said and what to do; "" for any other
    problem.
    """
    if not isinstance(problem, OSError) or problem.errno not in MENDABLE:
        return ""
    return f"{problem.filename or folder}: {problem.strerror}: {MENDABLE[problem.errno]}"


def printable(name: str) -> str:
    r"""Of a name that is no UTF-8 the odd bytes as \udc.. escapes: it can be printed and saved."""
    return name.encode("utf-8", "backslashreplace").decode()


def shown_path(path: Path) -> str:
    """From the working folder, if it lies there."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def config_dir_argv(config_dir: str | Path | None) -> list[str]:
    """The option that names a person's folder of configs and code; [] for None."""
    return [] if config_dir is None else ["--config-dir", shown_path(Path(config_dir))]


def our_command(config_dir: str | Path | None) -> list[str]:
    """The words that a command to type begins with."""
    return ["python", "-m", "cnnexp", *config_dir_argv(config_dir)]


def digest(file: Path) -> str:
    """SHA-256, its first 12 hexadecimal digits; "" where there is no such file."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else ""
    except OSError:
        return ""
