"""What the commands have in common: their exit statuses, and how they end when they cannot write."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["FAILED", "REFUSED", "interruptible", "rendered", "writing"]

FAILED: Final = 1
"""Exit status: what was asked for does not hold, or could not be had."""

REFUSED: Final = 2
"""Exit status: what was given cannot be used, or the output cannot be written."""


def rendered(console: Console, *what: RenderableType) -> str:
    """Lay something out as a console would, without the blanks that fill up lines."""
    with console.capture() as captured:
        for one in what:
            console.print(one)
    return "\n".join(line.rstrip() for line in captured.get().split("\n"))


@contextmanager
def writing() -> Iterator[None]:
    """Write to standard output and to files; where that fails, say so in one line and end with `REFUSED`.

    A reader that has gone (a closed pipe) ends it in silence, as click does.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # click ends in silence
    except OSError as error:
        if error.filename:
            click.echo(f"cannot write {error.filename}: {error.strerror}", err=True)
        else:
            click.echo(f"cannot write: {error.strerror}", err=True)
            # What is left in the buffer goes nowhere, or Python would complain of it once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(REFUSED)


@contextmanager
def interruptible() -> Iterator[None]:
    """Take the wish to end for an interruption, so that all is put away: SIGTERM, and a terminal that is closed.

    So it is where whoever started this has ignored an interruption (``&`` in a script), but not with ``nohup``.
    """
    wishes = [signal.SIGINT, signal.SIGTERM]
    closed = getattr(signal, "SIGHUP", None)
    if closed and signal.getsignal(closed) != signal.SIG_IGN:
        wishes.append(closed)
    before = {number: signal.signal(number, signal.default_int_handler) for number in wishes}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
