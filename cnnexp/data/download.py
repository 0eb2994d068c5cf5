"""Downloads that survive a bad connection: resumed, checked, whole or absent."""

import hashlib
import http.client
import logging
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from cnnexp.data.lock import held
from cnnexp.data.progress import Bar
from cnnexp.errors import InputError

log = logging.getLogger("cnnexp")

BLOCK = 1 << 20  # bytes per read
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)  # HTTP answers that another attempt may change


class _Again(Exception):
    """This attempt failed in a way that the next one may not."""


class _Offline(Exception):
    """There is no way to the server."""


def download(
    url: str,
    path: Path | str,
    *,
    md5: str | None = None,
    sha256: str | None = None,
    fits: Callable[[Path], bool] | None = None,
    key: str = "dataset.root",
    cache: str = "paths.cache",
    attempts: int = 3,
    wait_s: float = 1.0,
    timeout_s: float = 30.0,
) -> Path:
    """`path` with the content of `url`; at once where it is there already.

    A broken download goes on from `path`.part, also in a later process; two processes do not
    download the same file twice. sha256: hex, or how it begins. fits: asked of a file that has no
    published checksum. attempts: in a row without a new byte; wait_s doubles each time. Named in
    errors: key, the config key by which a copy from elsewhere can be given; cache, what says where
    such files lie.
    """
    path = Path(path)
    if path.exists():
        return path
    try:
        with held(path.with_name(path.name + ".lock"), f"downloading {path.name}"):
            if not path.exists():
                _fetch(url, path, attempts, wait_s, timeout_s, key)
                _check(url, path, md5, sha256, key)
                if fits is not None and not fits(_part(path)):
                    raise _wrong(url, path, "not of the kind that is wanted", key)
                _part(path).replace(path)
                _tag(path).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error}); free some space or set {cache} to another folder"
        ) from error
    return path


def _fetch(url: str, path: Path, attempts: int, wait_s: float, timeout_s: float, key: str) -> None:
    failed, best = 0, _size(_part(path))
    with Bar(f"downloading {path.name}", None, "bytes") as bar:
        while True:
            try:
                return _attempt(url, path, timeout_s, bar)
            except _Again as error:
                size = _size(_part(path))
                failed, best = (0 if size > best else failed + 1), max(best, size)
                if failed >= attempts:
                    raise _cannot(url, path, str(error), key) from error
                log.info("%s: %s; trying again", path.name, error)
                time.sleep(wait_s * 2 ** max(0, failed - 1))
            except urllib.error.HTTPError as error:
                raise _cannot(url, path, f"HTTP {error.code} {error.reason}", key) from error
            except _Offline as error:
                raise _cannot(url, path, str(error), key) from error


def _attempt(url: str, path: Path, timeout_s: float, bar: Bar) -> None:
    """Read from where the part ends to the end that the server names."""
    part, tag = _part(path), _tag(path)
    start = _size(part)
    headers = {"User-Agent": "cnnexp", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag.exists():  # the part belongs to this version of the file; another one starts anew
            headers["If-Range"] = tag.read_text()
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout_s
        )
    except urllib.error.HTTPError as error:
        with error:
            if (
                error.code == 416 and start
            ):  # nothing after `start`: the part is whole, or not of this file
                if _total(error.headers.get("Content-Range")) == start:
                    return
                _forget(path)
                raise _Again("the part did not fit; starting anew") from error
            if error.code in TEMPORARY:
                raise _Again(f"HTTP {error.code}") from error
            raise
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, socket.gaierror):  # no such host: offline, and no better in a second
            raise _Offline(str(reason)) from error
        raise _Again(str(reason) or type(reason).__name__) from error
    with answer:
        length = answer.headers.get("Content-Length")
        if answer.status == 206 and _begin(answer.headers.get("Content-Range")) == start:
            total = _total(answer.headers.get("Content-Range"))
        else:  # the whole file, whatever was asked for
            _forget(path)
            start, total = 0, int(length) if length else None
            if answer.status != 200:
                raise _Again(f"unexpected answer {answer.status}")
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if version and not version.startswith("W/"):
            tag.write_text(version)
        done = start
        with part.open("ab") as file:
            while True:
                try:
                    block = answer.read(BLOCK)
                except (http.client.HTTPException, OSError) as error:
                    raise _Again(f"the connection broke after {done:,} bytes ({error})") from error
                if not block:
                    break
                file.write(block)
                done += len(block)
                bar.at(done, total)
    if total is not None and done < total:
        raise _Again(f"the connection ended after {done:,} of {total:,} bytes")


def _check(url: str, path: Path, md5: str | None, sha256: str | None, key: str) -> None:
    for name, expected in (("md5", md5), ("sha256", sha256)):
        if expected is None:
            continue
        found = checksum(_part(path), name)
        if not found.startswith(expected):
            raise _wrong(url, path, f"with {name} {found}, expected {expected}", key)


def _wrong(url: str, path: Path, reason: str, key: str) -> InputError:
    size = _size(_part(path))
    _forget(path)
    return _cannot(url, path, f"wrong file: {size:,} bytes {reason}; it was removed", key)


def checksum(path: Path, name: str) -> str:
    """Hex digest of a file; name: "md5", "sha256"."""
    digest = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _cannot(url: str, path: Path, reason: str, key: str) -> InputError:
    return InputError(
        f"cannot download {url} ({' '.join(reason.split())}); fetch it elsewhere and put it at "
        f"{path}, or name your copy: {key}=<path>, or run `python scripts/prefetch.py` where there "
        "is a network"
    )


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _tag(path: Path) -> Path:
    return path.with_name(path.name + ".part.version")


def _forget(path: Path) -> None:
    _part(path).unlink(missing_ok=True)
    _tag(path).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _begin(content_range: str | None) -> int | None:
    """Of "bytes 100-199/200" the 100."""
    match = re.match(r"bytes (\d+)-", content_range or "")
    return int(match[1]) if match else None


def _total(content_range: str | None) -> int | None:
    """Of "bytes 100-199/200" and "bytes */200" the 200."""
    match = re.search(r"/(\d+)$", content_range or "")
    return int(match[1]) if match else None
