import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import licfsm
from licfsm import effects as fx
from licfsm import events as ev
from licfsm.adapters.store.tables import RECORD
from licfsm.errors import StoreDamaged
from licfsm.host.codec import (
    EVENTS,
    decode_event,
    decode_policy,
    decode_record,
    encode_event,
    encode_moves,
    encode_policy,
    encode_record,
)
from licfsm.instants import EARLIEST, LATEST, NEVER, Span
from licfsm.key import LicenseKey
from licfsm.lifecycle import AUTO_UPDATE, ENTITLEMENT, REGIONS
from licfsm.policy import OUTCOMES, Policy, named
from licfsm.record import FailureMail, Record, TargetWrite

POLICIES = ("veeam-7", "veeam-8", "veeam-9", "veeam-13")
KEYS = [LicenseKey(id="ACME-1", type="subscription", expires=f"202{year}-02-14") for year in range(5)]

instants = st.one_of(st.integers(EARLIEST, LATEST), st.just(NEVER))
numbers = st.integers(-(2**53), 2**53)
texts = st.text()
keys = st.sampled_from(KEYS)

KINDS: dict[type, st.SearchStrategy] = {
    ev.Tick: st.builds(ev.Tick),
    ev.ClockStepped: st.builds(ev.ClockStepped, numbers, st.booleans()),
    ev.Restarted: st.builds(ev.Restarted),
    ev.Enable: st.builds(ev.Enable),
    ev.Disable: st.builds(ev.Disable),
    ev.CheckNow: st.builds(ev.CheckNow),
    ev.Install: st.builds(ev.Install, keys, st.booleans()),
    ev.FirstInstalled: st.builds(ev.FirstInstalled, keys),
    ev.PolicyChanged: st.builds(ev.PolicyChanged, st.sampled_from([named(name) for name in POLICIES])),
    ev.Answered: st.builds(
        ev.Answered,
        st.integers(0, 2**53),
        st.sampled_from(OUTCOMES),
        st.none() | keys,
        st.none() | numbers,
        st.none() | instants,
        texts,
    ),
    ev.TargetNamed: st.builds(ev.TargetNamed, texts),
    ev.TargetWritten: st.builds(ev.TargetWritten, texts, keys),
    ev.TargetFailed: st.builds(ev.TargetFailed, texts, keys, texts),
}


def round_trip(event: ev.Event) -> ev.Event:
    """Write an event and read it back; keys are known by their place, policies by their digest."""
    policies = {encode_policy(named(name))[0]: named(name) for name in POLICIES}
    return decode_event(*encode_event(event, KEYS.index), KEYS.__getitem__, policies.__getitem__)


class TestEvents:
    @given(st.one_of(*KINDS.values()))
    def test_come_back_as_they_were(self, event: ev.Event) -> None:
        """Whatever a license is told of can be written, and read again."""
        assert event == round_trip(event)

    def test_are_all_there_are(self) -> None:
        """Every kind of event has a name in the journal, and is among those tried above."""
        assert set(KINDS) == set(EVENTS.values()) == set(ev.Event.__args__)

    def test_leave_out_what_goes_without_saying(self) -> None:
        """An event that says nothing beside its name has no details, which keeps a store small."""
        assert ("tick", None) == encode_event(ev.Tick(), KEYS.index)

    def test_name_keys_by_number(self) -> None:
        """A key stands in the journal as the number by which the store knows it."""
        assert ("install", '{"key":3,"force":true}') == encode_event(ev.Install(KEYS[3], force=True), KEYS.index)

    def test_name_policies_by_digest(self) -> None:
        """A policy stands in the journal as its digest."""
        policy = named("veeam-9")
        assert ("policy_changed", f'{{"policy":"{encode_policy(policy)[0]}"}}') == encode_event(
            ev.PolicyChanged(policy), KEYS.index
        )

    @pytest.mark.parametrize(
        ("name", "details"),
        [
            ("unknown", None),
            ("", None),
            ("tick", "{"),
            ("tick", '{"by": 1}'),
            ("clock_stepped", None),
            ("install", '{"key": 99}'),
            ("install", '{"key": "x"}'),
            ("install", '{"key": []}'),
            ("policy_changed", '{"policy": "unknown"}'),
            ("policy_changed", '{"policy": []}'),
            ("enable", "[]"),
            ("enable", "7"),
            ("enable", '"x"'),
            ("enable", '["key"]'),
            ("enable", '"key"'),
            ("enable", "null"),
            ("enable", "NaN"),
            ("answered", '{"attempt": 1}'),
            ("enable", "[" * 100_000),
            ("enable", "1" * 5000),
        ],
    )
    def test_that_nobody_wrote_are_damage(self, name: str, details: str | None) -> None:
        """What this package cannot have written is told as damage."""
        with pytest.raises(StoreDamaged, match="the journal holds no event that can be read"):
            decode_event(name, details, dict(enumerate(KEYS)).__getitem__, {}.__getitem__)


