"""The lives that test_crash.py cuts short, and the process that lives them.

Started with a file of keys, it loads everything once, and then lives a life in a fork of itself for each order that
it reads: a folder, and the virtual time to begin at. A life that begins where another was killed learns from the
store's journal which of its commands were taken down; the world around it (server, folders) depends on the time alone.
"""

import gc
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import attrs
import httpx
from crash_points import Points, hear, say

import licfsm.adapters.smtp
import licfsm.explain  # noqa: F401 - loaded before forking: status() asks for it, and a mail for the other
from licfsm import instants
from licfsm.adapters.keys import TrustedKeys
from licfsm.adapters.mail import Mail
from licfsm.adapters.server import HttpsServer
from licfsm.host.manager import LicenseManager
from licfsm.key import LicenseKey
from licfsm.policy import named
from licfsm.ports import Answer, Notice, Question
from licfsm.testing import LicenseWorld, ManualClock

_open, _append, _fsync, _rename = os.open, os.write, os.fsync, os.rename

STORE: Final = "licenses.db"
TARGETS: Final = {"plant": "plant/{license}.lic", "office": "office/{license}.lic"}
AWAY: Final = "away"
LETTERHEAD: Final[Mapping[str, Any]] = {
    "sender": "licfsm@example.com",
    "recipients": ["admin@example.com"],
    "host_name": "backup01",
}
"""How a life's mails are addressed, where its mail server is real."""


class Step(NamedTuple):
    """What the script does at a time; the journal names it by license, time and event, unless it is the world's."""

    at: str
    act: Callable[["World"], object]
    license: str = ""
    event: str = ""


@attrs.frozen
class Life:
    """A scripted life.

    Attributes:
        start, end: from when to when it goes, in UTC.
        steps: what host and world do, in order.
        replies: from when on -> what the server answers: an outcome, or the name of a key; of one that is real, what
            it does, and the key that it issues before.
        targets: name -> path in the folder.
        mail_down: from when to when no mail can be delivered.
        fine: whether statements are points as well.
        real: whether license server and mail server are real ones, which the test runs.

    """

    start: str
    end: str
    steps: tuple[Step, ...]
    replies: Mapping[str, str]
    targets: Mapping[str, str]
    mail_down: tuple[str, str] | None = None
    fine: bool = False
    real: bool = False


@attrs.frozen
class World:
    """What surrounds a life."""

    folder: Path
    manager: LicenseManager
    keys: Mapping[str, LicenseKey]

    def install(self, name: str, *, force: bool = False) -> None:
        """Install a key by hand."""
        self.manager.install(self.keys[name].signed, force=force)

    def close_office(self) -> None:
        """Let the office's folder be missing."""
        self._move("office", AWAY)

    def open_office(self) -> None:
        """Let the office's folder be there again."""
        self._move(AWAY, "office")

    def _move(self, source: str, target: str) -> None:
        if (self.folder / source).exists():
            _rename(self.folder / source, self.folder / target)


def _enable(license_id: str) -> Callable[[World], object]:
    return lambda world: world.manager.enable_auto_update(license_id)


def _disable(license_id: str) -> Callable[[World], object]:
    return lambda world: world.manager.disable_auto_update(license_id)


def _check_now(license_id: str) -> Callable[[World], object]:
    return lambda world: world.manager.check_now(license_id, wait=60)


def _add(license_id: str) -> Callable[[World], object]:
    return lambda world: world.manager.add(license_id)


def _install(name: str, *, force: bool = False) -> Callable[[World], object]:
    return lambda world: world.install(name, force=force)


KEYS: Final[Mapping[str, Mapping[str, str]]] = {
    "ACME-1 first": {"id": "ACME-1", "expires": "2025-02-14", "issued": "2025-01-20"},
    "ACME-1 second": {"id": "ACME-1", "expires": "2025-02-20", "issued": "2025-02-01"},
    "ACME-1 renewed": {"id": "ACME-1", "expires": "2026-02-20", "issued": "2025-02-20"},
    "ACME-1 shorter": {"id": "ACME-1", "expires": "2025-12-31", "issued": "2025-02-21"},
    "ACME-2 first": {"id": "ACME-2", "expires": "2025-02-14", "issued": "2025-01-21"},
    "ACME-2 renewed": {"id": "ACME-2", "expires": "2026-02-20", "issued": "2025-02-20"},
}
"""What the keys say; all are subscriptions."""

_ONE, _TWO = "ACME-1", "ACME-2"

