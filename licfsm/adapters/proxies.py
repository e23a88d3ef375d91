"""The proxy by which the license server is reached: one that a host gives, or the environment's.

Of the environment only what is meant for this server is looked at: httpx refuses to do anything where any of its
variables cannot be used, and verifies a proxy with https:// by other certificates than those that were given.
"""

from __future__ import annotations

import contextlib
import ipaddress
from importlib.util import find_spec
from urllib.request import getproxies, proxy_bypass

from licfsm.adapters.urls import check_host, split_url
from licfsm.errors import InvalidValue

__all__ = ["checked_proxy", "environment_proxy"]


def checked_proxy(proxy: object) -> str:
    """See that something is the URL of a proxy.

    Raises:
        InvalidValue: it is not, or a package is missing for it; its own text, which may hold a password, is not shown.

    """
    parts = split_url(proxy, "proxy", "http://proxy.example.com:3128")
    if parts.scheme not in {"http", "https", "socks5", "socks5h"}:
        message = f"proxy must begin with http://, https:// or socks5://, not {parts.scheme[:20]!r}"
        raise InvalidValue(message)
    check_host(parts, "proxy")
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        message = "proxy: for SOCKS the package socksio is needed; install httpx[socks], or give an HTTP proxy"
        raise InvalidValue(message)
    return str(proxy)


def environment_proxy(host: str) -> str | None:
    """Find the proxy that the environment names for a server: ``HTTPS_PROXY``, else ``ALL_PROXY``.

    None for what ``NO_PROXY`` lists: names, domains with all below them, addresses, networks (``10.0.0.0/8``), ``*``.
    And none for this machine itself, which no proxy elsewhere can reach.

    Args:
        host: the server's name or address.

    Raises:
        InvalidValue: that proxy cannot be used; the message names the variable.

    """
    proxies = getproxies()
    scheme = next((scheme for scheme in ("https", "all") if proxies.get(scheme)), None)
    if scheme is None or _is_near(host, proxies.get("no", "")) or proxy_bypass(host):
        return None
    given = proxies[scheme]
    try:
        return checked_proxy(given if "://" in given else f"http://{given}")
    except InvalidValue as error:
        message = f"{scheme.upper()}_PROXY in the environment cannot be used: {error}"
        raise InvalidValue(message) from None


def _is_near(host: str, excepted: str) -> bool:
    """Say whether a host is this machine, or its address lies in a network that is excepted."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    for entry in excepted.split(","):
        with contextlib.suppress(ValueError):  # a name, or no address
            if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                return True
    return False
