"""Folders that cannot be written, SLURM that does not answer, containers."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cnnexp.doctor import places
from cnnexp.doctor.cluster import slurm


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system in memory with these mount options; root alone can make one."""
    made: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"mount{len(made)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "cnnexp_test", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield mount
    for folder in made:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    found = places.folder(tmp_path / "a" / "b", "paths.outputs")
    assert str(found).startswith(f"{tmp_path}/a/b, made in {tmp_path}: ")
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = places.folder(tmp_path / "file" / "outputs", "paths.outputs")
    assert found.state == "problem"
    assert f"{tmp_path}/file is a file" in str(found)
    assert found.fix.startswith("paths.outputs=")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="root may write anywhere, and Windows has no such modes",
)
def test_a_closed_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    found = places.folder(tmp_path / "outputs", "paths.outputs")
    tmp_path.chmod(0o755)
    assert (found.state, "not writable" in str(found)) == ("problem", True)


def test_a_read_only_file_system(mounted: Callable[[str], Path]) -> None:
    folder = mounted("ro")
    found = places.folder(folder / "outputs", "paths.outputs")
    assert found.state == "problem"
    assert f"made in {folder}: not writable" in str(found)


def test_a_full_disk_and_one_that_is_nearly(mounted: Callable[[str], Path]) -> None:
    full = mounted("size=1m")
    (full / "all").write_bytes(bytes(1 << 20))
    assert places.folder(full, "paths.cache").state == "problem"
    assert str(places.folder(full, "paths.cache")).startswith(f"{full}: 0.0 GB free; make room")
    nearly = places.folder(mounted("size=1g"), "paths.cache")
    assert (nearly.state, "1.1 GB free" in str(nearly)) == ("note", True)


def test_in_a_container_what_is_on_no_mount_is_lost(
    tmp_path: Path, mounted: Callable[[str], Path]
) -> None:
    bound = mounted("size=1m")
    env = {"APPTAINER_CONTAINER": "/image.sif"}
    assert places.container({"paths.outputs": bound / "new"}, env).state == "ok"
    found = places.container({"paths.outputs": bound, "paths.cache": Path("/cache/new")}, env)
    assert found.state == "note"
    assert "Apptainer: /cache/new (paths.cache) would end with the container" in str(found)
    assert str(bound) not in str(found)


@pytest.mark.parametrize(
    ("mark", "kind"),
    [(".dockerenv", "Docker"), ("run/.containerenv", "Podman"), (".singularity.d/x", "Apptainer")],
)
def test_kinds_of_container(tmp_path: Path, mark: str, kind: str) -> None:
    assert places.container_kind({}, root=tmp_path) is None
    assert places.container_kind({"container": "podman"}, root=tmp_path) == "Podman"
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).write_text("")
    assert places.container_kind({}, root=tmp_path) == kind


def commands(folder: Path, **scripts: str) -> dict[str, str]:
    """An environment whose PATH has these programs alone."""
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


def test_slurm_is_looked_for_where_it_is_expected(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path)}
    assert slurm(nothing, in_container=False).state == "ok"
    missing = slurm(nothing | {"SLURM_CONF": "/etc/slurm.conf"}, in_container=False)
    assert missing.state == "note"
    assert str(missing).startswith("sbatch, scontrol, sacct not found; submit from a login node")
    inside = slurm(nothing | {"SLURM_JOB_ID": "7"}, in_container=True)
    assert str(inside).startswith("job 7, sbatch, scontrol, sacct not found; ")
    assert "outside the container" in inside.fix


def test_slurm_that_does_not_answer(tmp_path: Path) -> None:
    down = commands(
        tmp_path, sbatch="", sacct="", scontrol="echo 'Slurmctld(primary) at node is DOWN'"
    )
    found = slurm(down, in_container=False)
    assert str(found).startswith("scontrol ping: Slurmctld(primary) at node is DOWN; ")
    no_records = commands(
        tmp_path, scontrol="", sacct="echo Slurm accounting storage is disabled >&2; exit 1"
    )
    found = slurm(no_records, in_container=False)
    assert (found.state, "Slurm accounting storage is disabled" in str(found)) == ("note", True)
    assert "slurm/*.sbatch" in found.fix
    fine = commands(tmp_path, sacct="")
    found = slurm(fine, in_container=False)
    assert found.state == "ok" or found.fix == "pip install 'cnnexp[slurm]'"
