"""The images, really built and run where docker or podman, and apptainer, are.

CNNEXP_VARIANT=cuda: with CUDA wheels, which run on a CPU, too.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.containers

ROOT = Path(__file__).parents[2]
VARIANT = os.environ.get("CNNEXP_VARIANT", "cpu")
SMOKE = ["debug=smoke", "visualization=none", "tracking.system_metrics=false"]

Container = Callable[..., subprocess.CompletedProcess[str]]


def call(*command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=3600, check=False
    )


def find_engine() -> str | None:
    """As scripts/build_containers.sh chooses, but buildah, which runs nothing."""
    if shutil.which("docker") and call("docker", "info").returncode == 0:
        return "docker"
    return shutil.which("podman")


ENGINE = find_engine()
APPTAINER = shutil.which("apptainer") or shutil.which("singularity")
with_engine = pytest.mark.skipif(ENGINE is None, reason="no running docker, no podman here")
with_apptainer = pytest.mark.skipif(APPTAINER is None, reason="no apptainer, no singularity here")


@pytest.fixture(scope="module")
def built() -> str:
    """What the script says that builds all that can be built here."""
    if not ENGINE and not APPTAINER:
        pytest.skip("no docker, podman, apptainer or singularity here")
    done = call(str(ROOT / "scripts" / "build_containers.sh"), VARIANT)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.fixture
def container(built: str) -> Container:
    """Run the image with engine's options, and after "--" the command's arguments."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        assert ENGINE is not None
        at = words.index("--")
        options, arguments = words[:at], words[at + 1 :]
        environment = ["--env", "OMP_NUM_THREADS"]  # as here, where it is set here
        image = f"cnnexp:{VARIANT}"
        return call(ENGINE, "run", "--rm", *environment, *options, image, *arguments)

    return run


def open_folder(path: Path) -> Path:
    path.mkdir()
    path.chmod(0o777)  # the image's user is nobody on this machine
    return path


def only_run(outputs: Path) -> dict:
    (record,) = outputs.glob("*/*/run.json")
    return json.loads(record.read_text())


