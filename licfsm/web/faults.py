"""What can go wrong with a license server, on command.

One fault at a time stands for a license, and one for all licenses; that of the license comes first. It stands until
another takes its place, until it has come as often as it was meant to, or until all is well again. How each is brought
about, `devserver` knows; here is what there is, and what stands.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final, Literal

import attrs

from licfsm.adapters.answers import SIGNED_OUTCOMES
from licfsm.errors import InvalidValue
from licfsm.key import clean_text, valid_id
from licfsm.loading.document import closest

__all__ = ["FAULTS", "SIGNED", "Fault", "Faults", "Stage", "nearest"]

Stage = Literal["tls", "check", "download"]
"""When a fault comes: as a connection is made, when a server is asked, when a new license key is fetched."""

SIGNED: Final = tuple(outcome for outcome in SIGNED_OUTCOMES if outcome not in {"new_key", "up_to_date"})
"""Outcomes that a server signs, and that here come on command only."""

FAULTS: Final[dict[str, tuple[Stage, str]]] = {
    "outage": ("check", "503, with Retry-After where one is given"),
    "refuse": ("check", "403"),
    "rate": ("check", "429, with Retry-After: 60 unless another is given"),
    "generation_failed": ("check", "a signed answer: no key could be made"),
    "unsupported_type": ("check", "a signed answer: this type has no automatic update"),
    "contract_terminated": ("check", "a signed answer: the contract has ended"),
    "drip": ("check", "the answer comes byte by byte, a second apart unless `every` says otherwise"),
    "hang": ("check", "the question is taken, and nothing comes back"),
    "reset": ("check", "the connection is reset"),
    "truncated": ("check", "the answer is cut off in the middle"),
    "wrong_key": ("check", "the answer is signed by a key that nobody knows"),
    "wrong_nonce": ("check", "the answer repeats another nonce"),
    "wrong_license": ("check", "the answer is about another license"),
    "garbage": ("check", "200, and no JSON"),
    "oversized": ("check", "the answer is good, in a document of 1 MiB"),
    "redirect": ("check", "307 to another path"),
    "expired_certificate": ("tls", "the certificate expired yesterday"),
    "wrong_host": ("tls", "the certificate is another host's"),
    "unknown_ca": ("tls", "the certificate is of an authority that nobody knows"),
    "download_missing": ("download", "404 in place of the new key"),
    "download_truncated": ("download", "the new key is cut off in the middle"),
    "download_other": ("download", "another license's key in place of the new one"),
}
"""Name -> when it comes, and what comes. Faults of TLS come before anybody knows a license, so they come for all."""

_RATE: Final = 60
_EVERY: Final = 1000
_LONGEST_HEADER: Final = 100


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: one of `FAULTS`.
        license: for which license; None for all.
        times: how often it still comes; None until something else is said.
        retry_after: what the header Retry-After says: seconds, or text as it is to be sent; None for no such header.
        every: milliseconds between two bytes of a ``drip``.

    Raises:
        InvalidValue: a value breaks its rule; one line says which.

    """

    name: str
    license: str | None = attrs.field(default=None, converter=attrs.converters.optional(valid_id))
    times: int | None = None
    retry_after: int | str | None = None
    every: int = _EVERY

    def __attrs_post_init__(self) -> None:
        """See that it can be."""
        if self.name not in FAULTS:
            message = f"there is no fault {clean_text(self.name)[:64]!r}{nearest(self.name, FAULTS)}"
            raise InvalidValue(message)
        if self.stage == "tls" and self.license is not None:
            message = f"{self.name} comes before anybody knows a license: it can only come for all"
            raise InvalidValue(message)
        if self.times is not None and self.times < 1:
            message = f"times must be at least 1, not {self.times}"
            raise InvalidValue(message)
        if not 0 <= self.every <= 60_000:  # noqa: PLR2004 - a minute
            message = f"every must be 0 to 60000 milliseconds, not {self.every}"
            raise InvalidValue(message)
        header = str(self.retry_after or "")
        if len(header) > _LONGEST_HEADER or not (header.isascii() and header.isprintable()):
            message = "retry_after must be seconds, or text of at most 100 ASCII characters"
            raise InvalidValue(message)

    @property
    def stage(self) -> Stage:
        """When it comes."""
        return FAULTS[self.name][0]

    @property
    def headers(self) -> dict[str, str]:
        """What its answer says beside its status."""
        after = _RATE if self.name == "rate" and self.retry_after is None else self.retry_after
        return {} if after is None else {"Retry-After": str(after)}

    def __str__(self) -> str:
        """Say it in the words by which it is commanded."""
        said = [self.name, *([self.license] if self.license else [])]
        said += [f"{name}={value}" for name in ("times", "retry_after") if (value := getattr(self, name)) is not None]
        return " ".join(said + ([f"every={self.every}"] if self.every != _EVERY else []))


class Faults:
    """The faults that stand. Its methods may be called from any thread."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._standing: dict[str | None, Fault] = {}

    def set(self, fault: Fault) -> None:
        """Let a fault stand, in place of the one that stood for the same license, or for all."""
        with self._lock:
            self._standing[fault.license] = fault

    def clear(self, license_id: str | None = None) -> None:
        """Let all be well again.

        Args:
            license_id: only the fault of this license is cleared; None for every fault.

        """
        with self._lock:
            if license_id is None:
                self._standing.clear()
            else:
                self._standing.pop(license_id, None)

    def take(self, stage: Stage, license_id: str | None = None) -> Fault | None:
        """Find what goes wrong now, and count that it came.

        Args:
            stage: what is under way.
            license_id: for which license, where that is known.

        """
        with self._lock:
            for key in dict.fromkeys((license_id, None)):
                fault = self._standing.get(key)
                if fault and fault.stage == stage:
                    if fault.times == 1:
                        del self._standing[key]
                    elif fault.times:
                        self._standing[key] = attrs.evolve(fault, times=fault.times - 1)
                    return fault
        return None

    @property
    def standing(self) -> tuple[Fault, ...]:
        """Those that stand now."""
        with self._lock:
            return tuple(self._standing.values())


def nearest(given: str, words: Iterable[str]) -> str:
    """Name the word that was perhaps meant, as the end of a sentence; else all there are."""
    known = list(words)
    meant = closest(given, known)
    return f"; did you mean {meant}?" if meant else f"; there are {', '.join(known)}"
