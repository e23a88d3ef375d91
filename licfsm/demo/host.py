"""A small backup product, as a customer of licfsm would write it: its jobs ask before they run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from licfsm.host.manager import LicenseManager

__all__ = ["JOBS", "BackupHost", "Job"]

JOBS: Final[Mapping[str, str]] = MappingProxyType(
    {"nightly backup": "paid", "replication": "paid", "file copy": "free", "restore": "always"}
)
"""What it does -> whether that takes a license: paid, free, or always there (rules.md 2.3)."""


class Job(NamedTuple):
    """What becomes of a job that is to run now.

    Attributes:
        name: which job.
        runs: whether it may run.
        warning: what its window shows; empty where all is well.

    """

    name: str
    runs: bool
    warning: str


class BackupHost:
    """Runs jobs as far as its license lets it.

    Args:
        manager: knows the license.

    """

    def __init__(self, manager: LicenseManager) -> None:
        """Take the manager."""
        self.manager = manager

    def jobs(self) -> list[Job]:
        """Ask of each job whether it may run now, and what it warns of."""
        return [Job(name, self.manager.allows(name), self.manager.job_warning(name) or "") for name in JOBS]
