"""Addresses with secrets in them: what may be shown of them, what stands for them, where they are.

An address may hold a user's name and password before its host, and a signature or a token behind
its `?`. A configuration's are hidden as it is read: a digest stands for the secret parts, so that
rules can depend on an address that is in no metadata, log or result. The address itself is in the
environment of Snakemake's process and of its jobs, as other secrets are, until a request is sent.
"""

import hashlib
import os
import re
from urllib.parse import quote

_VARIABLE = "ACTIONREC_HIDDEN_"  # and the digest, in capitals
_MARK = re.compile(r"hidden-([0-9a-f]{12})")
# With one slash: a misspelt address, which is refused, and whose secret is one.
_START = r"(?:https?|s3|rtsps?|rtmp|ftp):/|[A-Za-z][A-Za-z0-9+.-]*://"
# A user's name and password, in which `/` may stand though it should not; not a host and its port.
_USER = r"[^/?#]*@|[^/?#@:]+:(?!\d+(?:[/?#]|$)).*@"
_ADDRESS = re.compile(rf"(\s*(?:{_START})/?)({_USER})?([^?#]*)(.*)", re.DOTALL)
# The same in a text, where a space or a quote ends an address.
_USER_IN_TEXT = _USER.replace("[^", r"[^\s'\"").replace(".*", r"[^\s'\"]*")
_IN_TEXT = re.compile(
    rf"((?:{_START})/?)(?:{_USER_IN_TEXT})?([^\s?'\"]*)(\?(?!{_MARK.pattern})[^\s'\"]+)?"
)
_SHORTEST = 8  # characters of a secret that is no other text by chance
_ROUNDS = 100_000  # makes guesses of a password by its digest slow


def _divided(address: str) -> tuple[str, str, str, str]:
    """Return the start of an address, its user with the `@`, its host and path, and the rest.

    A path on this machine is all place.
    """
    match = _ADDRESS.fullmatch(address)
    if not match:
        return "", "", address, ""
    start, user, place, rest = match.groups()
    return start, user or "", place, rest


def shown(address: str) -> str:
    """Return an address without what may be secret in it; a path on this machine as it is."""
    start, _, place, _ = _divided(address)
    return start + place


def has_user(address: str) -> bool:
    """Tell whether an address holds a user's name or a password."""
    return bool(_divided(address)[1])


def hidden(address: str) -> str:
    """Return what stands for an address: with a digest for its secret parts, if it has any.

    `revealed` gives the address back, in this process and in those that it starts.
    """
    _, user, _, rest = _divided(address)
    if (not user and len(rest) < 2) or _MARK.search(address):
        return address
    digest = _digest(address)
    os.environ[_VARIABLE + digest.upper()] = address.encode("utf-8", "surrogatepass").hex()
    return _marked(address, digest)


def _digest(address: str) -> str:
    content, salt = (text.encode("utf-8", "surrogatepass") for text in (address, shown(address)))
    return hashlib.pbkdf2_hmac("sha256", content, salt, _ROUNDS, dklen=6).hex()


def _marked(address: str, digest: str) -> str:
    start, user, place, rest = _divided(address)
    mark = f"hidden-{digest}"
    return start + (f"{mark}@" if user else "") + place + (f"?{mark}" if rest else "")


def revealed(address: str) -> str:
    """Return the address that a hidden one stands for; any other as it is."""
    mark = _MARK.search(address)
    known = os.environ.get(_VARIABLE + mark[1].upper()) if mark else None
    return _decoded(known) if known else address


def _decoded(known: str) -> str:
    return bytes.fromhex(known).decode("utf-8", "surrogatepass")


def redacted(text: str) -> str:
    """Return a text without the secrets of the addresses in it, and of those that are hidden."""
    for name, known in os.environ.items():
        if name.startswith(_VARIABLE):
            address = _decoded(known)
            text = text.replace(address, _marked(address, name.removeprefix(_VARIABLE).lower()))
            text = _without_parts(text, address)
    return _IN_TEXT.sub(lambda found: found[1] + found[2] + ("?..." if found[3] else ""), text)


def _without_parts(text: str, address: str) -> str:
    """Return a text without the secret parts of an address, as they are and as they are sent."""
    _, user, _, rest = _divided(address)
    for part in (user, rest[1:]):
        if len(part) >= _SHORTEST:
            for form in (part, quote(part), quote(part, safe="/?=&%:+")):
                text = text.replace(form, "***")
    return text