def test_moves_are_written_as_lists() -> None:
    """A transition stands in the journal with all its parts, in order."""
    moved = fx.Moved("entitlement", "expired", "Expiring", "Grace", 7, "2.2 why")
    assert '[["entitlement","expired","Expiring","Grace",7,"2.2 why"]]' == encode_moves([moved])


# ---------------------------------------------------------------------------------------------- records

moments = st.integers(EARLIEST, LATEST)
mails = st.builds(FailureMail, st.sampled_from(OUTCOMES), moments, st.integers(0, 99))
writes = st.builds(
    TargetWrite,
    target=texts,
    attempt=st.integers(0, 2**53),
    retry_at=moments,
    warned=st.booleans(),
    told_at=st.none() | moments,
)
records = st.builds(
    Record,
    entitlement=st.sampled_from(REGIONS[ENTITLEMENT]),
    auto_update=st.sampled_from([state for state in REGIONS[AUTO_UPDATE] if state != "Checking"]),
    origin=st.sampled_from([None, *REGIONS[AUTO_UPDATE]]),
    by_user=st.booleans(),
    attempt=st.integers(0, 2**53),
    asked_at=moments,
    asked_due=moments,
    counts_from=moments,
    next_at=instants,
    give_up_at=instants,
    excused=st.booleans(),
    disabled_by=st.sampled_from([None, "deadline", "contract"]),
    last_outcome=st.sampled_from(["", *OUTCOMES]),
    failing=st.booleans(),
    mailed=st.none() | mails,
    told=st.integers(0, 7),
    held=st.booleans(),
    latest=moments,
    confirm_at=instants,
    went_back=st.booleans(),
    writes=st.lists(writes, max_size=3).map(tuple),
)


def row(record: Record) -> dict[str, Any]:
    """Write a record as a store's row gives it back: booleans are numbers there."""
    columns = zip(RECORD, encode_record(record), strict=True)
    written = {name: int(value) if isinstance(value, bool) else value for name, value in columns}
    return {"id": "ACME-1", "version": 1, "notices": 0} | written


def parts(record: Record) -> list[object]:
    """List what a record says; records are compared by identity."""
    return [getattr(record, name) for name in Record.__slots__]


def changed(**columns: object) -> dict[str, Any]:
    """Make a good row with some other columns: of a license in Grace, that is being asked for."""
    record = Record.first("Grace", "Checking", 8, 1)
    record.origin = "Retrying"
    return row(record) | columns


WRONG: dict[str, list[object]] = {
    "version": [None, -1, NEVER, 2**63 - 1, "1"],
    "notices": [None, -1, NEVER, 2**63 - 1, "1"],
    "entitlement": [None, "", "valid", "Off", "Valid ", 0],
    "auto_update": [None, "", "off", "Valid", 1],
    "origin": ["", "Valid", "Grace", 0],
    "by_user": [None, 2, -1, "", "1"],
    "attempt": [None, -1, NEVER, 2**63 - 1, "1", 1.0],
    "asked_at": [None, EARLIEST - 1, LATEST + 1, NEVER, -NEVER, "1", 1.0],
    "asked_due": [None, EARLIEST - 1, LATEST + 1, NEVER, -NEVER, "1"],
    "counts_from": [None, EARLIEST - 1, LATEST + 1, NEVER, -NEVER, "1"],
    "next_at": [None, EARLIEST - 1, LATEST + 1, NEVER + 1, -NEVER, "1"],
    "give_up_at": [None, EARLIEST - 1, LATEST + 1, NEVER - 1, -NEVER, "1"],
    "excused": [None, 2, "x"],
    "disabled_by": ["", "user", 1],
    "last_outcome": [None, "new key", "Valid", 0],
    "failing": [None, 2, -1],
    "mailed": [
        "",
        "{",
        "{}",
        "null",
        "7",
        '["up_to_date",1]',
        '["up_to_date",1,0,0]',
        '["none",1,0]',
        '["connection_failed",1.0,0]',
        '["connection_failed",1e999,0]',
        f'["connection_failed",{NEVER},0]',
        '["connection_failed",1,-1]',
        '["connection_failed",1,null]',
        "[" * 100_000,
        7,
    ],
    "told": [None, -1, 8, "7"],
    "held": [None, 2],
    "latest": [None, EARLIEST - 1, LATEST + 1, NEVER, -NEVER, "1"],
    "confirm_at": [None, EARLIEST - 1, LATEST + 1, -NEVER, "1"],
    "went_back": [None, 2],
    "writes": [
        "",
        "{",
        "null",
        "7",
        '"app"',
        "[7]",
        "[[]]",
        '[["app"]]',
        '[["app",1]]',
        "[[1,1,1,false,null]]",
        '[["app","1",1,false,null]]',
        '[["app",-1,1,false,null]]',
        '[["app",1,null,false,null]]',
        '[["app",1,1.5,false,null]]',
        '[["app",1,1,"x",null]]',
        '[["app",1,1,false,"x"]]',
        '[["app",1,1,false,null,false,0]]',
        f'[["app",1,{NEVER},false,null]]',
        '[{"target":"app"}]',
        "[" * 100_000,
        7,
    ],
}


