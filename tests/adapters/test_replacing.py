import contextlib
import errno
import functools
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from licfsm import LicenseKey
from licfsm.adapters.targets import FileTarget

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither modes nor pipes of this kind")
root_only = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="access lists of this kind are Linux's")

SOMEBODY = 65_534
ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"


def key(signed: str = "new", license_id: str = "ACME-1") -> LicenseKey:
    """Make a key that was signed."""
    return LicenseKey(id=license_id, type="subscription", signed=signed)


def inside(folder: Path) -> dict[str, str]:
    """Read all files of a folder."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def mode(path: Path) -> str:
    """Give a file's mode as it is written."""
    return oct(stat.S_IMODE(path.stat().st_mode))


def access_list(reader: int = 4_242) -> bytes:
    """Give the owner all, one more user reading, the group and everybody nothing; the mode shows 0640."""
    nobody = 0xFFFF_FFFF
    entries = [(0x01, 6, nobody), (0x02, 4, reader), (0x04, 0, nobody), (0x10, 4, nobody), (0x20, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def give_access_list(path: Path, name: str = ACL) -> None:
    """Give a file or folder the access list, or skip the test."""
    try:
        os.setxattr(path, name, access_list())
    except OSError:
        pytest.skip("the file system has no access lists")


def failing(error: OSError, only: Callable[..., bool] = lambda *_: True) -> Callable[..., object]:
    """Make a function of the system that fails when it is asked for certain things."""

    def fail(original: Callable[..., object], *args: object, **options: object) -> object:
        if only(*args):
            raise error
        return original(*args, **options)

    return fail


def bind(name: str) -> None:
    """Make a socket in the current folder; its name must be short."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(name)


@pytest.fixture
def wrap(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[..., object]], None]:
    """Put a function around one of `os`; it gets the original first."""

    def put_around(name: str, around: Callable[..., object]) -> None:
        monkeypatch.setattr(os, name, functools.partial(around, getattr(os, name)))

    return put_around


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Write a file that holds the key before."""
    path = tmp_path / "license.lic"
    path.write_text("old", encoding="utf-8")
    return path


@pytest.fixture
def somebody() -> Iterator[Path]:
    """Give a folder of somebody who is not root, as whom the test runs on from `as_somebody`."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, SOMEBODY, SOMEBODY)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    folder.chmod(0o700)
    shutil.rmtree(folder)


@contextlib.contextmanager
def as_somebody() -> Iterator[None]:
    """Be somebody who is not root."""
    if os.geteuid() != 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(SOMEBODY)
    os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


class TestReplaceFile:
    """Seen through a `FileTarget`, as are all below: it is what hosts have."""

    def test_leaves_nothing_beside_a_new_file(self, tmp_path: Path) -> None:
        """Where there was no key before, there is one file."""
        FileTarget(tmp_path / "a.lic").write(key())
        assert {"a.lic": "new"} == inside(tmp_path)

    def test_keeps_the_key_before(self, tmp_path: Path, old: Path) -> None:
        """The key that was replaced stands beside the new one."""
        FileTarget(old).write(key())
        assert {"license.lic": "new", "license.lic.previous": "old"} == inside(tmp_path)

    def test_keeps_only_one_key_before(self, tmp_path: Path, old: Path) -> None:
        """With the next key, the one before moves on."""
        for text in ("new", "newer"):
            FileTarget(old).write(key(text))
        assert {"license.lic": "newer", "license.lic.previous": "new"} == inside(tmp_path)

    def test_keeps_no_empty_file(self, tmp_path: Path, old: Path) -> None:
        """An empty file, made to set its mode, is no key to be kept."""
        old.write_text("", encoding="utf-8")
        FileTarget(old).write(key())
        assert {"license.lic": "new"} == inside(tmp_path)

    def test_leaves_the_same_bytes_untouched(self, tmp_path: Path, old: Path) -> None:
        """A file that holds the key already counts as written, and so does what stands beside it."""
        (tmp_path / "license.lic.previous").write_text("older", encoding="utf-8")
        before = old.stat()
        assert FileTarget(old).write(key("old")) is None
        assert (before, {"license.lic": "old", "license.lic.previous": "older"}) == (old.stat(), inside(tmp_path))


class TestWhatStaysOfAFile:
    @posix_only
    @pytest.mark.parametrize("before", [0o600, 0o640, 0o664, 0o444])
    def test_keeps_the_mode(self, tmp_path: Path, old: Path, before: int) -> None:
        """The new key and the one before can be read by whom the old one could be read."""
        old.chmod(before)
        FileTarget(old).write(key())
        assert [oct(before), oct(before)] == [mode(path) for path in sorted(tmp_path.iterdir())]

    @posix_only
    @pytest.mark.parametrize(("umask", "expected"), [(0o022, "0o644"), (0o077, "0o600"), (0o000, "0o644")])
    def test_lets_a_new_file_be_read(self, tmp_path: Path, umask: int, expected: str) -> None:
        """A new file may be read by everybody, less the umask."""
        before = os.umask(umask)
        try:
            FileTarget(tmp_path / "a.lic").write(key())
        finally:
            os.umask(before)
        assert expected == mode(tmp_path / "a.lic")

    @root_only
    def test_keeps_owner_and_group(self, tmp_path: Path, old: Path) -> None:
        """The new key and the one before belong to whom the old one belonged."""
        os.chown(old, 1_234, 1_235)
        FileTarget(old).write(key())
        owners = [(path.stat().st_uid, path.stat().st_gid) for path in sorted(tmp_path.iterdir())]
        assert [(1_234, 1_235)] * 2 == owners

    @root_only
    @pytest.mark.parametrize(("before", "after"), [(0o664, "0o644"), (0o640, "0o600"), (0o644, "0o644")])
    def test_gives_no_other_group_more(self, somebody: Path, before: int, after: str) -> None:
        """Where owner and group cannot be kept it is written, and the group of now may do no more than everybody."""
        path = somebody / "a.lic"
        path.write_text("old", encoding="utf-8")
        path.chmod(before)
        os.chown(path, SOMEBODY, 0)
        with as_somebody():
            assert FileTarget(path).write(key()) is None
        assert (SOMEBODY, after) == (path.stat().st_gid, mode(path))

    @root_only
    def test_says_that_an_owner_was_lost(self, somebody: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A key in place matters more than its owner, of which the log tells."""
        path = somebody / "a.lic"
        path.write_text("old", encoding="utf-8")
        path.chmod(0o644)
        with as_somebody():
            FileTarget(path).write(key())
        assert f"{path}: it cannot keep its owner, and is written all the same" in caplog.text

    @linux_only
    def test_keeps_the_access_list(self, old: Path) -> None:
        """Whom an access list let read the old key, it lets read the new one."""
        give_access_list(old)
        FileTarget(old).write(key())
        assert (access_list(), "0o640") == (os.getxattr(old, ACL), mode(old))

    @linux_only
    def test_takes_no_access_list_for_the_groups_rights(self, old: Path, wrap: Callable[..., None]) -> None:
        """What an access list gave to one user is not given to the group where that list cannot be kept."""
        give_access_list(old)
        wrap("setxattr", failing(OSError(errno.EPERM, "no")))
        assert FileTarget(old).write(key()) is None
        assert "0o600" == mode(old)

    @linux_only
    def test_inherits_no_access_list(self, tmp_path: Path, old: Path) -> None:
        """Whom the folder's list lets read new files, it does not let read one that they could not read before."""
        old.chmod(0o640)
        give_access_list(tmp_path, DEFAULT_ACL)
        FileTarget(old).write(key())
        assert ("0o640", False) == (mode(old), ACL in os.listxattr(old))

    @linux_only
    def test_writes_where_there_are_no_attributes(self, old: Path, wrap: Callable[..., None]) -> None:
        """A file system without attributes keeps no key from being written."""
        wrap("listxattr", failing(OSError(errno.ENOTSUP, "not supported")))
        assert FileTarget(old).write(key()) is None

    def test_copies_no_attributes_elsewhere(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On systems that have other access lists, the mode alone is kept."""
        monkeypatch.setattr(sys, "platform", "darwin")
        assert FileTarget(old).write(key()) is None

    @posix_only
    @pytest.mark.usefixtures("old")
    def test_leaves_a_link(self, tmp_path: Path) -> None:
        """The file behind a link is replaced, and its previous key stands beside it."""
        (tmp_path / "links").mkdir()
        link = tmp_path / "links" / "a.lic"
        link.symlink_to("../license.lic")
        FileTarget(link).write(key())
        found = (link.is_symlink(), link.read_text(encoding="utf-8"), sorted(path.name for path in tmp_path.iterdir()))
        assert (True, "new", ["license.lic", "license.lic.previous", "links"]) == found

    @posix_only
    def test_makes_the_file_that_a_link_names(self, tmp_path: Path) -> None:
        """A link to a file that is not there yet stays, too."""
        (tmp_path / "a.lic").symlink_to("b.lic")
        FileTarget(tmp_path / "a.lic").write(key())
        assert ("b.lic", "new") == ((tmp_path / "a.lic").readlink().name, (tmp_path / "b.lic").read_text("utf-8"))


class TestReasons:
    """What an administrator is told; nothing is raised, and nothing is left behind."""

    def test_folder_missing(self, tmp_path: Path) -> None:
        """A missing folder is named, to be created."""
        path = tmp_path / "etc" / "a.lic"
        expected = f"{path} cannot be written: the folder {path.parent} is missing; create it"
        assert expected == FileTarget(path).write(key())

    def test_file_in_place_of_a_folder(self, old: Path) -> None:
        """A file that stands where a folder should is named."""
        reason = FileTarget(old / "a.lic").write(key())
        assert (
            f"{old / 'a.lic'} cannot be written: {old} is no folder; move away the file that stands in its place"
            == reason
        )

    def test_folder_in_place_of_the_file(self, tmp_path: Path) -> None:
        """A folder at the path asks for the file's name."""
        reason = FileTarget(tmp_path).write(key())
        assert f"{tmp_path} cannot be written: it is a folder; add the name of the file to the path" == reason

    @posix_only
    @pytest.mark.parametrize("where", ["folder", "file", "way"])
    def test_no_permission(self, somebody: Path, where: str) -> None:
        """Without the right to write there, or to read the old key, the account is told to be given it."""
        path = somebody / "etc" / "a.lic"
        path.parent.mkdir()
        path.write_text("old", encoding="utf-8")
        if os.geteuid() == 0:
            os.chown(path.parent, SOMEBODY, SOMEBODY)
        closed, bits = {"folder": (path.parent, 0o500), "file": (path, 0o000), "way": (path.parent, 0o000)}[where]
        closed.chmod(bits)
        with as_somebody():
            reason = FileTarget(path).write(key())
        expected = "no permission; let the account of this program read the file and write in the folder"
        assert f"{path} cannot be written: {expected} {path.parent}" == reason

    @posix_only
    def test_file_size_limit(self, tmp_path: Path, old: Path) -> None:
        """A real limit of the system stops a write in its midst: the old key stays, and no draft."""
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            reason = FileTarget(old).write(key("x" * 100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (
            f"{old} cannot be written: this process may write no file of that size; raise its limit (ulimit -f)"
            == reason
        )
        assert {"license.lic": "old"} == inside(tmp_path)

    @posix_only
    @pytest.mark.parametrize("make", [os.mkfifo, bind])  # no device of the machine: broken code would replace it
    def test_pipe_or_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[str], None]) -> None:
        """Neither is opened, so that nobody waits and nothing is lost."""
        monkeypatch.chdir(tmp_path)
        make("a.lic")
        expected = f"{tmp_path / 'a.lic'} cannot be written: it is a device, pipe or socket; give the path of a file"
        assert expected == FileTarget("a.lic").write(key())

    @posix_only
    def test_pipe_that_came_meanwhile(self, old: Path, wrap: Callable[..., None]) -> None:
        """A pipe that took the file's place after it was looked at holds nobody up."""

        def swap(original: Callable[..., object], path: Path, *args: object) -> object:
            if path == old:
                old.unlink()
                os.mkfifo(old)
            return original(path, *args)

        wrap("open", swap)
        assert FileTarget(old).write(key()) is None

    def test_file_that_is_no_key(self, old: Path) -> None:
        """A file larger than any key is left alone."""
        os.truncate(old, 16 * 1024 * 1024 + 1)
        expected = "it holds 16777217 bytes, more than any key; check the path, or move that file away"
        assert f"{old} cannot be written: {expected}" == FileTarget(old).write(key())

    @posix_only
    def test_circle_of_links(self, tmp_path: Path) -> None:
        """Links in a circle lead nowhere."""
        (tmp_path / "a.lic").symlink_to("b.lic")
        (tmp_path / "b.lic").symlink_to("a.lic")
        assert "its symbolic links lead in a circle" in FileTarget(tmp_path / "a.lic").write(key())

    def test_name_too_long(self, tmp_path: Path) -> None:
        """A name that the file system does not take is told, the end of it shown."""
        path = tmp_path / ("x" * 300)
        assert f"…{'x' * 120} cannot be written: the name is too long; give a shorter path" == FileTarget(path).write(
            key()
        )

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (errno.ENOSPC, "the disk is full; free some space on that of {folder}"),
            (errno.EDQUOT, "the disk quota is used up; free some space, or raise it"),
            (errno.EROFS, "the file system of {folder} is read-only; make it writable, or give another path"),
            (errno.EBUSY, "it is in use, or a mount point of its own; close what uses it, or mount its folder instead"),
            (errno.EIO, "the disk reports an error; check it"),
            (errno.ENXIO, "the system reports: as {it} is"),
            (
                errno.ENOENT,
                "no file can be made in {folder}, or another program removed it; let only one program write there",
            ),
        ],
    )
    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_other_errors(
        self, tmp_path: Path, old: Path, wrap: Callable[..., None], step: str, code: int, words: str
    ) -> None:
        """Each error of the system is told in words; the old key stays, and no draft."""
        wrap(step, failing(OSError(code, "as {it} is")))
        reason = FileTarget(old).write(key())
        expected = f"{old} cannot be written: {words.replace('{folder}', str(tmp_path))}"
        assert (expected, {"license.lic": "old"}) == (reason, inside(tmp_path))

    @pytest.mark.parametrize(
        ("code", "winerror", "words"),
        [
            (
                errno.EACCES,
                5,
                "it is open in another program or read-only, or there is no permission; close that program",
            ),
            (errno.EACCES, 32, "it is in use by another program; close that program"),
            (errno.EACCES, 33, "it is in use by another program; close that program"),
            (errno.EACCES, 19, "is read-only; make it writable, or give another path"),
            (errno.EINVAL, 123, "the path holds characters that no file's name may have"),
            (errno.ENOENT, 206, "the name is too long"),
            (errno.ENOSPC, 112, "the disk is full"),
        ],
    )
    def test_errors_of_windows(
        self, tmp_path: Path, old: Path, wrap: Callable[..., None], code: int, winerror: int, words: str
    ) -> None:
        """What Windows reports by numbers of its own is told in words, such as a file that is open elsewhere."""
        error = OSError(code, "denied")
        error.winerror = winerror
        wrap("replace", failing(error))
        assert words in FileTarget(old).write(key())
        assert {"license.lic": "old"} == inside(tmp_path)

    def test_is_one_clean_line(self, tmp_path: Path) -> None:
        """A path with control characters does not break the line."""
        expected = f"{tmp_path / 'ab'} cannot be written: it is a folder; add the name of the file to the path"
        (tmp_path / "a\nb").mkdir()
        assert expected == FileTarget(tmp_path / "a\nb").write(key())

    def test_is_no_longer_than_500_characters(self, tmp_path: Path) -> None:
        """A deep path is cut from its start, so that what to do is still told."""
        reason = FileTarget(tmp_path.joinpath(*["deep"] * 200, "a.lic")).write(key())
        assert reason.endswith("deep/deep/deep is missing; create it")
        assert len(reason) <= 500


class TestPrevious:
    def test_stays_as_it_was_when_a_write_fails(self, tmp_path: Path, old: Path, wrap: Callable[..., None]) -> None:
        """A key that could not be put in its place does not cost the one before."""
        (tmp_path / "license.lic.previous").write_text("older", encoding="utf-8")
        wrap("replace", failing(OSError(errno.EACCES, "no"), only=lambda _, to: Path(to) == old))
        FileTarget(old).write(key())
        assert {"license.lic": "old", "license.lic.previous": "older"} == inside(tmp_path)

    def test_keeps_no_key_from_being_written(self, tmp_path: Path, old: Path) -> None:
        """Where the key before cannot be kept, the new one is written all the same."""
        (tmp_path / "license.lic.previous").mkdir()
        assert FileTarget(old).write(key()) is None
        assert "new" == old.read_text(encoding="utf-8")

    def test_is_missed_in_the_log(self, tmp_path: Path, old: Path, caplog: pytest.LogCaptureFixture) -> None:
        """The log tells that the key before could not be kept."""
        (tmp_path / "license.lic.previous").mkdir()
        FileTarget(old).write(key())
        assert f"{old}: the key before cannot be kept as license.lic.previous: IsADirectoryError" in caplog.text

    def test_gives_way_on_a_full_disk(self, tmp_path: Path, old: Path, wrap: Callable[..., None]) -> None:
        """Where there is room for one key only, it is the new one."""
        opened: list[object] = []

        def full(original: Callable[..., object], path: object, flags: int, *args: int) -> object:
            opened.append(path)
            if flags & os.O_CREAT and sum("~" in str(path) for path in opened) == 2:
                raise OSError(errno.ENOSPC, "full")
            return original(path, flags, *args)

        wrap("open", full)
        assert FileTarget(old).write(key()) is None
        assert {"license.lic": "new"} == inside(tmp_path)


class TestDrafts:
    @pytest.mark.parametrize("text", ["new", "old"])
    def test_of_killed_writers_are_removed(self, tmp_path: Path, old: Path, text: str) -> None:
        """What a killed writer left of this file goes with the next write, also where the key is there already."""
        (tmp_path / f".license.lic~{'0a' * 8}").write_text("ne", encoding="utf-8")
        FileTarget(old).write(key(text))
        assert not [path for path in tmp_path.iterdir() if "~" in path.name]

    @pytest.mark.parametrize(
        "name", [".license.lic~", f".license.lic~{'0a' * 8}.x", f".license.lic~{'0A' * 8}", f".other.lic~{'0a' * 8}"]
    )
    def test_are_not_what_others_left(self, tmp_path: Path, old: Path, name: str) -> None:
        """Files of other names are not ours to remove."""
        (tmp_path / name).write_text("theirs", encoding="utf-8")
        FileTarget(old).write(key())
        assert (tmp_path / name).exists()

    @posix_only
    def test_of_living_writers_are_left(self, tmp_path: Path, old: Path, wrap: Callable[..., None]) -> None:
        """Two writers at once do not take each other's drafts for leftovers; the last one's key stays."""
        answers = []

        def between(original: Callable[..., object], *args: object) -> object:
            if not answers:
                answers.append("begun")
                answers.append(FileTarget(old).write(key("between")))
            return original(*args)

        wrap("replace", between)
        answers.append(FileTarget(old).write(key()))
        assert ["begun", None, None] == answers
        assert "new" == old.read_text(encoding="utf-8")
        assert not [path for path in tmp_path.iterdir() if "~" in path.name]

    @posix_only
    def test_are_removed_where_there_are_no_locks(
        self, tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file system without locks has keys written, and leftovers removed, too."""
        import fcntl

        monkeypatch.setattr(fcntl, "flock", functools.partial(failing(OSError(errno.ENOLCK, "no locks")), None))
        (tmp_path / f".license.lic~{'0a' * 8}").write_text("ne", encoding="utf-8")
        FileTarget(old).write(key())
        assert {"license.lic": "new", "license.lic.previous": "old"} == inside(tmp_path)

    @posix_only
    def test_that_cannot_be_looked_at_are_left(self, tmp_path: Path, old: Path) -> None:
        """What only looks like a draft, a link, is not followed and keeps no key from being written."""
        (tmp_path / f".license.lic~{'0a' * 8}").symlink_to("license.lic")
        assert FileTarget(old).write(key()) is None
        assert (tmp_path / f".license.lic~{'0a' * 8}").is_symlink()

    def test_that_cannot_be_removed_keep_no_key_from_being_written(
        self, tmp_path: Path, old: Path, wrap: Callable[..., None]
    ) -> None:
        """A leftover stays where it cannot be removed, and the key is written."""
        (tmp_path / f".license.lic~{'0a' * 8}").write_text("ne", encoding="utf-8")
        wrap("unlink", failing(OSError(errno.EPERM, "no")))
        assert FileTarget(old).write(key()) is None

    @posix_only
    def test_are_made_in_a_folder_that_cannot_be_listed(self, somebody: Path) -> None:
        """The right to write in a folder is enough; nobody need be let see what is in it."""
        folder = somebody / "etc"
        folder.mkdir(mode=0o300)
        folder.chmod(0o300)
        if os.geteuid() == 0:
            os.chown(folder, SOMEBODY, SOMEBODY)
        with as_somebody():
            assert FileTarget(folder / "a.lic").write(key()) is None
            assert "new" == (folder / "a.lic").read_text(encoding="utf-8")

    @posix_only
    def test_let_nobody_read_more_than_the_file_did(self, old: Path, wrap: Callable[..., None]) -> None:
        """At no moment is a draft of a private key open to others."""
        old.chmod(0o600)
        seen = set()

        def look(original: Callable[..., object], *args: object) -> object:
            seen.update(mode(path) for path in old.parent.iterdir())
            return original(*args)

        for step in ("fsync", "replace", "listxattr"):
            wrap(step, look)
        FileTarget(old).write(key())
        assert {"0o600"} == seen


class TestDurability:
    @posix_only
    def test_flushes_before_it_replaces(self, old: Path, wrap: Callable[..., None]) -> None:
        """Keys are on the disk before they are in place, and the folder after that."""
        steps = []

        def note(original: Callable[..., object], what: object, *args: object) -> object:
            if original.__name__ == "replace":
                steps.append(f"replace {Path(args[0]).name}")
            else:
                steps.append("flush folder" if stat.S_ISDIR(os.fstat(what).st_mode) else "flush key")
            return original(what, *args)

        wrap("fsync", note)
        wrap("replace", note)
        FileTarget(old).write(key())
        replaced = ["replace license.lic", "replace license.lic.previous"]
        assert ["flush key", "flush key", *replaced, "flush folder"] == steps

    @posix_only
    def test_makes_last_what_is_there_already(self, old: Path, wrap: Callable[..., None]) -> None:
        """A writer may have been killed before it flushed the folder: the next one does, though the key is there."""
        flushed = []

        def note(original: Callable[..., object], descriptor: int) -> object:
            flushed.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
            return original(descriptor)

        wrap("fsync", note)
        FileTarget(old).write(key("old"))
        assert [True] == flushed

    @posix_only
    def test_a_folder_that_cannot_be_flushed(
        self, old: Path, wrap: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The key is in place; that a power cut may undo it stands in the log."""
        wrap("fsync", failing(OSError(errno.EINVAL, "no"), only=lambda found: stat.S_ISDIR(os.fstat(found).st_mode)))
        assert FileTarget(old).write(key()) is None
        assert f"{old}: a power cut now may undo that it was written: OSError: [Errno {errno.EINVAL}] no" in caplog.text


STEPS = [
    ("before open 1", "old", "older"),
    ("after open 1", "old", "older"),  # an empty draft of the new key
    ("before fsync 1", "old", "older"),
    ("after fsync 1", "old", "older"),
    ("before open 2", "old", "older"),
    ("after open 2", "old", "older"),  # an empty draft of the key before
    ("before fsync 2", "old", "older"),
    ("after fsync 2", "old", "older"),
    ("before replace 1", "old", "older"),
    ("after replace 1", "new", "older"),
    ("before replace 2", "new", "older"),
    ("after replace 2", "new", "old"),
    ("before fsync 3", "new", "old"),
    ("after fsync 3", "new", "old"),
]
WRITER = """
import os, signal, sys
from pathlib import Path
from licfsm import LicenseKey
from licfsm.adapters.targets import FileTarget

def key(signed):
    return LicenseKey(id="ACME-1", type="subscription", signed=signed)

def write(folder, deadly):
    "Write a key, and be killed at a step; it prints the steps that it comes to."
    target, counts = FileTarget(folder / "license.lic"), {}

    def come_to(step):
        if deadly is None:
            print(step, flush=True)
        if step == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(name, original):
        def wrapped(*args):
            if name == "open" and not args[1] & os.O_CREAT:
                return original(*args)
            counts[name] = counts.get(name, 0) + 1
            come_to(f"before {name} {counts[name]}")
            result = original(*args)
            come_to(f"after {name} {counts[name]}")
            return result
        return wrapped

    for signed in ("older", "old"):
        target.write(key(signed))
    for name in ("open", "fsync", "replace"):
        setattr(os, name, wrap(name, getattr(os, name)))
    target.write(key("new"))

root = Path(sys.argv[1])
for number, deadly in enumerate([*sys.argv[2:], None]):
    folder = root / str(number)
    folder.mkdir()
    child = os.fork()
    if child == 0:
        write(folder, deadly)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    (folder / "status").write_text(str(os.waitstatus_to_exitcode(status)))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Let writers be killed, one at each step, and one live: a folder of each, and the steps of the last."""
    root = tmp_path_factory.mktemp("killed")
    steps = [step for step, *_ in STEPS]
    run = subprocess.run([sys.executable, "-c", WRITER, root, *steps], capture_output=True, text=True, check=True)
    return root, run.stdout.splitlines()


@posix_only
class TestKills:
    def test_come_at_every_step(self, killed: tuple[Path, list[str]]) -> None:
        """The steps below are all that there are."""
        assert [step for step, *_ in STEPS] == killed[1]

    @pytest.mark.parametrize(("number", "step"), [(number, step) for number, (step, *_) in enumerate(STEPS)])
    def test_are_kills(self, killed: tuple[Path, list[str]], number: int, step: str) -> None:
        """Each writer was killed where it should be."""
        assert (step, -signal.SIGKILL) == (step, int((killed[0] / str(number) / "status").read_text("utf-8")))

    @pytest.mark.parametrize(("number", "case"), list(enumerate(STEPS)))
    def test_leave_whole_keys(self, killed: tuple[Path, list[str]], number: int, case: tuple[str, str, str]) -> None:
        """Whenever a writer is killed, there is the old key or the new one, whole, and so is the one before it."""
        found = inside(killed[0] / str(number))
        assert case[1:] == (found["license.lic"], found["license.lic.previous"])

    @pytest.mark.parametrize("number", range(len(STEPS)))
    def test_leave_nothing_after_the_next_write(self, killed: tuple[Path, list[str]], number: int) -> None:
        """The next write puts the key in place, and removes what was left."""
        folder = killed[0] / str(number)
        FileTarget(folder / "license.lic").write(key())
        found = inside(folder)
        assert ("new", ["license.lic", "license.lic.previous", "status"]) == (found["license.lic"], list(found))
