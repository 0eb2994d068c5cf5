"""Ctrl-C while modules are imported; signals that end a run or a sweep, and when they may not."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# What `kill` and clusters send; a cluster's warning before the time limit, in our sbatch scripts.
ENDS = [getattr(signal, n) for n in ("SIGTERM", "SIGUSR1") if hasattr(signal, n)]


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """A first Ctrl-C raises its KeyboardInterrupt at the end of the context, a second one at once.

    Raised within Python's own import it can be swallowed by a callback, and leave a lock taken for
    which other threads then wait for ever. Where somebody else answers the signal, or in a thread,
    nothing is changed.
    """
    caught = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal caught
        if caught:
            signal.default_int_handler(number, frame)
        caught = True
        print("leaving in a moment, or now by another Ctrl-C …", file=sys.stderr, flush=True)

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not ours:
        yield
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if caught:
        raise KeyboardInterrupt


@contextmanager
def signals_leave() -> Iterator[None]:
    """SIGTERM and SIGUSR1 raise SystemExit, so that what is open is closed; only where nobody else
    answers them, and not in a thread.
    """
    main = threading.current_thread() is threading.main_thread()
    ours = [n for n in ENDS if main and signal.getsignal(n) == signal.SIG_DFL]
    process = os.getpid()

    def leave(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a forked worker must not unwind our frames
            os._exit(128 + number)
        raise SystemExit(128 + number)

    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) != signal.SIG_IGN:  # it has done its work already
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def signals_wait() -> Iterator[None]:
    """SIGTERM and SIGUSR1 are answered at the end of the context: what is raised in a callback of
    matplotlib's can be swallowed there, or become another error.
    """
    main = threading.current_thread() is threading.main_thread()
    formers = {n: former for n in ENDS if main and callable(former := signal.getsignal(n))}
    caught: list[int] = []
    for number in formers:
        signal.signal(number, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        for number, former in formers.items():
            signal.signal(number, former)
        if caught:
            signal.raise_signal(caught[0])
