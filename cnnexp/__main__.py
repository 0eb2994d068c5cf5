"""`python -m cnnexp`, and the console script: one-line errors, exit codes, and nothing slow."""

import atexit
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from cnnexp import __version__
from cnnexp.config.arguments import parse
from cnnexp.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 2: wrong input, said in one line; 130: interrupted. Bugs keep their traceback."""
    if sys.stdout is None:  # closed by whoever has started us
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  Python closes it at its end
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        if arguments.help:
            from cnnexp.config.help import help_page

            print(help_page(arguments.config_dir))
            return 0
        if arguments.version:
            print(f"cnnexp {__version__}")
            return 0
        if arguments.completion:
            from cnnexp.config.completion import BASH

            print(BASH)
            return 0
        from cnnexp.command import command

        return command(arguments)
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `cnnexp --help | head`: nobody reads any more
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  Python flushes it at its end
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        from cnnexp.files import refused_by_disk

        if why := refused_by_disk(error, Path.cwd()):
            print(f"error: {why}, and try again", file=sys.stderr)
            return 2
        from traceback import print_exception

        from cnnexp.own_code import own_part

        part = own_part(error)
        if part is None:
            raise
        print_exception(type(error), error, part)
        return 1


def cli() -> None:
    """`main`, and then at once out of the process.

    Python's own end takes apart what torch, Lightning and MLflow have imported: seconds, for memory
    that the system takes back anyway.
    """
    try:
        code = main()
    except SystemExit as leaving:  # a signal that ends: a cluster waits seconds, then it kills
        if not isinstance(leaving.code, int):
            raise
        code = leaving.code
    others = [one for one in threading.enumerate() if one is not threading.main_thread()]
    if not all(one.daemon for one in others):  # Python's end waits for them
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # a full disk, say: Python tells of it
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    cli()
