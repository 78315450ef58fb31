"""Where a server is and by what key it is asked, checked: no key goes anywhere in the clear without consent."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from mulligan.core.errors import ConfigError
from mulligan.gateway.requests import Address

EXAMPLE = "such as https://mulligan.example.org"


def address_of(url: str, key: str, patience_s: float, *, insecure: bool) -> Address:
    """Return the address of a server; raises ConfigError, which never shows the key."""
    parts = _split(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ConfigError(f"server: expected the URL of a server {EXAMPLE}, not one of {parts.scheme or 'no'} scheme")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(f"server: write the URL without a user, password or query, {EXAMPLE}; the key is given as api_key")
    if parts.scheme == "http" and not insecure and not _is_here(parts.hostname):
        raise ConfigError(
            f"server: {parts.hostname} is another machine, and over http:// everybody between could read the key: use https://, "
            "or accept that with the setting insecure"
        )
    return Address(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", _key(key), patience_s)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"server: expected the URL of a server {EXAMPLE}: {error}") from None
    return parts


def _key(key: str) -> str:
    text = key.strip()
    if not text:
        raise ConfigError(
            "a server is asked by a key: give api_key, or MULLIGAN_API_KEY; `mulligan keys create` beside the server makes one"
        )
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError("api_key: this is no key: it holds characters that none has")
    return text


def _is_here(host: str) -> bool:
    """Return whether a host is this machine, whatever it may be resolved to elsewhere."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
