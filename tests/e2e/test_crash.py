"""A process is killed at every moment that matters, and started again: nothing is lost, and nothing happens twice."""

import contextlib
import itertools
import json
import os
import queue
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import attrs
import pytest
from crash_life import KEYS, LIVES, STORE, ms
from crash_outside import Authority, Outside

import licfsm
from licfsm import instants
from licfsm.adapters.keys import SigningKey, sign
from licfsm.policy import named

HERE: Final = Path(__file__).parent
AT_ONCE: Final = 2
"""How many processes live at the same time."""

CHANNELS: Final = ("mail", "log")
INTERRUPTED: Final = named("veeam-7").texts.interrupted

PORT: Final = re.compile(r"(?<=port )\d+")

LINES, WIDTH = 3, 200
"""How much is told of each moment at which something went wrong."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each life is lived in a fork"),
]


class Point(NamedTuple):
    """A moment at which the process may be killed: the virtual time, and before what."""

    at: int
    label: str


@attrs.frozen
class Run:
    """A process from its start to its end.

    Attributes:
        points: the moments that it came to; it was killed at the last one, unless it came to the end.
        status: how its licenses stand at the end; None where it was killed.

    """

    points: list[Point]
    status: list[dict[str, Any]] | None

    def unrecorded(self) -> str | None:
        """Name what was delivered (``mail ACME-1.3.…``) when the process was killed, and not marked so in the store."""
        delivered = None
        for point in self.points[:-1] if self.status is None else ():
            if point.label.startswith(("mail ", "log ")):
                delivered = point.label
            elif point.label == "COMMIT":
                delivered = None
        return delivered


class Nursery:
    """A process that has loaded everything, and lives each life in a fork of itself."""

    def __init__(self, keys: Path) -> None:
        """Start it."""
        command = [sys.executable, str(HERE / "crash_life.py"), str(keys)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and wait for that."""
        self._process.stdin.close()
        self._process.stdout.close()
        assert 0 == self._process.wait()

    def _say(self, words: bytes) -> None:
        self._process.stdin.write(words)
        self._process.stdin.flush()

    def live(
        self, life: str, folder: Path, start: int, kill_at: int | None = None, outside: Outside | None = None
    ) -> Run:
        """Let a process live a life from some time on, and kill it at the n-th moment, counted from 1."""
        told = outside.told if outside else None
        order = json.dumps({"life": life, "folder": str(folder), "start": start, "outside": told})
        self._say(order.encode() + b"\n")
        points: list[Point] = []
        status, pid = None, 0
        troubles: list[str] = []
        for line in self._process.stdout:
            kind, *words = line.decode().rstrip("\n").split("\t")
            if kind == "BORN":
                pid = int(words[0])
            elif kind == "POINT":
                points.append(Point(int(words[0]), words[1]))
                if outside:
                    outside.move_to(points[-1].at)
                if len(points) == kill_at:
                    os.kill(pid, signal.SIGKILL)
                else:
                    self._say(b".")
            elif kind == "STATUS":
                status = json.loads(words[0])
            elif kind == "TROUBLE":
                troubles.append(json.loads(words[0]))
            else:
                killed = len(points) == kill_at
                if troubles or int(words[0]) != (-signal.SIGKILL if killed else 0):
                    raise RuntimeError("\n".join([f"the process ended with {words[0]}", *troubles]))
                return Run(points, status)
        message = "the process that lives lives is gone"
        raise RuntimeError(message)


# ---------------------------------------------------------------------------------------------- what is left


TABLES: Final = {
    "licenses": "id",
    "keys": "id",
    "policies": "digest",
    "journal": "seq",
    "sessions": "seq",
    "outbox": "seq",
}
"""The tables of a store -> how their rows are ordered."""


@attrs.frozen
class Left:
    """What a life left behind.

    Attributes:
        facts: what must be the same, however often it was cut short.
        interrupted: how many checks were marked interrupted.

    """

    facts: dict[str, Any]
    interrupted: int


