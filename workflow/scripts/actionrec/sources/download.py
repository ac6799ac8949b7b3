"""Download a file: resumed after a cut, retried, from the next mirror, checked, then published."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from tqdm import tqdm

from actionrec.errors import InputError, in_lines
from actionrec.redaction import shown
from actionrec.sources import file_kinds, http
from actionrec.sources.http import Auth, Patience
from actionrec.utils import checksums
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.files import sha256, write_text

LOG_SECONDS = 30.0  # between lines where no terminal shows a bar

log = logging.getLogger(__name__)

# What helps, by what went wrong.
_AGAIN = (
    "check the network (a proxy is named by HTTPS_PROXY) and run the same command again, which "
    "resumes where this one stopped"
)
_OTHER_ADDRESS = "correct the address, or renew the token or signature in it, and run again"
_OTHER_PATH = "correct the path, and run again"


class Unavailable(Exception):
    """Say why a URL does not give the file, and what helps."""

    def __init__(self, reason: str, advice: str = _AGAIN) -> None:
        self.advice = advice
        super().__init__(reason)


@dataclass(frozen=True)
class _Wanted:
    """What proves that a file is the right one: its SHA-256, its size in bytes, both or none.

    The SHA-256 may be cut to its first digits, as PyTorch's model site tells it. `advice` says
    what to do about another file.
    """

    sha256: str
    size: int | None
    advice: str

    def mismatch(self, found: str, size: int) -> str | None:
        """Say what is wrong with a file of this SHA-256 and size, if anything is."""
        if self.size is not None and size != self.size:
            return f"wrong size: expected {self.size} bytes, found {size}"
        if not found.startswith(self.sha256):
            return f"wrong checksum: expected {self.sha256}, found {found}"
        return None


def download(
    urls: Sequence[str],
    target: Path,
    sha256: str | None,
    *,
    size: int | None = None,
    auth: Auth | None = None,
    patience: Patience | None = None,
) -> None:
    """Fetch `target` from the first of `urls` that gives a file with this SHA-256 and size.

    A URL may be a local path, to which `target` is then a link. Bytes are written to
    `<target>.part`, which outlives a killed job: the next one resumes there. Without `sha256` the
    checksum of the first download is recorded next to `target` and holds for later ones. `auth`
    signs requests; a redirect to another host is followed without its signature. The variables
    HTTP_PROXY, HTTPS_PROXY and NO_PROXY are used. Raises `InputError` when no URL gives the file,
    or the disk is full.
    """
    target = Path(target)
    with explained_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    expected = (sha256 or checksums.recorded(target) or "").lower()
    accept = "correct its sha256" if sha256 else f"delete {checksums.record_file(target)}"
    changed = f"correct the address; or, if the file was changed on purpose, {accept} and run the "
    wanted = _Wanted(expected, size, changed + "same command again" if expected else _OTHER_ADDRESS)
    failures, advice = [], []
    for url in urls:
        try:
            with explained_disk_errors(target):
                found = _fetch_checked(url, target, wanted, auth, patience or Patience())
        except Unavailable as error:
            log.warning("%s: %s", shown(url), error)
            failures.append(f"{shown(url)}: {error}")
            advice.append(error.advice)
        else:
            checksums.record(target, found)
            if not expected:
                log.warning("No checksum of %s is known. This one has sha256 %s", target, found)
            return
    checksum = _describe_checksum(sha256, expected)
    by_hand = f"get it by other means, put the file at {target} yourself ({checksum})"
    raise InputError(
        f"Could not get {target.name}.",
        where=target,
        found=in_lines(failures) or "no URL",
        fix=in_lines(
            [f"{way};" for way in dict.fromkeys(advice)] + [f"or {by_hand}, and run again"]
        ),
    )


def _describe_checksum(given: str | None, expected: str) -> str:
    if given:
        return f"sha256 {given}"
    if expected:
        return f"sha256 as the first time, {expected}"
    return "its sha256 is not known"


def _fetch_checked(
    url: str, target: Path, wanted: _Wanted, auth: Auth | None, patience: Patience
) -> str:
    """Publish the file that is wanted and return its SHA-256."""
    part = _part(target)
    resumed = part.exists()
    kind = _fetch(url, part, wanted.size, auth, patience)
    found = sha256(part)
    problem = wanted.mismatch(found, _size(part))
    if problem or not wanted.sha256:  # a sum that is noted holds for ever: not of an error page
        other = file_kinds.other_kind(part, target.name, kind)
        problem = " and ".join(filter(None, (problem, other)))
    if problem:
        _forget(part)
        if resumed:  # the bytes that were there may be the wrong ones
            log.warning("%s: %s, after resuming: starting again", shown(url), problem)
            return _fetch_checked(url, target, wanted, auth, patience)
        raise Unavailable(problem, wanted.advice)
    part.replace(target)
    _forget(part)
    return found


def _advice_on_request(error: requests.RequestException) -> str:
    """Return what helps: a server that refuses a request does so each time."""
    status = error.response.status_code if error.response is not None else 0
    return _OTHER_ADDRESS if 400 <= status < 500 and status not in http.RETRIED_STATUS else _AGAIN


def _fetch(url: str, part: Path, size: int | None, auth: Auth | None, patience: Patience) -> str:
    """Complete `part`, which takes at most `size` bytes; return the content type that is stated."""
    if not url.startswith(("http://", "https://")):
        _link(url, part)
        return ""
    if part.is_symlink():  # to a local file that was not the right one
        _forget(part)
    try:
        return http.retried(
            lambda: _transfer(url, part, size, auth, patience), url, patience, lambda: _size(part)
        )
    except requests.RequestException as error:
        if not _size(part) or isinstance(error, http.Nonsense):
            _forget(part)
        # Without its traceback, which might show a key.
        raise Unavailable(http.reason(error), _advice_on_request(error)) from None


def _link(url: str, part: Path) -> None:
    try:
        source = Path(url2pathname(urlsplit(url).path) if url.startswith("file:") else url)
        source = source.expanduser().resolve()
        if not source.is_file():
            raise Unavailable("no such file", _OTHER_PATH)
        source.open("rb").close()
    except (OSError, ValueError, RuntimeError) as error:
        raise Unavailable(f"a file that cannot be read, {error}", _OTHER_PATH) from error
    _forget(part)
    part.symlink_to(source)


def _transfer(url: str, part: Path, size: int | None, auth: Auth | None, patience: Patience) -> str:
    """Get what is missing of `part` in one request; the server may choose to send all."""
    start = _size(part)
    headers = {"Range": f"bytes={start}-"} | _condition(url, part) if start else {}
    with http.get(url, patience, headers=headers, auth=auth) as answer:
        kind = answer.headers.get("Content-Type", "")
        if start and answer.status == requests.codes.requested_range_not_satisfiable:
            _finish_or_restart(answer, part)
            return kind
        answer.require_ok()
        total = None
        if answer.status != requests.codes.partial_content:
            start = 0  # the server knows no ranges, or the file has changed: all of it comes
        else:
            total = _total_of_range(answer, part, start)
        _remember_validator(url, answer, part)
        _store(answer, part, start, size)
    if total is not None and _size(part) < total:
        raise requests.exceptions.ChunkedEncodingError("the rest of the range is missing")
    return kind


def _total_of_range(answer: http.Answer, part: Path, start: int) -> int | None:
    """Return the size of the whole file, if it is stated with the part of it from `start`."""
    unit, _, total = answer.headers.get("Content-Range", "").partition("/")
    if not unit.startswith(f"bytes {start}-"):
        part.unlink(missing_ok=True)
        raise requests.ConnectionError("the server sent another part than was asked for")
    return _number(total)


def _store(answer: http.Answer, part: Path, start: int, size: int | None) -> None:
    length = _number(answer.headers.get("Content-Length", ""))
    total = None if length is None else start + length
    with part.open("r+b" if start else "wb") as file, _progress(part, start, total) as report:
        file.seek(start)
        for chunk in answer.chunks():
            file.write(chunk)
            report(len(chunk))
            if size is not None and file.tell() > size:
                raise http.Nonsense(f"more than the {size} bytes that are expected")
        file.truncate()  # what is left of a longer, older one


def _number(text: str) -> int | None:
    """Return what a header states as a number of bytes, or None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _finish_or_restart(answer: http.Answer, part: Path) -> None:
    """Keep `part` if the server says that nothing is missing; else remove it and raise."""
    total = answer.headers.get("Content-Range", "").removeprefix("bytes */")
    if total != str(_size(part)):
        part.unlink()
        raise requests.ConnectionError("the file has changed")


@contextmanager
def _progress(part: Path, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of new bytes: a bar on a terminal, else log lines."""
    name = part.name.removesuffix(".part")
    logged = time.monotonic()
    with tqdm(
        desc=name, initial=start, total=total, unit="B", unit_scale=True, disable=None
    ) as bar:
        done = start

        def report(size: int) -> None:
            nonlocal done, logged
            done += size
            bar.update(size)
            if bar.disable and time.monotonic() - logged > LOG_SECONDS:
                logged = time.monotonic()
                log.info("%s: %.0f of %.0f MB", name, done / 1e6, (total or 0) / 1e6)

        yield report


# The validator, an ETag or a time, says whether the bytes of `part` still belong to what the URL
# gives: sent back with the range, it makes the server send all of a file that has changed.


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _remember_validator(url: str, answer: http.Answer, part: Path) -> None:
    etag = answer.headers.get("ETag", "")
    # A weak one, W/"...", does not promise equal bytes.
    validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")
    write_text(_validator_file(part), f"{shown(url)}\n{validator}\n")


def _condition(url: str, part: Path) -> dict[str, str]:
    try:
        source, validator = _validator_file(part).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {"If-Range": validator} if source == shown(url) and validator else {}


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
