"""Ctrl-C while modules are imported."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
        print("leaving when all is loaded, or now by another Ctrl-C …", file=sys.stderr, flush=True)

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