def left(folder: Path, status: list[dict[str, Any]]) -> Left:
    """Gather what a life left, but for what a killed process may leave otherwise, by the nature of things.

    Attempts have other numbers, since one that was cut short is asked again under the next one; `version` counts how
    often a row was written; the store's own id is made by chance.
    """
    with contextlib.closing(sqlite3.connect(folder / STORE)) as connection:
        connection.row_factory = sqlite3.Row
        tables = {
            name: [_anywhere(row, folder) for row in connection.execute(f"SELECT * FROM {name} ORDER BY {by}")]  # noqa: S608
            for name, by in TABLES.items()
        }
    sessions = [row for row in tables["sessions"] if INTERRUPTED not in row["messages"]]
    facts = {
        "status": status,
        "licenses": [_without(row, "version", "attempt") for row in tables["licenses"]],
        "keys": tables["keys"],
        "policies": tables["policies"],
        "journal": journal_of_a_life(tables["journal"]),
        "sessions": [_without(row, "seq", "attempt") for row in sessions],
        "notices": [_without(row, "seq") for row in tables["outbox"]],
        "targets": {name: data for name, data in files(folder).items() if not name.endswith(".previous")},
    } | {channel: in_order(book(folder, channel)) for channel in CHANNELS}
    return Left(facts, len(tables["sessions"]) - len(sessions))


def _anywhere(row: sqlite3.Row, folder: Path) -> dict[str, Any]:
    """Read a row, as if every life were lived in the same folder."""
    return {
        name: _anywhere_text(value, folder) if isinstance(value, str) else value
        for name, value in zip(row.keys(), row, strict=True)
    }


def _anywhere_text(text: str, folder: Path) -> str:
    """Leave out of a text in which folder a life was lived, and on which port its server listened."""
    return PORT.sub("0", text.replace(folder.name, "life"))


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def journal_of_a_life(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Leave out of a journal what only marks an interruption.

    What a restart found due stands in its own entry, which then is the tick that was cut short. A tick that moved
    nothing began to write a target, which has an entry of its own, or confirmed a time that the restart found (7.5).
    """
    told: list[tuple[Any, ...]] = []
    for row in rows:
        details = json.loads(row["details"] or "{}")
        moves = [move for move in json.loads(row["moves"] or "[]") if move[1] != "restarted"]
        event = row["event"]
        details.pop("attempt", None)
        if event == "clock_stepped" and details.get("interrupted"):
            if not moves:
                continue
            event, details = "tick", {}
        if event == "tick" and not moves:
            continue
        told.append((row["license"], row["at"], event, details, moves, row["outcome"]))
    return told


def files(folder: Path) -> dict[str, str]:
    """Read every file in the folders of the targets."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="ascii")
        for name in ("plant", "office")
        for path in sorted((folder / name).glob("*"))
    }


def book(folder: Path, channel: str) -> list[str]:
    """Read what was delivered on a channel, a line a time."""
    return _anywhere_text((folder / channel).read_text(encoding="utf-8"), folder).splitlines()


