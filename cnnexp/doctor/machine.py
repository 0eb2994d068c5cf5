"""Processor, memory and GPU as this process may use them; a job or container often gets a part."""

import math
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from cnnexp.cores import usable_cores
from cnnexp.doctor.finding import Finding, note, ok, problem

GIB = 2**30
CGROUPS = Path("/sys/fs/cgroup")
SHARED_MEMORY = Path("/dev/shm")
OWN_GROUPS = Path("/proc/self/cgroup")
NVIDIA = Path("/proc/driver/nvidia")
# What SLURM tells a job, the nearer to one process the earlier.
SLURM_CPUS = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
GIVEN_GPUS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES")


def cpu(threads: int, environment: Mapping[str, str], cgroups: Path = CGROUPS) -> list[Finding]:
    """Cores and what limits them, and torch's threads beside them.

    threads: torch.get_num_threads().
    """
    cores = os.cpu_count() or 1
    limits = {"CPU affinity": usable_cores(), "cgroup": cpu_quota(cgroups)}
    named = next((name for name in SLURM_CPUS if environment.get(name, "").isdigit()), None)
    if named:
        limits[named] = int(environment[named])
    below = {name: limit for name, limit in limits.items() if limit and limit < cores}
    usable = math.ceil(min([cores, *below.values()]))
    why = ", ".join(f"{name} {limit:g}" for name, limit in below.items())
    findings = [
        note(
            f"{usable} of {cores} cores ({why})",
            "for more: sbatch --cpus-per-task=…, docker run --cpus=…, taskset",
        )
        if below
        else ok(f"{cores} cores")
    ]
    setting = environment.get("OMP_NUM_THREADS")
    said = f"OMP_NUM_THREADS={setting}" if setting else "OMP_NUM_THREADS is not set"
    text = f"torch uses {threads} for {usable} core{'s' * (usable > 1)} ({said})"
    if threads > usable:
        findings.append(note(f"{text}: they wait for each other", f"OMP_NUM_THREADS={usable}"))
    elif threads < usable and setting:  # unset, torch takes one per core, not per hyper-thread
        findings.append(note(f"{text}: the others idle", f"OMP_NUM_THREADS={usable}"))
    else:
        findings.append(ok(text))
    return findings


def memory(cgroups: Path = CGROUPS) -> Finding:
    machine = psutil.virtual_memory()
    limit = memory_limit(cgroups)
    limited = limit is not None and limit < machine.total
    total = limit if limited and limit else machine.total
    free = min(machine.available, total - psutil.Process().memory_info().rss)
    text = f"{total / GIB:.1f} GiB, {free / GIB:.1f} GiB free"
    if limited:
        text += f" (cgroup limit; the machine has {machine.total / GIB:.1f} GiB)"
    fix = "ask for more: sbatch --mem=…, docker run --memory=…; or a smaller dataset.batch_size"
    if free < GIB:
        return problem(text, fix)
    return note(text, fix) if free < 4 * GIB else ok(text)


def shared_memory(folder: Path = SHARED_MEMORY) -> Finding:
    """Several processes of one run (DDP) exchange data here; a container has 64 MB by default."""
    if not folder.is_dir():
        return note(f"there is no {folder}: several processes of one run cannot share memory")
    usage = shutil.disk_usage(folder)
    text = f"{folder}: {usage.free / GIB:.2f} of {usage.total / GIB:.2f} GiB free"
    if usage.free < GIB:
        return note(f"{text}, little for several GPUs", "docker run --shm-size=2g, or --ipc=host")
    return ok(text)


def cpu_quota(cgroups: Path = CGROUPS, own: Path = OWN_GROUPS) -> float | None:
    """Cores' worth of time that the control groups of this process allow; None: all."""
    quotas = []
    for folder in own_groups(cgroups, own, "cpu"):
        words = _read(folder / "cpu.max").split()  # version 2: "200000 100000", "max 100000"
        if not words:
            words = [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def memory_limit(cgroups: Path = CGROUPS, own: Path = OWN_GROUPS) -> int | None:
    """Bytes that the control groups of this process allow; None: all."""
    texts = [
        _read(folder / name)
        for folder in own_groups(cgroups, own, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min((int(text) for text in texts if text.isdigit()), default=None)


def own_groups(cgroups: Path, own: Path, controller: str) -> Iterator[Path]:
    """The folders of a process's control group and of those above it, versions 1 and 2.

    own: its /proc/<id>/cgroup.

    https://man7.org/linux/man-pages/man7/cgroups.7.html: lines such as "4:memory:/slurm/job_7" and
    "0::/user.slice". Inside a container the group is often mounted as the root: that is last.
    """
    for line in _read(own).splitlines():
        _, controllers, inner = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroups / controllers if controllers else cgroups
        group = root / inner.lstrip("/")
        yield group
        yield from (folder for folder in group.parents if folder.is_relative_to(root))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def gpu(accelerator: str, environment: Mapping[str, str], nvidia: Path = NVIDIA) -> Finding:
    """What torch sees, against what the driver and the job's environment say is there."""
    import torch

    with warnings.catch_warnings(record=True) as said:  # of a driver that is too old
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    driver = next(iter(_read(nvidia / "version").splitlines()), "")
    if count:
        each = [torch.cuda.get_device_properties(i) for i in range(count)]
        names = ", ".join(f"{d.name} ({d.total_memory / GIB:.0f} GiB)" for d in each)
        return ok(f"{names}; {driver or 'driver unknown'}")
    if torch.backends.mps.is_available():
        return ok("Apple's (mps)")
    given = next((name for name in GIVEN_GPUS if environment.get(name, "") not in ("", "-1")), None)
    if driver and environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return note("hidden by an empty CUDA_VISIBLE_DEVICES", "unset CUDA_VISIBLE_DEVICES")
    if driver or given:
        there = driver or f"{given}={environment[given or '']}"
        fix = "in a container: apptainer run --nv, docker run --gpus all"
        if torch.version.cuda is None:
            fix = "this torch is built for the CPU alone; install PyPI's: pip install torch"
        elif said:
            there += f"; {str(said[0].message).splitlines()[0][:160]}"
        return problem(f"torch sees none, though there is one ({there})", fix)
    if accelerator in ("gpu", "cuda", "mps"):
        return problem(f"none, and trainer.accelerator={accelerator}", "trainer.accelerator=auto")
    return ok("none: the CPU trains")


def precision(setting: str, accelerator: str) -> Finding:
    """What `trainer.precision` comes to here, and why. Raises InputError where it cannot be."""
    from cnnexp.experiment import device_of
    from cnnexp.training.precision import resolve_precision

    device = device_of({"trainer": {"accelerator": accelerator}})
    chosen = resolve_precision(setting, device)
    what = {"cpu": "this CPU", "cuda": "this GPU"}.get(device.type, device.type)
    if setting != "auto":
        return ok(f"{chosen} on {device}, as trainer.precision says")
    if chosen == "bf16-mixed":
        return ok(f"{chosen} on {device}: {what} multiplies bfloat16 itself")
    text = f"{chosen} on {device}: {what} has no bfloat16 of its own"
    return note(text, "trainer.precision=16-mixed") if device.type == "cuda" else ok(text)
