"""Download a file: resumed after a cut, retried, from the next mirror, checked, then published."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
import urllib3
from tqdm import tqdm

from actionrec import __version__
from actionrec.errors import InputError
from actionrec.utils import checksums
from actionrec.utils.files import explained_disk_errors, sha256, write_text

CHUNK = 2**16
LOG_SECONDS = 30.0  # between lines where no terminal shows a bar
RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """Say why a URL does not give the file."""


class TooSlow(requests.Timeout):
    """Say that a server sends too little for the download ever to end."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server: times in seconds, `attempts` without any new byte.

    Fewer than `rate` bytes a second over the time of `read` are no better than silence.
    """

    connect: float = 10.0
    read: float = 60.0
    attempts: int = 5
    pause: float = 1.0
    longest: float = 120.0  # pause, even if the server asks for more
    rate: float = 1000.0


Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]


@dataclass(frozen=True)
class _Wanted:
    """What proves that a file is the right one: its SHA-256, its size in bytes, both or none.

    The SHA-256 may be cut to its first digits, as PyTorch's model site tells it.
    """

    sha256: str
    size: int | None

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
    target.parent.mkdir(parents=True, exist_ok=True)
    expected = (sha256 or checksums.recorded(target) or "").lower()
    failures = []
    for url in urls:
        try:
            with explained_disk_errors(target):
                wanted = _Wanted(expected, size)
                found = _fetch_checked(url, target, wanted, auth, patience or Patience())
        except Unavailable as error:
            log.warning("%s: %s", _shown(url), error)
            failures.append(f"{_shown(url)}: {error}")
        else:
            checksums.record(target, found)
            if not expected:
                log.warning("No checksum of %s is known. This one has sha256 %s", target, found)
            return
    checksum = _describe_checksum(sha256, expected, target)
    raise InputError(
        f"Could not get {target.name}.",
        where=target,
        found=("\n" + " " * 11).join(failures) or "no URL",
        fix=f"check the network (a proxy is named by HTTPS_PROXY) and run the same command again, "
        f"which resumes where this one stopped;\n{' ' * 11}or get it by other means, put the "
        f"file at {target} yourself ({checksum}), and run again",
    )


def _describe_checksum(given: str | None, expected: str, target: Path) -> str:
    if given:
        return f"sha256 {given}"
    if expected:
        return f"sha256 as the first time, {expected}; delete {target}.sha256 to accept another"
    return "its sha256 is not known"


def _shown(url: str) -> str:
    """Return an address without what may be secret: a password, or a key in the query."""
    address = urlsplit(url)
    host = address.netloc.rpartition("@")[2]
    return address._replace(netloc=host, query="", fragment="").geturl() if host else url


def _fetch_checked(
    url: str, target: Path, wanted: _Wanted, auth: Auth | None, patience: Patience
) -> str:
    """Publish the file that is wanted and return its SHA-256."""
    part = _part(target)
    resumed = part.exists()
    _fetch(url, part, auth, patience)
    found = sha256(part)
    if problem := wanted.mismatch(found, _size(part)):
        _forget(part)
        if resumed:  # the bytes that were there may be the wrong ones
            log.warning("%s: %s, after resuming: starting again", _shown(url), problem)
            return _fetch_checked(url, target, wanted, auth, patience)
        raise Unavailable(problem)
    part.replace(target)
    _forget(part)
    return found


def _fetch(url: str, part: Path, auth: Auth | None, patience: Patience) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        return _link(url, part)
    if part.is_symlink():  # to a local file that was not the right one
        _forget(part)
    failures = 0
    while True:
        before = _size(part)
        try:
            return _transfer(url, part, auth, patience)
        except requests.RequestException as error:
            progress = _size(part) > before and not isinstance(error, TooSlow)
            failures = 1 if progress else failures + 1
            if not _is_passing(error) or failures >= patience.attempts:
                raise Unavailable(reason(error)) from error
            wait = _pause(error, failures, patience)
            log.warning("%s: %s; trying again in %.0f s", _shown(url), reason(error), wait)
            time.sleep(wait)


def _link(url: str, part: Path) -> None:
    address = urlsplit(url)
    source = Path(url2pathname(address.path) if address.scheme == "file" else url).expanduser()
    if not source.is_file():
        raise Unavailable("no such file")
    _forget(part)
    part.symlink_to(source.resolve())


def _pause(error: requests.RequestException, failures: int, patience: Patience) -> float:
    """Return the seconds to wait: twice as long each time, or as long as the server asks."""
    asked = error.response.headers.get("Retry-After", "") if error.response is not None else ""
    wait = float(asked) if asked.isdecimal() else patience.pause * 2 ** (failures - 1)
    return min(wait, patience.longest)


def _transfer(url: str, part: Path, auth: Auth | None, patience: Patience) -> None:
    """Get what is missing of `part` in one request; the server may choose to send all."""
    start = _size(part)
    headers = {"User-Agent": f"actionrec/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | _condition(url, part)
    timeout = (patience.connect, patience.read)
    with requests.get(url, headers=headers, auth=auth, stream=True, timeout=timeout) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return _finish_or_restart(response, part)
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            start = 0  # the server knows no ranges, or the file has changed: all of it comes
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise requests.ConnectionError("the server sent another part than was asked for")
        _remember_validator(url, response, part)
        _store(response, part, start, patience)


def _store(response: requests.Response, part: Path, start: int, patience: Patience) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    with part.open("r+b" if start else "wb") as file, _progress(part, start, total) as report:
        file.seek(start)
        for chunk in _body(response, patience):
            file.write(chunk)
            report(len(chunk))
        file.truncate()  # what is left of a longer, older one


def _body(response: requests.Response, patience: Patience) -> Iterator[bytes]:
    """Yield the bytes as they come and as they were sent, even what a server calls compressed."""
    began, count = time.monotonic(), 0
    try:
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            yield chunk
            count += len(chunk)
            # requests' timeout is for silence: a byte now and then keeps it from ever ending.
            seconds = time.monotonic() - began
            if seconds > patience.read:
                if count < patience.rate * seconds:
                    raise TooSlow(f"only {count / seconds:.0f} bytes a second")
                began, count = time.monotonic(), 0
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.Timeout("no answer in time") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise requests.exceptions.ChunkedEncodingError(str(error)) from error


def _finish_or_restart(response: requests.Response, part: Path) -> None:
    """Keep `part` if the server says that nothing is missing; else remove it and raise."""
    total = response.headers.get("Content-Range", "").removeprefix("bytes */")
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


def _remember_validator(url: str, response: requests.Response, part: Path) -> None:
    etag = response.headers.get("ETag", "")
    # A weak one, W/"...", does not promise equal bytes.
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    write_text(_validator_file(part), f"{_shown(url)}\n{validator}\n")


def _condition(url: str, part: Path) -> dict[str, str]:
    try:
        source, validator = _validator_file(part).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {"If-Range": validator} if source == _shown(url) and validator else {}


def _is_passing(error: requests.RequestException) -> bool:
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in RETRIED_STATUS
    return isinstance(
        error,
        requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError,
    )


def reason(error: requests.RequestException) -> str:
    """Say in some words why a request failed, without what may be secret in an address."""
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return str(error) if isinstance(error, TooSlow) else "no answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    cause = re.search(r"\[Errno -?\d+\] [\w ]+", str(error))
    return f"no connection, {cause[0]}" if cause else _without_secrets(error)


def _without_secrets(error: Exception) -> str:
    text = re.sub(r"//[^/\s@]+@", "//", str(error))
    return re.sub(r"\?[^\s'\"]+", "", text) or type(error).__name__


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