class TestRecords:
    @given(records)
    def test_come_back_as_they_were(self, record: Record) -> None:
        """Everything of a record survives, with its type."""
        back = parts(decode_record(row(record)))
        assert parts(record) == back
        assert [type(part) for part in parts(record)] == [type(part) for part in back]

    @given(records)
    def test_come_back_in_checking_with_where_it_came_from(self, record: Record) -> None:
        """`Checking` is stored with its origin."""
        record.auto_update, record.origin = "Checking", record.origin or "Off"
        assert parts(record) == parts(decode_record(row(record)))

    def test_in_checking_from_nowhere_are_damage(self) -> None:
        """`Checking` without its origin could lead nowhere."""
        with pytest.raises(StoreDamaged, match="origin cannot be nothing in Checking"):
            decode_record(changed(origin=None))

    @pytest.mark.parametrize(
        ("column", "value"), [(column, value) for column, values in WRONG.items() for value in values]
    )
    def test_that_nobody_wrote_are_damage(self, column: str, value: object) -> None:
        """A column that cannot hold such a value is named."""
        with pytest.raises(StoreDamaged, match=rf"^{column} cannot be "):
            decode_record(changed(**{column: value}))

    def test_are_tried_in_every_column(self) -> None:
        """There is something wrong to be put into each column."""
        assert {"version", "notices", *RECORD} == set(WRONG)

    def test_are_of_good_rows_otherwise(self) -> None:
        """The row that is changed above is a good one."""
        assert "Retrying" == decode_record(changed()).origin

    def test_have_the_columns_of_the_table(self) -> None:
        """The table has the record's parts, in its order."""
        assert RECORD == Record.__slots__

    def test_are_damaged_in_one_line(self) -> None:
        """What stood there is shown, but not all of it."""
        with pytest.raises(StoreDamaged) as caught:
            decode_record(changed(entitlement="x" * 1000))
        assert f"entitlement cannot be '{'x' * 60}'" == str(caught.value)


# ---------------------------------------------------------------------------------------------- policies

VEEAM = named("veeam-9")
OTHER_OUTCOME = {
    "reaction": {"reaction": "give_up"},
    "session": {"session": "warning"},
    "retry": {"retry": Span.parse("61 minutes")},
}


def with_outcome(**changes: object) -> dict[str, object]:
    """Change what `connection_failed` leads to."""
    changed_outcome = attrs.evolve(VEEAM.outcomes["connection_failed"], **changes)
    return {"outcomes": {**VEEAM.outcomes, "connection_failed": changed_outcome}}


