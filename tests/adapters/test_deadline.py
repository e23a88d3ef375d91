import socket
import threading

import pytest

from licfsm.adapters.deadline import Deadline, Passed

LONG = 20.0
SHORT = 0.05


class TestRun:
    def test_is_back_at_once_where_the_work_is_done(self) -> None:
        """Nothing was late, so nothing is told."""
        done = threading.Event()
        assert Deadline(LONG, grace=LONG).run(done.set, "work", lambda: "late") is None
        assert done.is_set()

    def test_tells_what_takes_so_long(self) -> None:
        """The end of a connection ends whatever waits for it; what was the matter is asked before that."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            deadline = Deadline(SHORT, grace=LONG)
            deadline.hold(ours)
            received: list[bytes] = []
            late = deadline.run(
                lambda: received.append(ours.recv(1)), "work", lambda: f"{received} so far, {deadline.passed}"
            )
        assert ("[] so far, False", [b""]) == (late, received)

    def test_waits_for_what_cannot_be_ended_only_a_little(self) -> None:
        """A look-up in DNS goes on by itself."""
        go_on = threading.Event()
        assert "late" == Deadline(SHORT, grace=SHORT).run(lambda: bool(go_on.wait(LONG)), "looks up", lambda: "late")
        go_on.set()
        for thread in threading.enumerate():
            if thread.name == "looks up":
                thread.join(LONG)


class TestHold:
    def test_refuses_a_connection_that_comes_too_late(self) -> None:
        """Nobody waits for it any longer."""
        deadline = Deadline(LONG, grace=SHORT)
        deadline.end()
        with socket.socket() as line, pytest.raises(Passed):
            deadline.hold(line)

    def test_lets_go_of_the_connection_before(self) -> None:
        """Only the latest is shut down."""
        pairs = [socket.socketpair() for _ in range(2)]
        deadline = Deadline(LONG, grace=SHORT)
        for ours, _ in pairs:
            deadline.hold(ours)
        deadline.end()
        (first, first_there), (second, second_there) = pairs
        first.sendall(b"x")
        assert (b"x", b"") == (first_there.recv(1), second_there.recv(1))
        for line in (first, first_there, second, second_there):
            line.close()

    def test_may_be_ended_twice(self) -> None:
        """What is closed already stays so."""
        ours, theirs = socket.socketpair()
        deadline = Deadline(LONG, grace=SHORT)
        deadline.hold(ours)
        ours.close()
        theirs.close()
        deadline.end()
        deadline.end()
        assert deadline.passed


def test_knows_what_is_left() -> None:
    """Of an hour that just began there is nearly an hour left."""
    assert 3500 < Deadline(3600, grace=SHORT).left <= 3600
