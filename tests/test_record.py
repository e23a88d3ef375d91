import attrs
from hypothesis import given
from hypothesis import strategies as st

from licfsm.instants import NEVER
from licfsm.record import FailureMail, Record, TargetWrite

FIELDS = [field.name for field in attrs.fields(Record)]


def values(record: Record) -> list[object]:
    """Give all fields in order."""
    return [getattr(record, name) for name in FIELDS]


class TestFirst:
    def test_has_nothing_due(self) -> None:
        """A new license asks nothing by itself, waits for nothing, and owes nothing."""
        record = Record.first("Valid", "Off", 99, 7)
        assert (NEVER, NEVER, ()) == (record.next_at, record.confirm_at, record.writes)

    def test_takes_what_it_is_told(self) -> None:
        """States, give-up deadline and the time are those given."""
        record = Record.first("Grace", "Off", 99, 7)
        assert ("Grace", "Off", 99, 7) == (record.entitlement, record.auto_update, record.give_up_at, record.latest)

    def test_has_told_nothing(self) -> None:
        """Nothing was told, mailed or tried yet."""
        record = Record.first("Valid", "Off", 99, 7)
        assert (0, None, "", 0) == (record.told, record.mailed, record.last_outcome, record.attempt)


class TestCopy:
    @given(st.lists(st.integers(), min_size=len(FIELDS), max_size=len(FIELDS), unique=True))
    def test_has_every_field(self, different: list[int]) -> None:
        """Each field of the copy is that of the record; with different values, none can stand for another."""
        assert different == values(Record(*different).copy())

    def test_is_another_record(self) -> None:
        """What a step does to the copy leaves the record alone."""
        record = Record.first("Valid", "Off", 99, 7)
        record.copy().auto_update = "Scheduled"
        assert "Off" == record.auto_update

    def test_keeps_the_parts(self) -> None:
        """Frozen parts are shared."""
        record = Record.first("Valid", "Off", 99, 7)
        record.mailed = FailureMail("connection_failed", 5, 1)
        record.writes = (TargetWrite("server", 1, 5),)
        copy = record.copy()
        assert (record.mailed, record.writes) == (copy.mailed, copy.writes)


def test_a_record_is_small() -> None:
    """A record has slots and no dictionary, for a host may hold a million of them."""
    assert not hasattr(Record.first("Valid", "Off", 99, 7), "__dict__")
