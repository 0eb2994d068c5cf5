"""Signals wait for imports, and for pictures: within they can be lost, or hang."""

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from cnnexp.interrupts import interrupts_wait, signals_leave
from cnnexp.reporting.picture import save_figure


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Python's own: whoever runs the tests in the background has signals ignored."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def importing(done: list[str], interrupts: int) -> None:
    with interrupts_wait():
        for _ in range(interrupts):
            signal.raise_signal(signal.SIGINT)
        done.append("imported")


def test_it_comes_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        importing(done, 1)
    assert done == ["imported"]
    assert "another Ctrl-C" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_comes_at_once() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        importing(done, 2)
    assert done == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_one_nothing_happens() -> None:
    with interrupts_wait():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def failing() -> None:
    with interrupts_wait():
        signal.raise_signal(signal.SIGINT)
        raise ImportError("no such module")


def test_an_error_is_not_hidden() -> None:
    with pytest.raises(ImportError):
        failing()


def test_who_answers_the_signal_goes_on_doing_so() -> None:
    heard = []
    former = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with interrupts_wait():
            signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, former)


def test_a_thread_has_no_signals() -> None:
    entered = []

    def enter() -> None:
        with interrupts_wait():
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]


def test_what_ends_a_run_comes_when_its_picture_is_whole(tmp_path: Path) -> None:
    """Within a callback of matplotlib's it would be swallowed, and the run would go on."""

    class Swallowing(Figure):
        def savefig(self, file: Any, **_: Any) -> None:
            with suppress(SystemExit):
                signal.raise_signal(signal.SIGTERM)
            file.write(b"whole")

    with pytest.raises(SystemExit) as caught, signals_leave():
        save_figure(Swallowing(), tmp_path / "a.png")
    assert caught.value.code == 128 + signal.SIGTERM
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.png", b"whole")]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