DECISIONS: dict[str, dict[str, object]] = {
    "name": {"name": "other"},
    "expiring": {"expiring": Span.parse("8 days")},
    "announce": {"announce": {"subscription": Span.parse("8 days")}},
    "announce-never": {"announce": {"subscription": None}},
    "grace": {"grace": {**VEEAM.grace, "subscription": Span.parse("31 days")}},
    "grace-none": {"grace": {**VEEAM.grace, "subscription": None}},
    "grace-type": {"grace": {**VEEAM.grace, "site": None}},
    "grace-months": {"grace": {**VEEAM.grace, "subscription": Span.parse("1 month")}},
    "free_mode_allows": {"free_mode_allows": ()},
    "cadence-valid": {"cadence": attrs.evolve(VEEAM.cadence, valid=Span.parse("8 days"))},
    "cadence-expiring": {"cadence": attrs.evolve(VEEAM.cadence, expiring=Span.parse("2 days"))},
    "retry_period": {"retry_period": Span.parse("30 days")},
    "mail_repeat": {"mail_repeat": "on_change"},
    **{f"outcome-{part}": with_outcome(**changes) for part, changes in OTHER_OUTCOME.items()},
}
WORDINGS: dict[str, dict[str, object]] = {
    **{
        f"texts-{field.name}": {"texts": attrs.evolve(VEEAM.texts, **{field.name: "other"})}
        for field in attrs.fields(type(VEEAM.texts))
    },
    "notifications": {"notifications": {**VEEAM.notifications, "expiring": "other"}},
    "outcome-text": with_outcome(text="other"),
    "order": {"grace": dict(reversed(VEEAM.grace.items()))},
    "span": {"grace": {**VEEAM.grace, "subscription": Span(days=30, text="thirty days")}},
}


class TestPolicies:
    @pytest.mark.parametrize("name", POLICIES)
    def test_come_back_as_they_were(self, name: str) -> None:
        """Every built-in policy survives whole, texts and all."""
        policy = named(name)
        assert attrs.asdict(policy) == attrs.asdict(decode_policy(encode_policy(policy)[1]))

    @pytest.mark.parametrize("name", POLICIES)
    def test_keep_their_digest(self, name: str) -> None:
        """A policy that was read back is the same one, and is written in the same way."""
        written = encode_policy(named(name))
        assert written == encode_policy(decode_policy(written[1]))

    def test_have_digests_of_their_own(self) -> None:
        """No two built-in policies decide the same."""
        assert len(POLICIES) == len({encode_policy(named(name))[0] for name in POLICIES})

    def test_are_all_tried(self, request: pytest.FixtureRequest) -> None:
        """The policies above are those that come with the package."""
        folder = request.config.rootpath / "licfsm" / "policies"
        assert set(POLICIES) == {path.stem for path in folder.glob("*.yaml")}

    @pytest.mark.parametrize("changes", DECISIONS.values(), ids=DECISIONS)
    def test_that_decide_otherwise_are_others(self, changes: dict[str, object]) -> None:
        """Whatever a policy decides is in its digest."""
        assert encode_policy(VEEAM)[0] != encode_policy(attrs.evolve(VEEAM, **changes))[0]

    @pytest.mark.parametrize("changes", WORDINGS.values(), ids=WORDINGS)
    def test_that_say_it_in_other_words_are_the_same(self, changes: dict[str, object]) -> None:
        """Texts, and in which order or words something is written down, make no other policy."""
        assert encode_policy(VEEAM)[0] == encode_policy(attrs.evolve(VEEAM, **changes))[0]

    def test_are_tried_in_every_part(self) -> None:
        """Each part of a policy is changed above, one way or the other."""
        tried = {name for changes in (*DECISIONS.values(), *WORDINGS.values()) for name in changes}
        assert {field.name for field in attrs.fields(Policy)} == tried

    @staticmethod
    def _documents() -> list[str]:
        good = json.loads(encode_policy(VEEAM)[1])
        wrong = [good | {name: None} for name in ("expiring", "grace", "cadence", "outcomes", "texts", "announce")]
        wrong += [{name: value for name, value in good.items() if name != "grace"}]
        wrong += [good | {"grace": {"trial": ["x", {}, []]}}, good | {"texts": {"valid": 1}}]
        return [json.dumps(document) for document in wrong]

    @pytest.mark.parametrize("document", ["", "{", "{}", "[]", "7", '"x"', "null", "NaN", "[" * 100_000, "1" * 5000])
    def test_that_are_none_are_damage(self, document: str) -> None:
        """A document that is no policy is told as damage."""
        with pytest.raises(StoreDamaged, match="a policy in the store cannot be read"):
            decode_policy(document)

    def test_with_a_part_of_another_kind_are_damage(self) -> None:
        """So is one in which a part is missing, or is something else than it must be."""
        good = []
        for document in self._documents():
            try:
                decode_policy(document)
            except StoreDamaged:
                continue
            good.append(document)
        assert [] == good


def test_a_license_lives_on_under_a_policy_that_was_read_back(begin: Callable) -> None:
    """What is read back derives the same dates."""
    key = begin().key
    back = decode_policy(encode_policy(VEEAM)[1])
    assert VEEAM.dates(key) == back.dates(key)
    assert "Grace" == licfsm.License(key, back, clock=licfsm.ManualClock("2025-03-16")).state.entitlement
