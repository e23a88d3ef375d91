"""How a development server that runs is told what to do: over its own HTTPS, from the same machine.

A server that runs leaves in its folder where it is and what token its commands must show. Commands come under a host
name of their own, so that they get through whatever certificate the server shows to others.
"""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any, Final

from licfsm.adapters.encoding import json_object
from licfsm.errors import InvalidValue
from licfsm.key import clean_text
from licfsm.web.certificates import CA_FILE

__all__ = ["CONTROL_FILE", "CONTROL_NAME", "MOST_TOLD", "running_in", "send"]

CONTROL_FILE: Final = "control.json"
CONTROL_NAME: Final = "control.licfsm.invalid"
MOST_TOLD: Final = 4096
"""Bytes; no command is longer."""

_TIMEOUT: Final = 10.0


def send(folder: Path, command: str) -> str:
    """Tell the server that runs in a folder what to do.

    Args:
        folder: the server's.
        command: in words, such as ``outage times=2``; ``help`` lists them.

    Returns:
        What was done, in some lines.

    Raises:
        InvalidValue: no server runs there, or it cannot do that; one line says which.

    """
    import httpx

    url, token = _running(folder)
    try:
        trust = ssl.create_default_context(cafile=str(folder / CA_FILE))
        with httpx.Client(verify=trust, timeout=_TIMEOUT, trust_env=False) as client:
            answer = client.post(
                f"{url}/control/tell",
                content=json.dumps({"command": command}),
                headers={"Authorization": f"Bearer {token}"},
                extensions={"sni_hostname": CONTROL_NAME},
            )
        told: dict[str, Any] = json_object(answer.content, "its answer")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, InvalidValue) as error:
        message = f"{folder}: no devserver answers at {url}: {clean_text(str(error))}"
        raise InvalidValue(message) from None
    if answer.status_code != httpx.codes.OK:
        raise InvalidValue(str(told.get("error")))
    return str(told.get("told"))


def running_in(folder: Path) -> str | None:
    """Name the URL of the server that runs in a folder; None where none does, or one that ended left its file."""
    try:
        send(folder, "help")
        return _running(folder)[0]
    except InvalidValue:
        return None


def _running(folder: Path) -> tuple[str, str]:
    """Read where a server is, and what it must be shown."""
    try:
        told = json_object((folder / CONTROL_FILE).read_bytes(), CONTROL_FILE)
        return str(told["url"]), str(told["token"])
    except FileNotFoundError:
        message = f"{clean_text(str(folder))}: no devserver runs in that folder"
    except (OSError, InvalidValue, KeyError) as error:
        message = f"{clean_text(str(folder / CONTROL_FILE))}: cannot be used: {error}"
    raise InvalidValue(message)
