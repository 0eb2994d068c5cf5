"""A server that goes away and comes back, or not: what was to be sent is there in the end, once."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cnnexp.tracking import outbox, store
from cnnexp.tracking.outbox import Outbox
from cnnexp.tracking.sync import find_run
from cnnexp.tracking.tracker import Tracker


class Answers(BaseHTTPRequestHandler):
    """As MLflow's server does when it is asked whether it is there."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server:
    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._server: HTTPServer | None = None

    def start(self) -> None:
        self._server = HTTPServer(("127.0.0.1", self._port), Answers)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self) -> None:
        """Whatever it is sent."""
        if self._server is None:
            raise ConnectionError("refused")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def box_of(server: Server) -> tuple[Outbox, list[str]]:
    """With a list of what has arrived."""
    return Outbox(store.connect(server.uri), server.uri, "0" * 32), []


def put(box: Outbox, server: Server, there: list[str], what: str) -> None:
    def send() -> None:
        server.take()
        there.append(what)

    box.put(what, send)


def test_what_a_server_that_is_away_could_not_take_waits_in_its_order(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    box, there = box_of(server)
    put(box, server, there, "config.yaml")
    put(box, server, there, "tags")
    box.send()
    assert there == []
    assert caplog.text.count("to be sent") == 1, "the others are not tried while it is away"
    server.start()
    put(box, server, there, "report.html")
    assert there == [], "not before what waits"
    box.flush()
    assert there == [], "not before RETRY_SECONDS"
    box.send()
    assert there == ["config.yaml", "tags", "report.html"]
    put(box, server, there, "figures")
    assert there[-1] == "figures"
    box.send()
    assert len(there) == 4
    assert not box.waiting


def test_what_is_refused_does_not_hold_up_the_rest(server: Server) -> None:
    server.start()
    box, there = box_of(server)

    def refuse() -> None:
        raise ValueError("not this one")

    box.put("refused", refuse)
    put(box, server, there, "config.yaml")
    box.send()
    assert there == ["config.yaml"]
    assert [what for what, _ in box.others] == ["refused"]


@pytest.mark.parametrize(("times", "waits"), [(1, False), (2, True)])
def test_a_row_that_another_job_makes_at_the_same_moment(
    server: Server, times: int, waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server.start()
    box, there = box_of(server)
    tried: list[int] = []

    def send() -> str:
        tried.append(1)
        if len(tried) <= times:
            raise RuntimeError("(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.name")
        there.append("dataset")
        return "sent"

    assert box.put("dataset", send) == (None if waits else "sent")
    assert box.waiting == waits
    assert ("to be sent" in caplog.text) == waits
    box.send()
    assert there == ["dataset"]


def test_a_run_waits_for_its_server_but_not_for_ever(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, _ = box_of(server)
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 20))
    monkeypatch.setattr(outbox, "PATIENCE_SECONDS", 0.05)
    assert not box.wait()
    monkeypatch.setattr(outbox, "PATIENCE_SECONDS", 60)
    threading.Timer(0.2, server.start).start()
    assert box.wait()


def test_a_batch_whose_answer_was_lost_is_there_once(uri: str) -> None:
    tracker = Tracker(uri, system_metrics=False, experiment="cats")
    for step, value in enumerate([0.1, float("nan"), float("inf")]):
        tracker.log_metrics({"loss": value}, step)
    box = tracker._outbox
    waiting = list(box.metrics)
    tracker.flush()
    box.metrics = [*waiting, ("loss", 0.2, waiting[-1][2], 3)]  # sent again, with what came since
    tracker.finish()
    client = store.connect(uri)
    history = client.get_metric_history(str(tracker.run_id), "loss")
    assert sorted(metric.step for metric in history) == [0, 1, 2, 3]


class Killed(Exception):
    pass


def test_a_run_whose_id_never_arrived_is_found_by_its_folder(uri: str, tmp_path: Path) -> None:
    class Cut(Tracker):
        def log_tags(self, tags: Any) -> None:  # the first after the run was made
            raise Killed

    with pytest.raises(Killed):
        Cut(uri, system_metrics=False, experiment="cats", folder=tmp_path)
    assert find_run(store.connect(uri), tmp_path, None) is not None
