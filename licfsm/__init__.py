"""licfsm runs the life of a license: asks for new keys, retries, warns, grants grace, falls to free mode.

The public names are loaded when they are first used, so that importing the package costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from licfsm.adapters.clock import ManualClock, SystemClock
    from licfsm.adapters.mail import Mail
    from licfsm.adapters.server import HttpsServer
    from licfsm.errors import (
        InvalidFile,
        InvalidTable,
        InvalidValue,
        KeyRejected,
        LicfsmError,
        Mistake,
        NotInstalled,
        StoreDamaged,
        StoreError,
        StoreTooNew,
        UnknownLicense,
        UnknownOperation,
        WrongProcess,
    )
    from licfsm.explain import Explanation
    from licfsm.host.manager import LicenseManager
    from licfsm.host.values import JournalEntry, Pending, SessionEntry, Status, TargetStatus, ToldNotice, Transition
    from licfsm.key import LicenseKey
    from licfsm.license import License, State
    from licfsm.loading.policies import load_policy
    from licfsm.policy import Policy
    from licfsm.ports import Answer, Notice, Question

__version__ = "0.1.0"

_HOMES = {
    "Answer": "ports",
    "Explanation": "explain",
    "HttpsServer": "adapters.server",
    "InvalidFile": "errors",
    "InvalidTable": "errors",
    "InvalidValue": "errors",
    "JournalEntry": "host.values",
    "KeyRejected": "errors",
    "License": "license",
    "LicenseKey": "key",
    "LicenseManager": "host.manager",
    "LicfsmError": "errors",
    "Mail": "adapters.mail",
    "ManualClock": "adapters.clock",
    "Mistake": "errors",
    "NotInstalled": "errors",
    "Notice": "ports",
    "Pending": "host.values",
    "Policy": "policy",
    "Question": "ports",
    "SessionEntry": "host.values",
    "State": "license",
    "Status": "host.values",
    "StoreDamaged": "errors",
    "StoreError": "errors",
    "StoreTooNew": "errors",
    "SystemClock": "adapters.clock",
    "TargetStatus": "host.values",
    "ToldNotice": "host.values",
    "Transition": "host.values",
    "UnknownLicense": "errors",
    "UnknownOperation": "errors",
    "WrongProcess": "errors",
    "load_policy": "loading.policies",
}

__all__ = [
    "Answer",
    "Explanation",
    "HttpsServer",
    "InvalidFile",
    "InvalidTable",
    "InvalidValue",
    "JournalEntry",
    "KeyRejected",
    "License",
    "LicenseKey",
    "LicenseManager",
    "LicfsmError",
    "Mail",
    "ManualClock",
    "Mistake",
    "NotInstalled",
    "Notice",
    "Pending",
    "Policy",
    "Question",
    "SessionEntry",
    "State",
    "Status",
    "StoreDamaged",
    "StoreError",
    "StoreTooNew",
    "SystemClock",
    "TargetStatus",
    "ToldNotice",
    "Transition",
    "UnknownLicense",
    "UnknownOperation",
    "WrongProcess",
    "load_policy",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