LIVES: Final[Mapping[str, Life]] = {
    "long": Life(
        start="2025-02-06T09:00",
        end="2025-02-21T14:00",
        steps=(
            Step("2025-02-06T09:00", _install("ACME-1 first"), _ONE, "first_installed"),
            Step("2025-02-06T10:00", _enable(_ONE), _ONE, "enable"),
            Step("2025-02-06T10:30", World.close_office),
            Step("2025-02-06T11:30", World.open_office),
            Step("2025-02-13T09:00", _disable(_ONE), _ONE, "disable"),
            Step("2025-02-21T09:00", _enable(_ONE), _ONE, "enable"),
            Step("2025-02-21T10:00", _add(_TWO), _TWO, "added"),
            Step("2025-02-21T10:00", _install("ACME-2 renewed"), _TWO, "first_installed"),
            Step("2025-02-21T11:00", _check_now(_ONE), _ONE, "check_now"),
            Step("2025-02-21T12:00", _install("ACME-1 shorter", force=True), _ONE, "install"),
        ),
        replies={
            "2025-02-06": "connection_failed",
            "2025-02-06T10:30": "second",
            "2025-02-06T11:30": "up_to_date",
            "2025-02-21": "renewed",
            "2025-02-21T10:00": "up_to_date",
        },
        targets=TARGETS,
    ),
    "shared": Life(
        start="2025-02-06T09:00",
        end="2025-02-07T02:00",
        steps=(
            Step("2025-02-06T09:00", _add(_ONE), _ONE, "added"),
            Step("2025-02-06T09:00", _add(_TWO), _TWO, "added"),
            Step("2025-02-06T09:00", _install("ACME-1 first"), _ONE, "first_installed"),
            Step("2025-02-06T09:00", _install("ACME-2 first"), _TWO, "first_installed"),
            Step("2025-02-06T10:00", _enable(_ONE), _ONE, "enable"),
            Step("2025-02-06T10:00", _enable(_TWO), _TWO, "enable"),
        ),
        replies={"2025-02-06": "up_to_date", "2025-02-07": "connection_failed", "2025-02-07T00:30": "renewed"},
        targets={"plant": TARGETS["plant"]},
        mail_down=("2025-02-07", "2025-02-07T00:00:30"),
        fine=True,
    ),
    "real": Life(
        start="2025-02-06T09:00",
        end="2025-02-13T12:00",
        steps=(
            Step("2025-02-06T09:00", _install("ACME-1 first"), _ONE, "first_installed"),
            Step("2025-02-06T10:00", _enable(_ONE), _ONE, "enable"),
            Step("2025-02-06T10:30", World.close_office),
            Step("2025-02-06T11:30", World.open_office),
            Step("2025-02-13T09:00", _check_now(_ONE), _ONE, "check_now"),
        ),
        replies={
            "2025-02-06": "outage first",
            "2025-02-06T10:30": "ok second",
            "2025-02-13": "generation_failed",
            "2025-02-13T08:30": "download_truncated renewed",
            "2025-02-13T09:30": "ok",
        },
        targets=TARGETS,
        mail_down=("2025-02-13", "2025-02-13T00:00:30"),
        real=True,
    ),
}


def ms(moment: str) -> int:
    """Read a time, in milliseconds."""
    return ManualClock(moment).now_ms()


class Replies:
    """The license server: what it answers depends on the time alone."""

    def __init__(self, life: Life, clock: ManualClock, keys: Mapping[str, LicenseKey]) -> None:
        """Take the script."""
        self._life = life
        self._clock = clock
        self._keys = keys

    def ask(self, question: Question) -> Answer:
        """Answer; where the script says no outcome, it names a key of the license that asks."""
        now = self._clock.now_ms()
        reply = [reply for since, reply in self._life.replies.items() if ms(since) <= now][-1]
        key = self._keys.get(f"{question.key.id} {reply}")
        return Answer("new_key", key) if key else Answer(reply)


class Book:
    """Keeps what was delivered on a channel: a line for each time, on the disk before it counts."""

    def __init__(self, path: Path, points: Points, is_down: Callable[[], bool] = lambda: False) -> None:
        """Open it, or make a new one."""
        self._name = path.name
        self._points = points
        self._is_down = is_down
        self._file = _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def deliver(self, notice: Notice) -> str | None:
        """Take a notice by mail."""
        if self._is_down():
            return "the mail server is down"
        self.take(notice.id, notice.text)
        return None

    def take(self, notice_id: str, text: str) -> None:
        """Write down a notice."""
        self._points.stop(f"{self._name} {notice_id}")
        _append(self._file, f"{notice_id} {text}\n".encode())
        _fsync(self._file)
        self._points.done()


class Posted:
    """Mail to a real server: that one keeps what came."""

    def __init__(self, mail: Mail, points: Points, is_down: Callable[[], bool]) -> None:
        """Take what sends it."""
        self._mail = mail
        self._points = points
        self._is_down = is_down

    def deliver(self, notice: Notice) -> str | None:
        """Send a notice."""
        self._points.stop(f"{'refused ' if self._is_down() else ''}mail {notice.id}")
        refused = self._mail.deliver(notice)
        self._points.done()
        return refused


