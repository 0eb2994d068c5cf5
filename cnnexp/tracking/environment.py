"""Where and with what a run was made. No values of environment variables, no passwords."""

import getpass
import hashlib
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from cnnexp.cores import usable_cores

PACKAGES = (
    "cnnexp", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "mlflow", "hydra-core",
    "omegaconf", "numpy", "scikit-learn", "captum", "pillow", "timm",
)  # fmt: skip


MOST_NEW = 200  # files that git does not know, looked at


def mask(text: str) -> str:
    """`text` with user and password of every URL in it replaced: http://***@server."""
    return re.sub(r"://[^/\s?#]*@", "://***@", text)


def capture(code: Sequence[Path] = (), own_code: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Machine, packages, command line, and the git state of the first of these folders that has
    one: `code`, the package's own, the working folder; ready for JSON. cnnexp_git: the package's
    own, where that is another. own_code: a person's own files and their digests.
    """
    package = git_state(Path(__file__).parents[1])
    own = next((state for place in code if (state := git_state(place))), None)
    return {
        "command": mask(shlex.join(sys.orig_argv)),
        "folder": str(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": _gpus(),
        "packages": _versions(),
        "own_code": dict(own_code or {}),
        "git": own or package or git_state(Path.cwd()),
        "cnnexp_git": package if own and own != package else None,
    }


def as_tags(environment: dict[str, Any]) -> dict[str, str]:
    """The part of `capture()` that runs are searched and compared by, as MLflow tags."""
    tags = {
        "cnnexp.command": environment["command"],
        "python": environment["python"],
        "mlflow.source.name": environment["command"],  # shown in MLflow's list of runs
        "mlflow.source.type": "LOCAL",
    }
    for name in ("cnnexp", "torch", "torchvision", "pytorch-lightning"):
        if name in environment["packages"]:
            tags[f"version.{name}"] = environment["packages"][name]
    if environment["gpus"]:
        tags["gpu"] = ", ".join(gpu["name"] for gpu in environment["gpus"]["devices"])
    if git := environment["git"]:
        tags["git.dirty"] = str(git["dirty"]).lower()
        tags["git.branch"] = tags["mlflow.source.git.branch"] = git["branch"]
        tags["git.commit"] = tags["mlflow.source.git.commit"] = git["commit"]
    try:
        tags["mlflow.user"] = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        tags["mlflow.user"] = f"uid {os.getuid()}"
    return tags


def git_state(folder: Path) -> dict[str, Any] | None:
    """commit, branch, dirty (tracked files differ, or the folder has Python files that git does not
    know), how much, digest (of what is not committed); None without git or a commit.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if not commit or status is None:
        return None
    # Neither another program's differences nor its texts: a repository's configuration names them.
    diff = ("diff", "--no-ext-diff", "--no-textconv")
    others = _git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", "*.py") or ""
    new = [folder / name for name in others.split("\0") if name][:MOST_NEW]
    size = [_git(folder, *diff, "--shortstat", "HEAD") if status else ""]
    size += [f"{len(new)} new Python file{'s' * (len(new) > 1)}" if new else ""]
    content = hashlib.sha256((_git(folder, *diff, "HEAD") or "" if status else "").encode())
    for path in new:
        with suppress(OSError):
            # A link may lead to what has no end.
            content.update(path.name.encode() + (path.read_bytes() if path.is_file() else b""))
    return {
        "commit": commit,
        "branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD") or "",
        "dirty": bool(status or new),
        "diff": ", ".join(part for part in size if part),
        "digest": content.hexdigest()[:12] if status or new else "",
    }


def _git(folder: Path, *arguments: str) -> str | None:
    # A repository's own configuration may name a program as its file watcher: not run.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            timeout=10,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _gpus() -> dict[str, Any]:
    """{} without GPUs, and as long as nobody has imported torch, for that takes seconds."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    try:
        driver = Path("/proc/driver/nvidia/version").read_text(errors="replace").splitlines()[0]
    except (OSError, IndexError):
        driver = ""
    return {
        "devices": [
            {"name": d.name, "memory_gib": round(d.total_memory / 2**30, 1)} for d in devices
        ],
        "cuda": torch.version.cuda,
        "driver": driver,
    }


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
