"""The package's log, on Python's own `logging`: under the name ``licfsm``, silent until the host listens.

Adapters tell there what a host cannot be told otherwise; `LogNotifier` tells notices there (rules.md 8.2).
"""

from __future__ import annotations

import logging
import traceback
from typing import Final

from licfsm import instants
from licfsm.key import clean_text
from licfsm.ports import Notice

__all__ = ["LogNotifier", "in_one_line", "logger"]

logger: Final = logging.getLogger("licfsm")
logger.addHandler(logging.NullHandler())


def _not_ours(record: logging.LogRecord) -> bool:
    """Leave out what `transitions` tells of each callback of our machines; those of the host are none of our business."""
    return not (isinstance(record.args, tuple) and record.args and str(record.args[0]).startswith("licfsm "))


logging.getLogger("transitions.core").addFilter(_not_ours)

_notices: Final = logger.getChild("notices")
_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogNotifier:
    """Tells notices to the logger ``licfsm.notices``; a `ports.Notifier`.

    Each record carries ``license``, ``notice`` (its name), ``notice_id`` and ``notice_at`` (ISO text in UTC) beside
    the text, for handlers that write fields. A notice of a level that nobody knows is logged as an error.
    """

    __slots__ = ()

    def deliver(self, notice: Notice, /) -> str | None:
        """Log a notice.

        Returns:
            None, or what a handler or filter of the host raised.

        """
        try:
            _notices.log(
                _LEVELS.get(notice.level, logging.ERROR),
                "%s",  # a text with % in it is no format
                notice.text,
                extra={
                    "license": notice.license,
                    "notice": notice.name,
                    "notice_id": notice.id,
                    "notice_at": instants.isoformat(notice.at),
                },
            )
        except Exception as error:  # noqa: BLE001 - whatever the host's handlers raise
            return f"the log took no notice: {in_one_line(error)}"
        return None


def in_one_line(error: BaseException) -> str:
    """Tell an exception's type and text in one line of at most 500 characters, cleaned (rules.md 8.3)."""
    told = "".join(traceback.format_exception_only(error))  # also of one that cannot tell its own text
    return clean_text(" ".join(told.split()))
