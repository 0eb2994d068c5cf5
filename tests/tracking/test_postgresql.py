"""Sixteen jobs at once, one server on PostgreSQL, which goes away in the middle: nothing lost,
nothing twice. Debian: apt-get install postgresql. Takes minutes.
"""

import csv
import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=Path("none")).parent
needed = [name for name in ("flask_wtf", "psycopg2") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(needed), reason=f"mlflow[auth] or psycopg2-binary: no {needed}"),
    pytest.mark.skipif(
        not (POSTGRESQL / "initdb").exists(), reason="PostgreSQL's programs are not here"
    ),
]
SERVER = Path(__file__).parents[2] / "scripts" / "tracking_server.sh"
JOBS = range(16)
ENDING = range(4)  # those that come to their end while the server is away
WITH_MODEL = (3, 4)  # of each kind one; exporting it takes each several seconds
AWAY_SECONDS = 30
WAITING, GOING_ON = 10, 2  # seconds a step; until the server goes away there may be minutes

# A step takes as many seconds as the file says: all jobs train at once, hardly using the CPU.
CODE = """
import time
from pathlib import Path

def paced(path: str):
    def wait(images):
        begun = time.monotonic()
        while time.monotonic() - begun < float(Path(path).read_text()):
            time.sleep(0.2)
        return images
    return wait
"""
# 72 training images: 9 steps an epoch, 108 in all.
EXPERIMENT = """# @package _global_
# Small.
defaults:
  - override /dataset: shapes
  - override /visualization: none
  - override /augmentation: paced
name: small
dataset: {images: 120, image_size: 24, batch_size: 8}
model: {widths: [[4]], dense: []}
trainer: {max_epochs: 12, precision: 32-true, log_every_n_steps: 1}
"""


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The address of an empty database, by a socket that nobody else can open."""
    # Not below tmp_path: that is root's, whose folders PostgreSQL's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    become: list[str] = []
    if os.getuid() == 0:  # as whom PostgreSQL does not run
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        become = ["runuser", "-u", "nobody", "--"]

    def call(program: str, *arguments: str) -> None:
        command = [*become, str(POSTGRESQL / program), *arguments]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    data = f"--pgdata={folder}/data"
    try:
        call("initdb", data, "--auth=trust", "--username=cnnexp", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        call("pg_ctl", data, "--wait", f"--log={folder}/log", f"--options={options}", "start")
        call("createdb", "--host", str(folder), "--username=cnnexp", "mlflow")
        yield f"postgresql+psycopg2://cnnexp@/mlflow?host={folder}"
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            call("pg_ctl", data, "--wait", "--mode=immediate", "stop")
        shutil.rmtree(folder)


class Server:
    """scripts/tracking_server.sh, stopped and started at will."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self._database = folder, database
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        log = self.folder.with_suffix(".log")
        with log.open("ab") as told:
            self._process = subprocess.Popen(
                [str(SERVER), str(self.folder), str(self._port)], stdout=told, stderr=told,
                env={**environment, "PATH": path, "STORE": self._database},
                start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + 180
        while not self._answers():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.5)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.address}/health", timeout=2).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    def stop(self) -> None:
        """At once, whatever it is doing."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(postgresql: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "tracking", postgresql)
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Job:
    def __init__(self, number: int, work: Path, server: Server) -> None:
        self._told, self._pace = work / f"told{number}", work / f"pace{number}"
        self.pace(WAITING)
        password = (server.folder / "admin_password").read_text().strip()
        command = [
            "--config-dir", "mine", "experiment=small", f"seed={number}",
            f"augmentation.path={self._pace}", f"tracking.uri={server.address}",
            f"tracking.log_model={number in WITH_MODEL}", f"paths.cache={work / 'cache'}",
        ]  # fmt: skip
        with self._told.open("wb") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cnnexp", *command], cwd=work, stdout=told, stderr=told,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_USERNAME": "admin",
                     "MLFLOW_TRACKING_PASSWORD": password},
            )  # fmt: skip

    def pace(self, seconds: float) -> None:
        new = self._pace.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._pace)

    def runs(self) -> bool:
        assert self.process.poll() in (None, 0), self.told
        return self.process.poll() is None

    @property
    def told(self) -> str:
        return self._told.read_text()


def told(jobs: list[Job]) -> str:
    return "\n".join(job.told for job in jobs)


def wait(until: Callable[[], bool], jobs: list[Job], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, told(jobs)
        time.sleep(0.5)


class Database:
    """What PostgreSQL itself holds, without MLflow."""

    def __init__(self, address: str) -> None:
        self._address = address.replace("+psycopg2", "")

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        import psycopg2

        with closing(psycopg2.connect(self._address)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def runs(self, where: str = "true") -> int:
        """How many have metrics of this kind."""
        query = f"SELECT count(DISTINCT run_uuid) FROM metrics WHERE {where}"
        return int(self.ask(query)[0][0])


def test_sixteen_jobs_and_a_server_that_goes_away(
    server: Server, postgresql: str, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    (work / "mine" / "augmentation").mkdir(parents=True)
    (work / "mine" / "experiment").mkdir()
    (work / "mine" / "paces.py").write_text(CODE)
    (work / "mine" / "augmentation" / "paced.yaml").write_text(
        "# Paced.\n_target_: paces.paced\npath: pace\n"
    )
    (work / "mine" / "experiment" / "small.yaml").write_text(EXPERIMENT)
    database = Database(postgresql)
    jobs = [Job(number, work, server) for number in JOBS]
    try:
        interrupt(server, database, jobs)
        wait(lambda: sum(job.runs() for job in jobs) == 0, jobs, seconds=1800)
    finally:
        for job in jobs:
            if job.process.poll() is None:
                job.process.kill()
                job.process.wait()
    assert [job.process.returncode for job in jobs] == [0] * len(JOBS)
    assert "task=sync" not in told(jobs), "nothing is left to be brought in"

    of = "runs JOIN experiments USING (experiment_id)"
    runs = database.ask(f"SELECT experiments.name, runs.status FROM {of}")
    assert runs == [("small", "FINISHED")] * len(JOBS)
    whole = database.ask("SELECT value FROM tags WHERE key = 'cnnexp.whole'")
    assert whole == [("true",)] * len(JOBS)
    twice = "SELECT 1 FROM metrics GROUP BY run_uuid, key, step HAVING count(*) > 1"
    assert database.ask(twice) == []
    folders = dict(database.ask("SELECT value, run_uuid FROM tags WHERE key = 'cnnexp.folder'"))
    assert set(folders) == {str(path) for path in (work / "outputs" / "small").iterdir()}
    assert len(folders) == len(set(folders.values())) == len(JOBS)
    models = []
    for folder, run_id in folders.items():
        seed = compare(Path(folder), run_id, database, server.folder)
        models += [run_id] * (seed in WITH_MODEL)
    kept = database.ask(
        "SELECT source_run_id FROM logged_models WHERE lifecycle_stage = 'active' AND status = 2"
    )
    assert sorted(run_id for (run_id,) in kept) == sorted(models)


def interrupt(server: Server, database: Database, jobs: list[Job]) -> None:
    """The server, once all jobs train; a few of them end meanwhile, the others go on."""
    own, system = "key NOT LIKE 'system/%'", "key LIKE 'system/%'"
    training = len(jobs)
    wait(lambda: sum(job.runs() for job in jobs) == database.runs(own) == training, jobs, 900)
    server.stop()
    stopped_s = time.time()
    ending = [jobs[number] for number in ENDING]
    going_on = [job for job in jobs if job not in ending]
    for job in jobs:
        assert job.runs()
        job.pace(0 if job in ending else GOING_ON)
    wait(lambda: all("at most for the store" in job.told for job in ending), jobs, 900)
    time.sleep(max(0, stopped_s + AWAY_SECONDS - time.time()))
    back_s = time.time()
    for job in jobs:
        assert job.runs()
        job.pace(WAITING)
    server.start()
    back = f"timestamp > {1000 * time.time():.0f}"
    wait(lambda: sum(job.runs() for job in ending) == 0, jobs, 900)
    # What waited is sent while they train, and the system is measured again.
    wait(lambda: database.runs(f"{own} AND {back}") == len(going_on), jobs, 900)
    wait(lambda: database.runs(f"{system} AND {back}") == len(going_on), jobs, 900)
    assert sum(job.runs() for job in jobs) == len(going_on)
    meanwhile = f"timestamp BETWEEN {1000 * stopped_s:.0f} AND {1000 * back_s:.0f}"
    assert database.runs(f"{own} AND {meanwhile}") == len(jobs)
    for job in going_on:
        job.pace(0)


def compare(folder: Path, run_id: str, database: Database, files: Path) -> int:
    """What the run's folder has with what PostgreSQL and the server's disk have; its seed."""
    reached = json.loads((folder / "run.json").read_text())["metrics"]
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = {int(row["step"]): float(row["epoch"]) for row in rows if row["metric"] not in reached}
    expected = [("epoch", step, epoch) for step, epoch in steps.items()] + [
        (row["metric"], 0 if row["metric"] in reached else int(row["step"]), float(row["value"]))
        for row in rows
    ]
    assert len(steps) > 100
    where = f"run_uuid = '{run_id}'"
    query = f"SELECT key, step, value FROM metrics WHERE {where} AND key NOT LIKE 'system/%'"
    assert sorted(database.ask(query)) == sorted(expected)

    config = yaml.safe_load((folder / "config.yaml").read_text())
    given = {k: value for k, value in config.items() if k != "overrides" and value is not None}
    params = database.ask(f"SELECT key, value FROM params WHERE {where}")
    assert sorted(params) == sorted(texts(given))

    sent = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in (".png", ".csv", ".html", ".json", ".yaml")
    ]
    names = {path.name for path in sent}
    assert names > {"config.yaml", "splits.csv", "predictions.csv", "report.html", "run.json"}
    (there,) = files.glob(f"files/*/{run_id}/artifacts")
    for path in sent:
        assert (there / path.relative_to(folder)).read_bytes() == path.read_bytes(), path
    assert (there / "log.txt").is_file()
    return int(config["seed"])


def texts(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """As MLflow has parameters."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from texts(value, f"{prefix}{key}.")
        else:
            plain = {None: "null", True: "true", False: "false"}
            is_plain = value is None or isinstance(value, bool)
            yield prefix + key, plain[value] if is_plain else str(value)