def at_once(folder: Path) -> tuple[set[tuple[str, int]], list[str]]:
    """Look at what a kill left, in a copy of the store: nobody may have heard of anything that is not in it.

    Returns:
        Which checks were under way (license, attempt), and what should not be.

    """
    copy = folder / "copy"
    copy.mkdir()
    for path in folder.glob(f"{STORE}*"):
        shutil.copy(path, copy)
    found = []
    with contextlib.closing(sqlite3.connect(copy / STORE)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchone():
            signed = {text for (text,) in connection.execute("SELECT signed FROM keys")}
            notices = {text for (text,) in connection.execute("SELECT id FROM outbox")}
            checking = set(connection.execute("SELECT id, attempt FROM licenses WHERE auto_update = 'Checking'"))
        else:
            signed, notices, checking = set(), set(), set()
    shutil.rmtree(copy)
    for name, text in files(folder).items():
        if "~" not in name and text not in signed:
            found.append(f"after the kill {name} holds a key that the store does not know")
    for channel in CHANNELS:
        unknown = {line.split()[0] for line in book(folder, channel)} - notices
        found += [f"after the kill {channel} knows of {notice}, and the store does not" for notice in sorted(unknown)]
    return checking, found


def in_order(lines: Iterable[str]) -> list[str]:
    """Leave out what was delivered again; the order counts for each license by itself."""
    return sorted(dict.fromkeys(lines), key=lambda line: line.partition(".")[0])


def differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    """Tell what is not as it would have been."""
    found = []
    for name, value in expected.items():
        if value == actual[name]:
            continue
        if isinstance(value, list):
            ours, theirs = list(map(str, value)), list(map(str, actual[name]))
            found += [f"{name}: missing {one}" for one in ours if one not in theirs]
            found += [f"{name}: not expected {one}" for one in theirs if one not in ours]
            if sorted(ours) == sorted(theirs):
                found.append(f"{name}: in another order: {theirs}")
            elif len(ours) != len(theirs):
                found.append(f"{name}: {len(theirs)} in place of {len(ours)}")
        else:
            found.append(f"{name}: {actual[name]} in place of {value}")
    return found


# ---------------------------------------------------------------------------------------------- killing


@attrs.frozen
class Lives:
    """Lives lives, several at once."""

    folder: Path
    keys: Mapping[str, str]
    nurseries: "queue.SimpleQueue[Nursery]"
    authority: Authority
    numbers: Iterator[int] = attrs.field(factory=itertools.count)

    def undisturbed(self, life: str) -> "Reference":
        """Live a life to its end."""
        folder = self._new_folder()
        with self._outside(life, folder) as outside:
            run = self._live(life, folder, ms(LIVES[life].start), outside=outside)
            asked = outside.asked() if outside else Counter()
        return Reference(run, folder, left(folder, run.status), asked)

    def _outside(self, life: str, folder: Path) -> contextlib.AbstractContextManager[Outside | None]:
        return Outside.of(life, folder, self.authority) if LIVES[life].real else contextlib.nullcontext()

    def _new_folder(self) -> Path:
        folder = self.folder / f"life-{next(self.numbers):06}"  # equally long for all: a text may be cut
        folder.mkdir()
        return folder

    def _live(
        self, life: str, folder: Path, start: int, kill_at: int | None = None, outside: Outside | None = None
    ) -> Run:
        nursery = self.nurseries.get()
        try:
            return nursery.live(life, folder, start, kill_at, outside)
        finally:
            self.nurseries.put(nursery)

    def killed(self, life: str, reference: "Reference", kills: Sequence[int]) -> list[str]:
        """Live a life that is killed at these moments, one run after the other, and tell what is not as it should be.

        Args:
            life: which life.
            reference: the one that nobody disturbed.
            kills: for each run before the last, at which of its moments it is killed; one that ends before is the last.

        """
        folder = self._new_folder()
        start = ms(LIVES[life].start)
        runs: list[Run] = []
        found: list[str] = []
        checking: set[tuple[str, int]] = set()
        try:
            with self._outside(life, folder) as outside:
                for kill in (*kills, None):
                    runs.append(self._live(life, folder, start, kill, outside))
                    start = runs[-1].points[-1].at
                    if runs[-1].status is not None:
                        break
                    under_way, early = at_once(folder)
                    checking |= under_way
                    found += early
                found += too_often(outside, reference.asked, len(runs) - 1)
            after = left(folder, runs[-1].status)
            found += differences(reference.left.facts, after.facts) + self._others(folder)
            found += deliveries(folder, reference.left.facts, runs)
        except Exception as error:  # noqa: BLE001 - every moment is told
            found.append(str(error))
        else:
            if after.interrupted != len(checking):
                found.append(f"{after.interrupted} checks are marked interrupted; {len(checking)} were under way")
            if runs[0].points != reference.run.points[: len(runs[0].points)]:
                found.append("the first run went another way before it was killed")
        if found:
            where = ", ".join(f"{run.points[-1].label!r} at {run.points[-1].at}" for run in runs if run.status is None)
            shown = [f"    {line[:WIDTH]}" for line in found[:LINES]]
            return [f"killed at {list(kills)}, before {where}: {len(found)} differences, see {folder}", *shown]
        shutil.rmtree(folder)
        return []

    def _others(self, folder: Path) -> list[str]:
        """Tell of files beside the keys that should not be there; the key before may be an older one after a kill."""
        found = []
        for path, text in files(folder).items():
            name = Path(path).name
            license_id = name.removesuffix(".previous").removesuffix(".lic")
            theirs = [self.keys[key] for key, told in KEYS.items() if told["id"] == license_id]
            if name.removesuffix(".previous") != f"{license_id}.lic" or text not in theirs:
                found.append(f"{path} should not be there, or holds no key of the license")
            if name.endswith(".previous") and text == files(folder)[path.removesuffix(".previous")]:
                found.append(f"{path} holds the key that is in force")
        return found

    def all(self, work: Callable[[Any], list[str]], kills: Sequence[Any]) -> list[str]:
        """Do something for each of these, as many at once as there are nurseries."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [line for lines in pool.map(work, kills) for line in lines]


def deliveries(folder: Path, expected: Mapping[str, Any], runs: Sequence[Run]) -> list[str]:
    """Tell what was delivered too often, or too seldom.

    Once, and once more for each kill between a delivery and its record.
    """
    again = Counter(run.unrecorded() for run in runs)
    found = []
    for channel in CHANNELS:
        times = Counter(book(folder, channel))
        for line in expected[channel]:
            wanted = 1 + again[f"{channel} {line.split()[0]}"]
            if times[line] != wanted:
                found.append(f"{channel}: {times[line]} times in place of {wanted}: {line}")
    return found


def too_often(outside: Outside | None, expected: Mapping[str, int], kills: int) -> list[str]:
    """Tell what a real license server was asked more often than once for each kill beyond what is usual, or less."""
    found = []
    for stage, usual in expected.items():
        asked = outside.asked()[stage] if outside else usual
        if not usual <= asked <= usual + kills:
            found.append(f"{asked} times {stage} in place of {usual}, and one more at most for each of {kills} kills")
    return found


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    """Sign the keys, once for all lives, and start the processes that live them."""
    folder = tmp_path_factory.mktemp("crash")
    signing = SigningKey.generate()
    keys = {name: sign(licfsm.LicenseKey(type="subscription", **told), signing).signed for name, told in KEYS.items()}
    path = folder / "keys.json"
    path.write_text(json.dumps({"trust": signing.public, "keys": keys}), encoding="utf-8")
    nurseries: queue.SimpleQueue[Nursery] = queue.SimpleQueue()
    with Nursery(path) as one, Nursery(path) as other:
        nurseries.put(one)
        nurseries.put(other)
        yield Lives(folder, keys, nurseries, Authority(folder / "authority", signing))


class Reference(NamedTuple):
    """The life that nobody disturbed, what it left, and what a real license server was asked."""

    run: Run
    folder: Path
    left: Left
    asked: Counter[str]

    def moments(self) -> range:
        """Number the moments."""
        return range(1, len(self.run.points) + 1)


@pytest.fixture(scope="module")
def lived(lives: Lives) -> Mapping[str, Reference]:
    """Live each life to its end."""
    return {life: lives.undisturbed(life) for life in LIVES}


# ---------------------------------------------------------------------------------------------- nobody disturbs


def times(rows: Sequence[Mapping[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """Read columns of rows; times as ISO text."""
    return [tuple(instants.isoformat(row[n])[5:16] if n.endswith("at") else row[n] for n in names) for row in rows]


def moves(facts: Mapping[str, Any], region: str) -> list[tuple[str, str, str]]:
    """List the changes of state in a region: when, from where, where to."""
    return [
        (instants.isoformat(at)[5:16], source, target)
        for _, at, _, _, moved, _ in facts["journal"]
        for where, _, source, target, *_ in moved
        if where == region
    ]


def told(facts: Mapping[str, Any], channel: str, license_id: str) -> list[tuple[str, str]]:
    """List the notices of a license on a channel, sorted: when, and which."""
    rows = [row for row in facts["notices"] if (row["channel"], row["license"]) == (channel, license_id)]
    return sorted(times(rows, "at", "name"))


def test_the_long_life_comes_through_all_its_states(lived: Mapping[str, Reference]) -> None:
    """The last day of its second key is 20 February; seven days before, it expires soon (1.4), after it, in grace."""
    facts = lived["long"].left.facts
    assert [
        ("02-13T00:00", "Valid", "Expiring"),
        ("02-21T00:00", "Expiring", "Grace"),
        ("02-21T09:00", "Grace", "Valid"),
    ] == moves(facts, "entitlement")
    assert [
        ("02-06T10:00", "Off", "Checking"),
        ("02-06T10:00", "Checking", "Retrying"),
        ("02-06T11:00", "Retrying", "Checking"),
        ("02-06T11:00", "Checking", "Scheduled"),
        ("02-13T00:00", "Scheduled", "Checking"),
        ("02-13T00:00", "Checking", "Scheduled"),
        ("02-13T09:00", "Scheduled", "Off"),
        ("02-21T09:00", "Off", "Checking"),
        ("02-21T09:00", "Checking", "Scheduled"),
        ("02-21T11:00", "Scheduled", "Checking"),
        ("02-21T11:00", "Checking", "Scheduled"),
    ] == moves(facts, "auto_update")


def test_the_long_life_ends_with_the_key_that_was_forced(lives: Lives, lived: Mapping[str, Reference]) -> None:
    """Asked a week after it was installed by hand (6.5); 314 days from 21 February are the end of 31 December."""
    facts = lived["long"].left.facts
    shown = ("text", "entitlement", "auto_update", "days_remaining", "next_check", "last_outcome", "undelivered")
    one, other = ({name: status[name] for name in shown} for status in facts["status"])
    texts = {"text": "Valid (314 days until expiration)", "next_check": "2025-02-28 12:00:00+00:00"}
    assert (
        texts
        | {
            "entitlement": "Valid",
            "auto_update": "Scheduled",
            "days_remaining": 314,
            "last_outcome": "up_to_date",
            "undelivered": [],
        }
        == one
    )
    assert {
        "text": "Valid (365 days until expiration)",
        "entitlement": "Valid",
        "auto_update": "Off",
        "days_remaining": 365,
        "next_check": None,
        "last_outcome": None,
        "undelivered": [],
    } == other
    names = ("ACME-1 first", "ACME-1 second", "ACME-1 renewed", "ACME-2 renewed", "ACME-1 shorter")
    assert [lives.keys[name] for name in names] == [row["signed"] for row in facts["keys"]]
    assert [5, 4] == [row["key"] for row in facts["licenses"]]
    one, other = lives.keys["ACME-1 shorter"], lives.keys["ACME-2 renewed"]
    assert {
        "plant/ACME-1.lic": one,
        "plant/ACME-2.lic": other,
        "office/ACME-1.lic": one,
        "office/ACME-2.lic": other,
    } == facts["targets"]


def test_the_long_life_writes_each_key_when_it_comes(lived: Mapping[str, Reference]) -> None:
    """The office's folder is missing when the second key comes: it is written after 60 minutes (4.4)."""
    written = [
        (instants.isoformat(at)[5:16], license_id, details["target"], event == "target_written")
        for license_id, at, event, details, *_ in lived["long"].left.facts["journal"]
        if event.startswith("target_")
    ]
    assert [
        ("02-06T09:00", "ACME-1", "plant", True),
        ("02-06T09:00", "ACME-1", "office", True),
        ("02-06T11:00", "ACME-1", "plant", True),
        ("02-06T11:00", "ACME-1", "office", False),
        ("02-06T12:00", "ACME-1", "office", True),
        ("02-21T09:00", "ACME-1", "plant", True),
        ("02-21T09:00", "ACME-1", "office", True),
        ("02-21T10:00", "ACME-2", "plant", True),
        ("02-21T10:00", "ACME-2", "office", True),
        ("02-21T12:00", "ACME-1", "plant", True),
        ("02-21T12:00", "ACME-1", "office", True),
    ] == written


def test_the_long_life_tells_each_thing_once(lived: Mapping[str, Reference]) -> None:
    """Ten notices by 8.2, all of them mailed, since there is no failure but that of a check which nobody watched."""
    facts = lived["long"].left.facts
    one = [
        ("02-06T09:00", "key_installed"),
        ("02-06T10:00", "update_failed"),
        ("02-06T11:00", "install_target_failed"),
        ("02-06T11:00", "key_installed"),
        ("02-06T11:00", "recovered"),
        ("02-13T00:00", "expiring"),
        ("02-21T00:00", "grace_started"),
        ("02-21T09:00", "key_installed"),
        ("02-21T12:00", "key_installed"),
    ]
    for channel in ("report", *CHANNELS):
        assert one == told(facts, channel, "ACME-1")
        assert [("02-21T10:00", "key_installed")] == told(facts, channel, "ACME-2")
    for channel in CHANNELS:
        assert 10 == len(book(lived["long"].folder, channel))
        ids = Counter(row["id"] for row in facts["notices"] if row["channel"] == channel)
        assert ids == Counter(line.split()[0] for line in book(lived["long"].folder, channel))


def test_the_long_life_leaves_a_session_for_each_check(lived: Mapping[str, Reference]) -> None:
    """The one whose key a target took late is a success in the end (4.4)."""
    sessions = times(lived["long"].left.facts["sessions"], "started_at", "outcome", "result")
    assert [
        ("02-06T10:00", "connection_failed", "failed"),
        ("02-06T11:00", "new_key", "success"),
        ("02-13T00:00", "up_to_date", "success"),
        ("02-21T09:00", "new_key", "success"),
        ("02-21T11:00", "up_to_date", "success"),
    ] == sessions


def test_the_real_life_comes_through_all_its_states(lived: Mapping[str, Reference]) -> None:
    """It expires soon from 13 February, seven days before its last one, and has a new key at the second try of that day."""
    facts = lived["real"].left.facts
    assert [("02-13T00:00", "Valid", "Expiring"), ("02-13T10:00", "Expiring", "Valid")] == moves(facts, "entitlement")
    assert [
        ("02-06T10:00", "Off", "Checking"),
        ("02-06T10:00", "Checking", "Retrying"),
        ("02-06T11:00", "Retrying", "Checking"),
        ("02-06T11:00", "Checking", "Scheduled"),
        ("02-13T00:00", "Scheduled", "Checking"),
        ("02-13T00:00", "Checking", "Retrying"),
        ("02-13T09:00", "Retrying", "Checking"),
        ("02-13T09:00", "Checking", "Retrying"),
        ("02-13T10:00", "Retrying", "Checking"),
        ("02-13T10:00", "Checking", "Scheduled"),
    ] == moves(facts, "auto_update")
    (status,) = facts["status"]
    assert ["Valid (373 days until expiration)", "Scheduled", "2025-02-20 10:00:00+00:00", []] == [
        status[name] for name in ("text", "auto_update", "next_check", "undelivered")
    ]


def test_the_real_life_asks_a_real_server(lives: Lives, lived: Mapping[str, Reference]) -> None:
    """Five checks, three of which bring a key to download; one download is cut off."""
    asked, facts = lived["real"].asked, lived["real"].left.facts
    assert {"check": 5, "download": 3} == asked
    assert [
        ("02-06T10:00", "connection_failed", "failed"),
        ("02-06T11:00", "new_key", "success"),
        ("02-13T00:00", "generation_failed", "failed"),
        ("02-13T09:00", "connection_failed", "failed"),
        ("02-13T10:00", "new_key", "success"),
    ] == times(facts["sessions"], "started_at", "outcome", "result")
    renewed = lives.keys["ACME-1 renewed"]
    assert {"plant/ACME-1.lic": renewed, "office/ACME-1.lic": renewed} == facts["targets"]


def test_the_real_life_tells_each_thing_by_real_mail(lived: Mapping[str, Reference]) -> None:
    """Two that came while the mail server had no room come a minute later; nobody is mailed what he watched (8.2)."""
    facts = lived["real"].left.facts
    mailed = [
        ("02-06T09:00", "key_installed"),
        ("02-06T10:00", "update_failed"),
        ("02-06T11:00", "install_target_failed"),
        ("02-06T11:00", "key_installed"),
        ("02-06T11:00", "recovered"),
        ("02-13T00:00", "expiring"),
        ("02-13T00:00", "update_failed"),
        ("02-13T10:00", "key_installed"),
        ("02-13T10:00", "recovered"),
    ]
    assert mailed == told(facts, "mail", "ACME-1")
    assert sorted([*mailed, ("02-13T09:00", "update_failed")]) == told(facts, "log", "ACME-1")
    rows = [row for row in facts["notices"] if row["channel"] == "mail"]
    late = [row["name"] for row in rows if instants.isoformat(row["done_at"])[5:16] == "02-13T00:01"]
    assert {"expiring", "update_failed"} == set(late)
    arrived = [line.partition(" ") for line in book(lived["real"].folder, "mail")]
    assert {row["id"]: f"[ACME-1] {row['text']}"[:40] for row in rows} == {
        notice_id: json.loads(mail)["Subject"][:40] for notice_id, _, mail in arrived
    }
    assert 9 == len(arrived)


def test_the_shared_life_goes_alike_for_both(lived: Mapping[str, Reference]) -> None:
    """Both expire soon from 7 February and fail then, and have new keys an hour later; the mail comes a minute late."""
    facts = lived["shared"].left.facts
    for status in facts["status"]:
        assert ["Valid (379 days until expiration)", "Scheduled", "2025-02-14 01:00:00+00:00"] == [
            status[name] for name in ("text", "auto_update", "next_check")
        ]
    for license_id in ("ACME-1", "ACME-2"):
        assert [
            ("02-06T09:00", "key_installed"),
            ("02-07T00:00", "expiring"),
            ("02-07T00:00", "update_failed"),
            ("02-07T01:00", "key_installed"),
            ("02-07T01:00", "recovered"),
        ] == told(facts, "mail", license_id)
    late = [row for row in facts["notices"] if row["attempts"]]
    assert [("02-07T00:00", "mail", "02-07T00:01", 1)] * 2 == times(late, "at", "channel", "done_at", "attempts")


def test_the_long_life_has_many_moments_and_not_too_many(lived: Mapping[str, Reference]) -> None:
    """Enough of them that nothing slips through, and so few that each is tried."""
    assert 60 <= len(lived["long"].moments()) <= 150


def test_the_real_life_has_moments_between_all_that_is_outside(lived: Mapping[str, Reference]) -> None:
    """Before a check, between answer and download, before commit, before each target, and before each mail."""
    labels = [point.label for point in lived["real"].run.points if point.at == ms("2025-02-13T10:00")]
    wanted = ["POST /v1/check", "GET /v1/keys/", "COMMIT", "replace plant/", "COMMIT", "replace office/", "COMMIT"]
    position = 0
    for label in [*wanted, "mail ", "COMMIT", "mail ", "COMMIT"]:
        rest = [number for number, one in enumerate(labels) if number >= position and one.startswith(label)]
        assert rest, f"no moment {label!r} after {labels[:position]}, but {labels[position:]}"
        position = rest[0] + 1
    assert 60 <= len(lived["real"].moments()) <= 150


def test_both_licenses_share_transactions(lived: Mapping[str, Reference]) -> None:
    """What is due at the same time for both is one transaction, and so are the answers to both."""
    run = lived["shared"].run
    labels = [point.label for point in run.points if point.at == ms("2025-02-07")]
    assert 2 == list(itertools.pairwise(labels)).count(("INSERT journal ACME-1", "INSERT journal ACME-2"))


# ---------------------------------------------------------------------------------------------- killed


def test_a_life_is_the_same_wherever_it_is_killed(lives: Lives, lived: Mapping[str, Reference]) -> None:
    """Killed before any of the things that outlive it, and started again, it goes on as if nothing had happened."""
    found = lives.all(lambda kill: lives.killed("long", lived["long"], [kill]), lived["long"].moments())
    assert not found, "\n".join(found)


def test_a_life_in_the_real_world_is_the_same_wherever_it_is_killed(
    lives: Lives, lived: Mapping[str, Reference]
) -> None:
    """Killed before each request, mail, commit and file, it goes on as if nothing had happened.

    Nothing is mailed twice but what was mailed and not yet recorded, and then under the same id; no question is asked
    more than once again.
    """
    found = lives.all(lambda kill: lives.killed("real", lived["real"], [kill]), lived["real"].moments())
    assert not found, "\n".join(found)


def test_a_life_is_the_same_if_it_is_killed_twice(lives: Lives, lived: Mapping[str, Reference]) -> None:
    """Killed once more soon after it was started again, it goes on as if nothing had happened."""
    kills = [[first, second] for first in lived["long"].moments()[::7] for second in (1, 4)]
    found = lives.all(lambda twice: lives.killed("long", lived["long"], twice), kills)
    assert not found, "\n".join(found)


def test_steps_that_share_a_transaction_count_all_or_not_at_all(lives: Lives, lived: Mapping[str, Reference]) -> None:
    """Killed at any statement of what two licenses do together, both go on as if nothing had happened.

    So it is while their mail waits for its server, which is down for half a minute.
    """
    moments = [
        number
        for number, point in enumerate(lived["shared"].run.points, start=1)
        if ms("2025-02-07") <= point.at < ms("2025-02-07T00:02")
    ]
    assert len(moments) > 40
    found = lives.all(lambda kill: lives.killed("shared", lived["shared"], [kill]), moments)
    assert not found, "\n".join(found)