def _stop_before_requests(points: Points) -> None:
    """Stop before each request: that for a key comes after the answer that names it."""
    send = httpx.Client.send

    def stop_first(client: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:  # noqa: ANN401 - passed on as they are
        points.stop(f"{request.method} {request.url.path}")
        response = send(client, request, **more)
        points.done()
        return response

    httpx.Client.send = stop_first


class LogBook(logging.Handler):
    """What the host hears of the log: notices go into the book, and an error in the product ends the life."""

    def __init__(self, book: Book) -> None:
        """Take the book."""
        super().__init__()
        self._book = book

    def emit(self, record: logging.LogRecord) -> None:
        """Write down a notice."""
        if hasattr(record, "notice_id"):
            self._book.take(record.notice_id, record.getMessage())
        elif record.levelno >= logging.ERROR:
            say("TROUBLE", json.dumps(logging.Formatter().format(record)))


def live(
    life: Life, folder: Path, start: int, told: "Told", outside: Mapping[str, Any] | None
) -> list[dict[str, object]]:
    """Live a life from some time on, and tell how its licenses stand at the end."""
    os.chdir(folder)
    clock = ManualClock(start)
    points = Points(clock.now_ms, fine=life.fine)
    log = logging.getLogger("licfsm")
    log.setLevel(logging.INFO)
    log.addHandler(LogBook(Book(folder / "log", points)))
    down = [ms(moment) for moment in life.mail_down or (life.end, life.end)]

    def is_down() -> bool:
        return down[0] <= clock.now_ms() < down[1]

    server: Any = Replies(life, clock, told.keys)
    mail: Any = Book(folder / "mail", points, is_down) if not outside else None
    if outside:
        _stop_before_requests(points)
        server = HttpsServer(outside["url"], ca=outside["ca"])
        sent = Mail("localhost", port=outside["smtp"], ca=outside["smtp_ca"], **LETTERHEAD)
        mail = Posted(sent, points, is_down)
    for path in life.targets.values():
        if not (folder / AWAY).exists():
            (folder / path).parent.mkdir(exist_ok=True)
    time.monotonic = lambda: 0.0  # answers that come at one virtual instant are taken down together
    points.install()
    with LicenseManager.open(
        folder / STORE,
        policy="veeam-7",
        trust=told.trust,
        server=server,
        targets={name: str(folder / path) for name, path in life.targets.items()},
        mail=mail,
        spread="0 minutes",
        clock=clock,
    ) as manager:
        time_goes_by = LicenseWorld(manager, clock, server, mail, None)
        world = World(folder, manager, told.keys)
        for step in life.steps:
            if ms(step.at) >= start:
                time_goes_by.run(until=step.at)
            if not step.event or _is_missing(manager, step):
                if step.event and ms(step.at) < clock.now_ms():
                    message = f"{step.event} of {step.license} at {step.at} was taken down, and is lost"
                    raise LookupError(message)
                step.act(world)
        time_goes_by.run(until=life.end)
        status = [attrs.asdict(manager.status(license_id)) for license_id in manager.licenses]
    points.stop("end")
    return status


def _is_missing(manager: LicenseManager, step: Step) -> bool:
    found = {(entry.license, instants.to_ms(entry.at), entry.event) for entry in manager.history(limit=10_000)}
    return (step.license, ms(step.at), step.event) not in found


class Told(NamedTuple):
    """What the test hands over: whose signature counts, and the keys."""

    trust: list[str]
    keys: Mapping[str, LicenseKey]


def _read_keys(path: str) -> Told:
    given = json.loads(Path(path).read_text(encoding="utf-8"))
    trusted = TrustedKeys.of([given["trust"]])
    return Told([given["trust"]], {name: trusted.verify(signed) for name, signed in given["keys"].items()})


def _one_life(order: Mapping[str, Any], told: Told) -> None:
    try:
        say("BORN", os.getpid())
        status = live(LIVES[order["life"]], Path(order["folder"]), order["start"], told, order["outside"])
        say("STATUS", json.dumps(status, default=str))
    except BaseException:  # noqa: BLE001 - the test tells it
        say("TROUBLE", json.dumps(traceback.format_exc()))
    finally:
        os._exit(0)


def _next_order() -> bytes:
    """Read a line; empty where there is no more."""
    line = b""
    while not line.endswith(b"\n"):
        byte = hear()
        if not byte:
            return b""
        line += byte
    return line


def main() -> None:
    """Live a life for each order, until there is none."""
    told = _read_keys(sys.argv[1])
    named("veeam-7")
    gc.disable()
    gc.freeze()  # the forks share this memory
    while order := _next_order():
        pid = os.fork()
        if not pid:
            _one_life(json.loads(order), told)
        say("DEAD", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
