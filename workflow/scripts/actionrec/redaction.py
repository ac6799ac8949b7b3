"""Addresses with secrets in them: what may be shown of them, what stands for them, where they are.

An address may hold a user's name and password before its host, and a signature or a token behind
its `?`. A configuration's are hidden as it is read: a digest stands for the secret parts, so that
rules can depend on an address that is in no metadata, log or result. The address itself is in the
environment of Snakemake's process and of its jobs, as other secrets are, until a request is sent.
"""

import hashlib
import os
import re
from urllib.parse import quote, unquote

_VARIABLE = "ACTIONREC_HIDDEN_"  # and the digest, in capitals
_MARK = re.compile(r"hidden-([0-9a-f]{12})")
# With one slash: a misspelt address, which is refused, and whose secret is one. The other schemes
# are short, so that a long word is searched for them in no time.
_START = r"(?i:https?|s3|rtsps?|rtmp|ftp):/|[A-Za-z][A-Za-z0-9+.-]{0,30}://"
# A user's name and password, in which `/` may stand though it should not; not a host and its port,
# which no bucket has, nor an address of IPv6.
_USER = r"[^/?#]*@|(?<=[sS]3://)[^/?#@:]+:.*@|[^/?#@:\[]+:(?!\d+(?:[/?#]|$)).*@"
_ADDRESS = re.compile(rf"(\s*(?:{_START})/?)({_USER})?([^?#]*)(.*)", re.DOTALL)
# The same in a text, where a space or a quote ends an address.
_USER_IN_TEXT = _USER.replace("[^", r"[^\s'\"").replace(".*", r"[^\s'\"]*")
_QUERY_IN_TEXT = rf"\?(?!{_MARK.pattern}(?![\w%&=+/-]))[^\s'\"]+"
_IN_TEXT = re.compile(rf"((?:{_START})/?)(?:{_USER_IN_TEXT})?([^\s?'\"]*)({_QUERY_IN_TEXT})?")
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
    if (not user and len(rest) < 2) or _digest_in(address):
        return address
    # Each takes its time: what is known already, of the process that started this one too, is not
    # computed again.
    computed = (digest for digest, known in _known() if known == address)
    digest = next(computed, "") or _digest(address)
    os.environ[_VARIABLE + digest.upper()] = address.encode("utf-8", "surrogatepass").hex()
    return _marked(address, digest)


def _known() -> list[tuple[str, str]]:
    """Return the digest of each hidden address, and the address; the longest first."""
    found = [
        (name.removeprefix(_VARIABLE).lower(), _decoded(value))
        for name, value in os.environ.items()
        if name.startswith(_VARIABLE)
    ]
    return sorted(found, key=lambda pair: len(pair[1]), reverse=True)


def _digest(address: str) -> str:
    content, salt = (text.encode("utf-8", "surrogatepass") for text in (address, shown(address)))
    return hashlib.pbkdf2_hmac("sha256", content, salt, _ROUNDS, dklen=6).hex()


def _digest_in(address: str) -> str:
    """Return the digest in an address if that is all it has for secret parts, else ""."""
    _, user, _, rest = _divided(address)
    marks = {part for part in (user.removesuffix("@"), rest.removeprefix("?")) if part}
    match = _MARK.fullmatch(marks.pop()) if len(marks) == 1 else None
    return match[1] if match else ""


def _marked(address: str, digest: str) -> str:
    start, user, place, rest = _divided(address)
    mark = f"hidden-{digest}"
    return start + (f"{mark}@" if user else "") + place + (f"?{mark}" if rest else "")


def revealed(address: str) -> str:
    """Return the address that a hidden one stands for; any other as it is."""
    known = os.environ.get(_VARIABLE + _digest_in(address).upper())
    return _decoded(known) if known else address


def _decoded(known: str) -> str:
    return bytes.fromhex(known).decode("utf-8", "surrogatepass")


def redacted(text: str) -> str:
    """Return a text without the secrets of the addresses in it, and of those that are hidden."""
    for digest, address in _known():
        text = text.replace(address, _marked(address, digest))
        text = _without_parts(text, address)
    return _IN_TEXT.sub(lambda found: found[1] + found[2] + ("?..." if found[3] else ""), text)


def _without_parts(text: str, address: str) -> str:
    """Return a text without the secret parts of an address, as they are and as they are sent."""
    _, user, _, rest = _divided(address)
    password = user.partition(":")[2].removesuffix("@")
    for part in (user, password, rest[1:]):
        if len(part) >= _SHORTEST:
            for form in (part, quote(part), quote(part, safe="/?=&%:+"), unquote(part)):
                text = text.replace(form, "***")
    return text