@with_engine
def test_a_whole_experiment_as_the_images_own_user(container: Container, tmp_path: Path) -> None:
    work = open_folder(tmp_path / "work")
    done = container("--volume", f"{work}:/runs", "--", *SMOKE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert only_run(work / "outputs")["status"] == "FINISHED"
    assert (work / "mlflow.db").exists()
    if os.geteuid() == 0:
        assert (work / "outputs").stat().st_uid == 1000


@with_engine
def test_any_user_and_a_read_only_image(container: Container, tmp_path: Path) -> None:
    mounts = [
        word
        for name in ("runs", "cache")
        for word in ("--volume", f"{open_folder(tmp_path / name)}:/{name}")
    ]
    user = ["--user", "12345:12345", "--read-only", "--tmpfs", "/tmp"]
    done = container(*user, *mounts, "--", "task=doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "what a run writes is on mounts" in done.stdout
    done = container(*user, *mounts, "--", *SMOKE)
    assert done.returncode == 0, done.stdout + done.stderr


@with_engine
def test_the_doctor_finds_what_is_not_bound(container: Container, tmp_path: Path) -> None:
    done = container("--", "task=doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/runs/outputs (paths.outputs) and /cache/" in done.stdout
    (tmp_path / "file").write_text("")
    done = container("--volume", f"{tmp_path}/file:/runs/file", "--", "task=doctor",
                     "paths.outputs=file/below", "tracking=none")  # fmt: skip
    assert done.returncode == 1
    assert "outputs   problem /runs/file/below: /runs/file is a file" in done.stdout


@with_engine
def test_a_mounted_clone_does_not_take_the_images_place(
    container: Container, tmp_path: Path
) -> None:
    (tmp_path / "cnnexp").mkdir()
    (tmp_path / "cnnexp" / "__init__.py").write_text("raise SystemExit('the clone')")
    tmp_path.chmod(0o755)
    done = container("--volume", f"{tmp_path}:/runs", "--", "--version")
    assert done.stdout.startswith("cnnexp "), done.stderr


def test_compose_waits_for_a_healthy_server_that_only_this_machine_reaches() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    assert all(port.startswith("127.0.0.1:") for port in services["mlflow"]["ports"])
    assert services["cnnexp"]["depends_on"]["mlflow"]["condition"] == "service_healthy"
    assert "tracking.uri=http://mlflow:5000" in services["cnnexp"]["entrypoint"]


@with_engine
def test_a_run_is_kept_by_the_composed_server(container: Container, tmp_path: Path) -> None:
    """The two services as compose.yaml has them, without compose's network: both on the host's."""
    assert ENGINE is not None
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    work, server, name = open_folder(tmp_path / "work"), services["mlflow"], f"mlf{os.getpid()}"
    environment = [word for k, v in server["environment"].items() for word in ("-e", f"{k}={v}")]
    program, *rest = server["entrypoint"]
    network = ["--network=host", "--add-host=mlflow:127.0.0.1"]
    options = ["--detach", "--name", name, *network, *environment, "--entrypoint", program]
    command = [f"cnnexp:{VARIANT}", *rest, *server["command"]]
    started = call(ENGINE, "run", "--rm", *options, *command)
    assert started.returncode == 0, started.stderr
    try:
        _, *check = server["healthcheck"]["test"]
        wait = f"until '{check[0]}' -c \"{check[2]}\"; do sleep 1; done 2>/dev/null"
        healthy = call(ENGINE, "exec", name, "timeout", "120", "sh", "-c", wait)
        assert healthy.returncode == 0, call(ENGINE, "logs", name).stderr
        done = container(*network, "--volume", f"{work}:/runs", "--",
                         *services["cnnexp"]["entrypoint"][3:], *SMOKE)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "http://mlflow:5000/#/experiments/1/runs/" in done.stdout
        assert not (work / "mlflow.db").exists()
        listed = call(ENGINE, "exec", name, "find", "/runs/artifacts", "-name", "report.html")
        assert listed.stdout.strip(), "files go through the server"
    finally:
        call(ENGINE, "stop", "--time", "5", name)


COMPOSE = [["docker", "compose"]] if ENGINE == "docker" else [["podman-compose"]]


@pytest.mark.parametrize("compose", COMPOSE, ids=" ".join)
def test_the_compose_file_is_valid(compose: list[str]) -> None:
    beside = Path(sys.executable).parent / compose[0]
    program = str(beside) if beside.exists() else shutil.which(compose[0])
    if program is None or call(program, *compose[1:], "version").returncode:
        pytest.skip(f"no {' '.join(compose)} here")
    done = call(program, *compose[1:], "-f", str(ROOT / "docker" / "compose.yaml"), "config")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"].keys() == {"mlflow", "cnnexp"}


def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("no hadolint here")
    done = call(program, str(ROOT / "docker" / "Dockerfile"))
    assert done.returncode == 0, done.stdout


@with_apptainer
def test_the_sif_tests_and_runs(built: str, tmp_path: Path) -> None:
    assert APPTAINER is not None
    sif = str(ROOT / "build" / f"cnnexp-{VARIANT}.sif")
    tested = call(APPTAINER, "test", sif, folder=ROOT)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    bound = ["--bind", f"{tmp_path}:/mnt", "--pwd", "/mnt", "--env", "CNNEXP_CACHE=/mnt/cache"]
    ran = call(APPTAINER, "run", *bound, sif, *SMOKE, folder=ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert only_run(tmp_path / "outputs")["status"] == "FINISHED"
    examined = call(APPTAINER, "run", *bound, sif, "task=doctor", folder=ROOT)
    assert examined.returncode == 0, examined.stdout + examined.stderr
    assert "container ok      Apptainer; what a run writes is on mounts" in examined.stdout
    elsewhere = call(APPTAINER, "run", *bound, sif, "task=doctor", "paths.outputs=/opt/runs",
                     folder=ROOT)  # fmt: skip
    assert elsewhere.returncode == 1
    assert "/opt/runs, made in /opt: not writable" in elsewhere.stdout


def test_one_line_where_nothing_can_be_built(tmp_path: Path) -> None:
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run(
        [str(tmp_path / "bash"), str(ROOT / "scripts" / "build_containers.sh"), "cpu"],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: no running docker, no podman")
    assert done.stderr.count("\n") == 1
