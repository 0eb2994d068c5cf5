"""Against a real server on loopback that breaks off, lies about lengths and sends wrong files."""

import hashlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from cnnexp.data.download import download
from cnnexp.errors import InputError

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Each path is a behaviour. asked: (path, Range, If-Range) of every request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def ranges(self) -> list[str | None]:
        return [asked[1] for asked in self.asked]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted, self.headers.get("If-Range")))
        count = len(self.server.asked)
        match self.path:
            case "/breaks":  # every answer stops after 100,000 bytes
                self.part(wanted, limit=100_000)
            case "/ignores-range":
                self.whole(limit=100_000 if count == 1 else None)
            case "/always-short":  # promises more than it ever sends
                self.whole(promised=len(CONTENT) + 50)
            case "/promises-less":
                self.whole(promised=200_000, limit=200_000)
            case "/wrong":
                self.whole(body=b"<html>please log in</html>")
            case "/busy-once":
                self.send_error(503) if count == 1 else self.whole()
            case "/no-length":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(CONTENT)
            case "/missing":
                self.send_error(404)
            case _:
                self.part(wanted)

    def whole(
        self, body: bytes = CONTENT, promised: int | None = None, limit: int | None = None
    ) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(promised or len(body)))
        self.send_header("ETag", '"v2"')
        self.end_headers()
        self.wfile.write(body[:limit])

    def part(self, wanted: str | None, limit: int | None = None) -> None:
        other_version = self.headers.get("If-Range") not in (None, '"v2"')
        if not wanted or other_version:
            return self.whole(limit=limit)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:][:limit])
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def refusal(url: str, path: Path, md5: str | None = MD5) -> str:
    with pytest.raises(InputError) as caught:
        download(url, path, md5=md5, wait_s=0.001)
    message = str(caught.value)
    assert "\n" not in message
    assert url in message
    assert str(path) in message
    assert "dataset.root=" in message
    return message


def test_whole_file_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.bin"
    assert download(f"{server.url}/plain", path, md5=MD5) == path
    assert path.read_bytes() == CONTENT
    download(f"{server.url}/plain", path, md5=MD5)
    assert server.ranges() == [None]
    assert sorted(p.name for p in path.parent.iterdir() if p.suffix != ".lock") == ["file.bin"]


def test_broken_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    path = download(f"{server.url}/breaks", tmp_path / "f", md5=MD5, attempts=1, wait_s=0.001)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=100000-", "bytes=200000-"]


def test_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    path = download(f"{server.url}/ignores-range", tmp_path / "f", md5=MD5, wait_s=0.001)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=100000-"]


def test_part_of_an_earlier_process_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT[:250_000])
    assert download(f"{server.url}/plain", tmp_path / "f", md5=MD5).read_bytes() == CONTENT
    assert server.ranges() == ["bytes=250000-"]


def test_whole_part_of_an_earlier_process_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT)
    assert download(f"{server.url}/plain", tmp_path / "f", md5=MD5).read_bytes() == CONTENT


def test_part_of_another_version_is_not_mixed_in(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"old" * 1000)
    (tmp_path / "f.part.version").write_text('"v1"')
    assert download(f"{server.url}/plain", tmp_path / "f").read_bytes() == CONTENT
    assert server.asked == [("/plain", "bytes=3000-", '"v1"')]


def test_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT + b"more")
    path = download(f"{server.url}/plain", tmp_path / "f", md5=MD5, wait_s=0.001)
    assert path.read_bytes() == CONTENT


def test_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    path = download(f"{server.url}/busy-once", tmp_path / "f", md5=MD5, wait_s=0.001)
    assert path.read_bytes() == CONTENT


def test_answer_without_a_length(server: Server, tmp_path: Path) -> None:
    assert download(f"{server.url}/no-length", tmp_path / "f", md5=MD5).read_bytes() == CONTENT


def test_short_answers_are_never_a_file(server: Server, tmp_path: Path) -> None:
    message = refusal(f"{server.url}/always-short", tmp_path / "f", md5=None)
    assert "300,000 of 300,050 bytes" in message
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(("behaviour", "size"), [("promises-less", "200,000"), ("wrong", "26")])
def test_wrong_file_is_removed(server: Server, tmp_path: Path, behaviour: str, size: str) -> None:
    message = refusal(f"{server.url}/{behaviour}", tmp_path / "f")
    assert f"{size} bytes" in message
    assert MD5 in message
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


def test_sha256_is_checked_too(server: Server, tmp_path: Path) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    download(f"{server.url}/plain", tmp_path / "good", sha256=right)
    with pytest.raises(InputError, match="sha256"):
        download(f"{server.url}/plain", tmp_path / "bad", sha256="0" * 64)


def test_what_has_no_checksum_is_asked_of(server: Server, tmp_path: Path) -> None:
    download(f"{server.url}/plain", tmp_path / "good", fits=lambda path: path.stat().st_size > 26)
    with pytest.raises(InputError, match="26 bytes not of the kind"):
        download(
            f"{server.url}/wrong", tmp_path / "bad", fits=lambda path: path.stat().st_size > 26
        )
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("bad.part")]


def test_missing_file_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    assert "HTTP 404" in refusal(f"{server.url}/missing", tmp_path / "f")
    assert len(server.asked) == 1


def test_no_server(tmp_path: Path) -> None:
    server = Server()
    server.server_close()  # its port is now closed
    assert "refused" in refusal(f"{server.url}/plain", tmp_path / "f")


def test_no_such_host(tmp_path: Path) -> None:
    refusal("http://cnnexp.invalid/f", tmp_path / "f")


def test_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"paths\.cache"):
        download(f"{server.url}/plain", tmp_path / "file" / "f", md5=MD5)


def test_processes_share_one_download(server: Server, tmp_path: Path) -> None:
    script = (
        "import sys; from cnnexp.data.download import download; "
        f"download('{server.url}/breaks', sys.argv[1], md5='{MD5}', wait_s=0.3)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "f")]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=100000-", "bytes=200000-"]
