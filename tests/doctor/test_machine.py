"""Processor, memory, GPU and packages; limits are really set where that is possible."""

import importlib.metadata
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cnnexp.doctor import machine, software

CORES = os.cpu_count() or 1
needs_cores = pytest.mark.skipif(CORES < 2, reason="a limit needs two cores")


def in_a_process(code: str, **arguments: object) -> str:
    """What Python prints; without torch, so in no time."""
    script = "import os\nfrom cnnexp.doctor import machine\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments.values())],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


@needs_cores
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_of_one_core() -> None:
    said = in_a_process("""
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(*machine.cpu(4, {}), sep="\\n")
    """)
    cores, threads = said.splitlines()
    assert cores.startswith(f"1 of {CORES} cores (CPU affinity 1")
    assert threads.startswith("torch uses 4 for 1 core (OMP_NUM_THREADS is not set)")
    assert threads.endswith("; OMP_NUM_THREADS=1")


@pytest.fixture
def half_a_core_and_256_mib() -> Iterator[list[Path]]:
    """Real control groups, version 1 or 2, with these limits; their cgroup.procs."""
    root = machine.CGROUPS
    unified = (root / "cgroup.controllers").exists()
    wanted = (
        {"": {"cpu.max": "50000 100000", "memory.max": str(2**28)}}
        if unified
        else {
            "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"},
            "memory": {"memory.limit_in_bytes": str(2**28)},
        }
    )
    made: list[Path] = []
    try:
        for controller, limits in wanted.items():
            folder = root / controller / f"cnnexp_test_{os.getpid()}"
            folder.mkdir()
            made.append(folder)
            for name, value in limits.items():
                (folder / name).write_text(value)
    except OSError as error:
        for folder in made:
            folder.rmdir()
        pytest.skip(f"no control groups can be made here: {error}")
    yield [folder / "cgroup.procs" for folder in made]
    for folder in made:
        folder.rmdir()


def test_limits_of_real_control_groups(half_a_core_and_256_mib: list[Path]) -> None:
    joining = [
        f"open({str(path)!r}, 'w').write(str(os.getpid()))" for path in half_a_core_and_256_mib
    ]
    said = in_a_process(
        "\n".join([*joining, "print(*machine.cpu(1, {}), machine.memory(), sep='\\n')"])
    )
    cores, _, memory = said.splitlines()
    assert cores.startswith(f"1 of {CORES} cores (")
    assert "cgroup 0.5" in cores
    assert memory.startswith("0.2 GiB, 0.2 GiB free (cgroup limit; the machine has ")


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    """Files as both versions write them, after cgroups(7)."""
    own, root = tmp_path / "own", tmp_path / "cgroup"
    own.write_text("0::/slurm/job_7\n")
    (root / "slurm" / "job_7").mkdir(parents=True)
    (root / "slurm" / "job_7" / "cpu.max").write_text("max 100000\n")
    (root / "slurm" / "job_7" / "memory.max").write_text("max\n")
    assert machine.cpu_quota(root, own) is None
    assert machine.memory_limit(root, own) is None
    (root / "slurm" / "cpu.max").write_text("150000 100000\n")
    (root / "slurm" / "memory.max").write_text(f"{3 * 2**30}\n")
    assert machine.cpu_quota(root, own) == 1.5
    assert machine.memory_limit(root, own) == 3 * 2**30

    own.write_text("5:memory:/user\n4:cpu,cpuacct:/\n")
    (root / "cpu,cpuacct").mkdir()
    (root / "memory" / "user").mkdir(parents=True)
    (root / "cpu,cpuacct" / "cpu.cfs_quota_us").write_text("-1\n")
    (root / "cpu,cpuacct" / "cpu.cfs_period_us").write_text("100000\n")
    (root / "memory" / "user" / "memory.limit_in_bytes").write_text(f"{2**31}\n")
    assert machine.cpu_quota(root, own) is None
    assert machine.memory_limit(root, own) == 2**31


@needs_cores
def test_slurm_gives_a_job_fewer_cores(tmp_path: Path) -> None:
    cores, threads = machine.cpu(CORES, {"SLURM_CPUS_PER_TASK": "1"}, cgroups=tmp_path)
    assert cores.state == threads.state == "note"
    assert "SLURM_CPUS_PER_TASK 1" in str(cores)
    assert "sbatch --cpus-per-task" in cores.fix
    assert threads.fix == "OMP_NUM_THREADS=1"


def test_threads_that_idle_and_threads_that_fit(tmp_path: Path) -> None:
    usable = machine.usable_cores()
    *_, fits = machine.cpu(usable, {}, cgroups=tmp_path)
    assert fits.state == "ok"
    if usable > 1:
        *_, idle = machine.cpu(1, {"OMP_NUM_THREADS": "1"}, cgroups=tmp_path)
        assert (idle.state, idle.fix) == ("note", f"OMP_NUM_THREADS={usable}")


def test_packages_against_requirements() -> None:
    version = importlib.metadata.version("torch")
    old, absent = software.packages(["torch>=99", "no-such-package-1", "nothing; extra == 'dev'"])
    assert old.state == absent.state == "problem"
    assert str(old) == f"torch {version}, needed is >=99; pip install 'torch>=99'"
    assert str(absent) == "no-such-package-1 is not installed; pip install 'no-such-package-1'"
    (fine,) = software.packages(["torch>=2"])
    assert (fine.state, str(fine)) == ("ok", f"1 as required: torch {version}")


no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")


@no_gpu
def test_a_gpu_that_torch_does_not_see(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module 470.1\n")
    there = machine.gpu("auto", {}, nvidia=tmp_path)
    assert there.state == "problem"
    assert "470.1" in str(there)
    given = machine.gpu("auto", {"SLURM_JOB_GPUS": "0"}, nvidia=tmp_path / "none")
    assert given.state == "problem"
    assert "SLURM_JOB_GPUS=0" in str(given)
    hidden = machine.gpu("auto", {"CUDA_VISIBLE_DEVICES": ""}, nvidia=tmp_path)
    assert hidden.state == "note"
    assert machine.gpu("auto", {}, nvidia=tmp_path / "none").state == "ok"
    assert machine.gpu("gpu", {}, nvidia=tmp_path / "none").state == "problem"


@no_gpu
def test_the_precision_and_why() -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    native = not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)
    said = str(machine.precision("auto", "auto"))
    assert said.startswith("bf16-mixed on cpu: " if native else "32-true on cpu: ")
    assert str(machine.precision("32-true", "cpu")).startswith("32-true on cpu, as trainer.")
