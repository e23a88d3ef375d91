"""How a license is shown to its host: a status, as of the moment of asking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from licfsm import instants
from licfsm.adapters.store import Waiting
from licfsm.host.entry import Entry
from licfsm.host.values import Pending, Status, TargetStatus
from licfsm.license import License
from licfsm.policy import Policy

__all__ = ["status_of"]


def status_of(
    entry: Entry | None,
    lic: License | None,
    policy: Policy,
    waiting: Sequence[Waiting],
    reasons: Mapping[tuple[str, str], str | None],
    *,
    driven: str,
) -> Status:
    """Make the status of a license.

    Args:
        entry: the license's place in the manager; None where there is no license.
        lic: the license as of now; None without a key that can be trusted.
        policy: the manager's.
        waiting: what of its notices waits.
        reasons: license and target -> why the key could not be written there, as far as it is known.
        driven: who drives the store.

    """
    targets = tuple(_targets(lic, reasons)) if lic else ()
    undelivered = (*_waiting(waiting), *(Pending(one.name, 1, None, one.error) for one in targets if not one.written))
    trouble = (entry.trouble or None) if entry else None
    license_id = entry.id if entry else None
    if lic is None:
        text = policy.texts.not_installed
        return Status(license=license_id, text=text, undelivered=undelivered, driven=driven, trouble=trouble)
    return Status(
        license=license_id,
        text=lic.status,
        entitlement=lic.record.entitlement,
        auto_update=lic.record.auto_update,
        days_remaining=lic.days_remaining,
        expires=lic.key.expiry,
        next_check=lic.next_check,
        next_change=lic.next_change,
        last_outcome=lic.record.last_outcome or None,
        job_warning=lic.job_warning,
        why=tuple(f"{cause.text} ({cause.rule})" for cause in lic.explain().why),
        targets=targets,
        undelivered=undelivered,
        driven=driven,
        trouble=trouble,
    )


def _waiting(waiting: Sequence[Waiting]) -> Iterator[Pending]:
    for channel in waiting:
        known = instants.EARLIEST <= channel.since <= instants.LATEST  # or the store was changed by hand
        since = instants.from_ms(channel.since) if known else None
        yield Pending(channel.channel, channel.notices, since, channel.error)


def _targets(lic: License, reasons: Mapping[tuple[str, str], str | None]) -> Iterator[TargetStatus]:
    """Tell of the host's targets in its order, and of one that it no longer names but that still waits."""
    owed = {write.target: write for write in lic.record.writes}
    for name in dict.fromkeys((*lic.targets, *owed)):
        write = owed.get(name)
        if write is None:
            yield TargetStatus(name, written=True)
            continue
        why = reasons.get((lic.key.id, name)) or "it could not be written"
        known = not write.under_way and instants.EARLIEST <= write.retry_at <= instants.LATEST
        yield TargetStatus(
            name,
            written=False,
            next_try=instants.from_ms(write.retry_at, lic.key.zone) if known else None,
            error=why if write.told_at is not None else None,
        )
