"""Addresses in place of paths: `s3://bucket/key` and `https://`, where a file need not be here."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from actionrec.errors import InputError
from actionrec.redaction import has_user, hidden

STORE = "s3"  # the scheme of object stores
WEB = ("https", "http")
SPECS = ("spec", "native", "sweep")  # keys of the configuration with keys of specs below them
# What Snakemake's plugin takes for something else than a part of the key, and what Snakemake takes
# for a wildcard, a path variable or a file in a list.
_MISREAD = re.compile(r"[?#{}<>\\\x00-\x1f]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def scheme(path: Any) -> str:
    """Return the scheme of an address, "" for a path on this machine."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", path) if isinstance(path, str) else None
    return match[1].lower() if match else ""


def is_address(path: Any) -> bool:
    """Tell whether a path is an address, and so not of this machine."""
    return bool(scheme(path))


def is_stored(path: Any) -> bool:
    """Tell whether a path is an address in an object store."""
    return scheme(path) == STORE


def parts(address: str) -> tuple[str, str]:
    """Return bucket and key of an address in an object store."""
    bucket, _, key = address.partition("://")[2].partition("/")
    return bucket, key.rstrip("/")


def hide(values: Any) -> Any:
    """Return values of a configuration with the secrets of all addresses in them hidden.

    `actionrec.redaction` says how. TAO's keys, which are written into the specs, stay as they are.
    """
    if isinstance(values, Mapping):
        return {key: value if key in SPECS else hide(value) for key, value in values.items()}
    if isinstance(values, list):
        return [hide(value) for value in values]
    return hidden(values) if isinstance(values, str) else values


def check(address: str, where: str, allowed: Sequence[str], *, folder: bool = False) -> None:
    """Raise `InputError` for an address of another scheme than is allowed, or that is unsafe.

    `folder`: it names all that is below it, and may be a whole bucket. A name and password in an
    address are refused without being shown.
    """
    if not is_address(address):
        return
    if scheme(address) not in allowed:
        schemes = "".join(f", {known}://..." for known in allowed)
        raise InputError(
            "An address of this kind cannot stand here.",
            where=where,
            found=f"{scheme(address)}://...",
            allowed=f"a path on this machine{schemes}",
            fix=_FIXES.get(scheme(address), "fetch it by other means, and name its path here"),
        )
    if problem := _problem(address, folder):
        raise InputError(problem[0], where=where, found=problem[1], fix=problem[2])


_FIXES = {
    STORE: "archives have it in `path`; docs/object-stores.md says what else may be in a bucket",
    "https": "a web server lists no files: name archives in `urls`, weights in `url`, or a list of "
    "videos; folders may be s3://bucket/prefix",
}
_FIXES["http"] = _FIXES["https"]


def _problem(address: str, folder: bool) -> tuple[str, str, str] | None:
    """Return what is wrong with an address, what of it can be shown, and what to do."""
    if has_user(address):
        host = address.rpartition("@")[2].partition("/")[0]
        fix = "keep secrets out of the configuration: export them, as docs/object-stores.md says"
        return "An address holds a user's name or a password.", f"...@{host}", fix
    if not is_stored(address):
        return None if _host(address) else ("An address has no host.", address, "correct it")
    bucket, key = parts(address)
    if not _BUCKET.fullmatch(bucket):
        return "An address names no bucket.", address, "write s3://bucket/key"
    if not key and not folder:
        return "An address names a bucket and no file in it.", address, "write s3://bucket/key"
    if key and {"", ".", ".."} & set(key.split("/")):
        fix = "write the key as it is in the bucket, without `.`, `..` and double slashes"
        return "An address has an empty part, `.` or `..` in its key.", address, fix
    if _MISREAD.search(key):
        fix = "rename the object: ? # { } < > and \\ cannot stand in an address"
        return "An address holds a character with another meaning.", address, fix
    return None


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
