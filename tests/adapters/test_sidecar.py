import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from licfsm.adapters.store import Mark
from licfsm.adapters.store.sidecar import Sidecar
from licfsm.errors import StoreError

STORE = "0123456789abcdef" * 2
MARK = Mark(STORE, 17, 1739491200000)
WRITTEN = f"licfsm {STORE} 0000000000000000017 0000001739491200000\n".encode()

HOLD = """
import sys
from pathlib import Path
from licfsm.adapters.store.sidecar import Sidecar
sidecar = Sidecar(Path(sys.argv[1]))
print(sidecar.acquire(), flush=True)
"""
WAIT = "sys.stdin.read()\n"
FORK = """
import os
end, _ = os.pipe()
if os.fork():
    os.read(end, 1)  # until it is killed
print("child", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name the file beside a store."""
    return tmp_path / "licenses.db.lock"


@pytest.fixture
def sidecar(path: Path) -> Iterator[Sidecar]:
    """Give what stands for that file."""
    with closing(Sidecar(path)) as made:
        yield made


@pytest.fixture
def run(path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Have another process take the lock, and go on as told."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD + script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """Read a line that a process tells."""
    assert process.stdout
    return process.stdout.readline().strip()


class TestLock:
    def test_excludes_another_process(self, sidecar: Sidecar, run: Callable) -> None:
        """Only one process at a time has it."""
        assert sidecar.acquire()
        assert "False" == line(run(WAIT))

    def test_is_excluded_by_another_process(self, sidecar: Sidecar, run: Callable) -> None:
        """Who comes second does not get it, and does not wait."""
        assert "True" == line(run(WAIT))
        assert (False, False) == (sidecar.acquire(), sidecar.held)

    def test_excludes_another_of_the_same_process(self, sidecar: Sidecar, path: Path) -> None:
        """Two managers of one process are two."""
        assert sidecar.acquire()
        with closing(Sidecar(path)) as other:
            assert not other.acquire()

    def test_may_be_asked_for_twice(self, sidecar: Sidecar) -> None:
        """Who has it, has it."""
        assert (True, True, True) == (sidecar.acquire(), sidecar.acquire(), sidecar.held)

    def test_is_free_once_released(self, sidecar: Sidecar, path: Path) -> None:
        """Who lets go of it lets the next one have it."""
        sidecar.acquire()
        sidecar.release()
        with closing(Sidecar(path)) as other:
            assert other.acquire()
        assert not sidecar.held

    def test_is_free_once_closed(self, sidecar: Sidecar, path: Path) -> None:
        """Closing lets go of it as well; the file stays."""
        sidecar.acquire()
        sidecar.close()
        with closing(Sidecar(path)) as other:
            assert other.acquire()
        assert path.exists()

    def test_can_be_taken_again(self, sidecar: Sidecar) -> None:
        """A driver may come back."""
        sidecar.acquire()
        sidecar.close()
        assert sidecar.acquire()

    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9")
    def test_is_free_after_kill_9(self, sidecar: Sidecar, run: Callable) -> None:
        """The operating system gives back what a killed process had."""
        process = run(WAIT)
        assert "True" == line(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert sidecar.acquire()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    def test_is_not_inherited_by_a_fork(self, sidecar: Sidecar, run: Callable) -> None:
        """A child that outlives its parent does not keep the parent's lock alive."""
        process = run(FORK)
        assert ["True", "child"] == [line(process), line(process)]
        before = sidecar.acquire()
        process.kill()
        process.wait()
        assert (False, True) == (before, sidecar.acquire())

    def test_on_a_file_that_was_replaced_is_given_up(self, sidecar: Sidecar, path: Path) -> None:
        """Who holds a lock on a file that others no longer see keeps nobody away: the new one counts."""
        assert sidecar.acquire()
        path.unlink()
        with closing(Sidecar(path)) as other:
            assert other.acquire()
            assert (False, False) == (sidecar.acquire(), sidecar.held)
        assert sidecar.acquire()

    def test_on_a_file_that_was_removed_is_taken_anew(self, sidecar: Sidecar, path: Path) -> None:
        """It is made again, so that others meet it."""
        sidecar.acquire()
        path.unlink()
        assert (True, True) == (sidecar.acquire(), path.exists())
        with closing(Sidecar(path)) as other:
            assert not other.acquire()

    def test_on_a_file_that_is_replaced_in_between_is_taken_on_the_new_one(
        self, sidecar: Sidecar, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between opening and locking another process may have replaced it."""
        opened = Sidecar._open

        def removed_once(self: Sidecar) -> int:
            monkeypatch.undo()
            file = opened(self)
            path.unlink()
            return file

        monkeypatch.setattr(Sidecar, "_open", removed_once)
        assert (True, True) == (sidecar.acquire(), path.exists())

    def test_of_a_file_that_may_not_be_written_says_so(self, path: Path) -> None:
        """What stands in its way is named: the file itself, not its folder."""
        path.mkdir()
        with closing(Sidecar(path)) as sidecar, pytest.raises(StoreError, match="; it must be writable for this user"):
            sidecar.acquire()

    def test_of_a_file_that_cannot_be_made_is_an_error(self, tmp_path: Path) -> None:
        """Without its folder there is no lock, and that is said."""
        with pytest.raises(
            StoreError, match=r"cannot open .*: No such file.*; the folder of the store must be writable"
        ):
            Sidecar(tmp_path / "none" / "licenses.db.lock").acquire()

    def test_of_a_store_in_memory_is_always_free(self) -> None:
        """Nobody else can see a store in memory."""
        sidecar = Sidecar(None)
        assert (True, True) == (sidecar.acquire(), Sidecar(None).acquire())
        sidecar.release()
        assert not sidecar.held


class TestMark:
    def test_is_read_as_it_was_written(self, sidecar: Sidecar, path: Path) -> None:
        """The file holds one line that can be read by eye."""
        sidecar.acquire()
        sidecar.write(MARK)
        assert (WRITTEN, MARK) == (path.read_bytes(), sidecar.read())

    def test_can_be_read_while_another_drives(self, sidecar: Sidecar, path: Path) -> None:
        """The lock keeps nobody from reading."""
        sidecar.acquire()
        sidecar.write(MARK)
        assert MARK == Sidecar(path).read()

    def test_is_not_written_without_the_lock(self, sidecar: Sidecar, path: Path) -> None:
        """Only the driver knows how far the store has come."""
        sidecar.write(MARK)
        sidecar.acquire()
        sidecar.release()
        sidecar.write(MARK)
        assert b"" == path.read_bytes()

    def test_stays_when_the_lock_goes(self, sidecar: Sidecar) -> None:
        """The next driver begins where it says."""
        sidecar.acquire()
        sidecar.write(MARK)
        sidecar.close()
        assert MARK == sidecar.read()

    def test_is_not_there_without_a_file(self, sidecar: Sidecar) -> None:
        """Reading makes no file."""
        assert (None, False) == (sidecar.read(), sidecar.path.exists())

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff" * 300,
            b"licfsm",
            WRITTEN[:-1],
            WRITTEN.replace(b"licfsm", b"LICFSM"),
            WRITTEN.replace(b"0123", b"xyzx"),
            WRITTEN.replace(b"017", b"-17"),
            b"\n" + WRITTEN,
        ],
    )
    def test_that_is_garbage_is_none(self, sidecar: Sidecar, path: Path, content: bytes) -> None:
        """What cannot be read says nothing, keeps nobody from driving, and is written over."""
        path.write_bytes(content)
        assert (None, True) == (sidecar.read(), sidecar.acquire())
        sidecar.write(MARK)
        assert MARK == sidecar.read()

    def test_is_none_where_a_folder_stands_in_its_place(self, sidecar: Sidecar, path: Path) -> None:
        """A folder has no mark, and cannot be locked as a file."""
        path.mkdir()
        assert sidecar.read() is None
        with pytest.raises(StoreError, match=r"cannot open .*: Is a directory"):
            sidecar.acquire()

    def test_before_1970_is_none(self, sidecar: Sidecar) -> None:
        """A clock that stands before 1970 is as good as unknown."""
        sidecar.acquire()
        sidecar.write(Mark(STORE, 1, -5))
        assert Mark(STORE, 1, 0) == sidecar.read()

    def test_on_a_full_disk_stays_as_it_was(self, sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
        """What cannot be written is behind, which means nothing."""
        sidecar.acquire()
        sidecar.write(MARK)

        def full(*_: object) -> None:
            message = "no space left on device"
            raise OSError(message)

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            sidecar.write(MARK._replace(seq=18))
        assert MARK == sidecar.read()

    def test_of_a_store_in_memory_is_kept_there(self) -> None:
        """A store in memory has come as far as its manager says."""
        sidecar = Sidecar(None)
        sidecar.write(MARK)
        assert MARK == sidecar.read()
