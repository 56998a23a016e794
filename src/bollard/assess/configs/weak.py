"""What counts as weak whichever broker it is: ciphers, rules for everything, names of administrators."""

import ipaddress
import re

_ADMINISTRATOR = re.compile(r"admin|root|operator|superuser", re.IGNORECASE)
_WEAK_CIPHER = re.compile(
    r"NULL|EXP|RC4|3DES|DES-|MD5|ADH|AECDH|aNULL|eNULL|LOW|@SECLEVEL=[01]|\bALL\b|COMPLEMENTOF|_DES_|\bDEFAULT@",
    re.IGNORECASE,
)
_EVERYTHING = ("#", "+/#", "/#", "+/+/#")
_WILD_HOSTS = ("", "*", "0.0.0.0", "::")  # noqa: S104  # compared with, not bound to


def weak_ciphers(text: str) -> list[str]:
    """The names in a list of cipher suites that are weak and not excluded."""
    names = re.split(r"[\s:,;]+", text)
    return [name for name in names if name and name[0] not in "!-" and _WEAK_CIPHER.search(name)]


def is_everything(topic: str) -> bool:
    """Does `topic` hold all topics, or all but those of one level?"""
    return topic in _EVERYTHING


def is_administrator(name: str) -> bool:
    """Does `name` say that it administers?"""
    return _ADMINISTRATOR.search(name) is not None


def is_loopback(host: str) -> bool:
    """Can only this machine reach `host`?"""
    bare = host.strip().strip("[]")
    if bare in _WILD_HOSTS:
        return False
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return bare == "localhost"


def host_and_port(text: str) -> tuple[str, str]:
    """(host, port) of "host:port", "[host]:port" or a port alone, which means every address."""
    text = text.strip().strip('"')
    host, colon, port = text.rpartition(":")
    if not colon:
        return ("", text) if text.isdigit() else (text, "")
    return host.strip("[]"), port
