"""Download a file: resumed after a cut, retried, from the next mirror, checked, then published."""

import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from tqdm import tqdm

from actionrec import __version__
from actionrec.errors import InputError
from actionrec.files import explained_disk_errors, sha256, write_text

CHUNK = 2**14  # at most this much is lost when a connection breaks off
LOG_SECONDS = 30.0  # between lines where no terminal shows a bar
RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """Say why a URL does not give the file."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server: times in seconds, `attempts` without any new byte."""

    connect: float = 10.0
    read: float = 60.0
    attempts: int = 5
    pause: float = 1.0


Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]


@dataclass(frozen=True)
class _Wanted:
    """What proves that a file is the right one: its SHA-256, its size in bytes, or both."""

    sha256: str | None
    size: int | None

    def mismatch(self, path: Path) -> str | None:
        """Say what is wrong with the file, if anything is."""
        found = _size(path)
        if self.size is not None and found != self.size:
            return f"wrong size: expected {self.size} bytes, found {found}"
        if self.sha256 is not None and (found := sha256(path)) != self.sha256:
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

    A URL may be a local path. Bytes gather in `<target>.part`, which outlives a killed job:
    the next one goes on from there. `auth` signs a request; a redirect to another host is
    followed without its signature. Raises `InputError` when no URL gives the file, or the
    disk is full.
    """
    wanted = _Wanted(sha256.lower() if sha256 else None, size)
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        try:
            with explained_disk_errors(target):
                _fetch_checked(url, target, wanted, auth, patience or Patience())
        except Unavailable as error:
            log.warning("%s: %s", url, error)
            failures.append(f"{url}: {error}")
        else:
            return
    raise InputError(
        f"Could not get {target.name}.",
        where=target,
        found=("\n" + " " * 11).join(failures) or "no URL",
        fix=f"check the network, or put the file at {target} yourself"
        + (f" (sha256 {sha256})" if sha256 else ""),
    )


def _fetch_checked(
    url: str, target: Path, wanted: _Wanted, auth: Auth | None, patience: Patience
) -> None:
    part = _part(target)
    resumed = part.exists()
    _fetch(url, part, auth, patience)
    if problem := wanted.mismatch(part):
        _forget(part)
        if resumed:  # the bytes that were there may be the wrong ones
            log.warning("%s: %s, after resuming: starting again", url, problem)
            return _fetch_checked(url, target, wanted, auth, patience)
        raise Unavailable(problem)
    part.replace(target)
    _forget(part)


def _fetch(url: str, part: Path, auth: Auth | None, patience: Patience) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        return _copy(url, part)
    failures = 0
    while True:
        before = _size(part)
        try:
            return _transfer(url, part, auth, patience)
        except requests.RequestException as error:
            failures = 1 if _size(part) > before else failures + 1
            if not _is_passing(error) or failures >= patience.attempts:
                raise Unavailable(reason(error)) from error
            wait = patience.pause * 2 ** (failures - 1)
            log.warning("%s: %s; trying again in %.0f s", url, reason(error), wait)
            time.sleep(wait)


def _copy(url: str, part: Path) -> None:
    address = urlsplit(url)
    source = Path(url2pathname(address.path) if address.scheme == "file" else url).expanduser()
    if not source.is_file():
        raise Unavailable("no such file")
    shutil.copyfile(source, part)


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
            start = 0
        _remember_validator(url, response, part)
        _store(response, part, start)


def _store(response: requests.Response, part: Path, start: int) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    with part.open("r+b" if start else "wb") as file, _progress(part, start, total) as report:
        file.seek(start)
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            report(len(chunk))
        file.truncate()


def _finish_or_restart(response: requests.Response, part: Path) -> None:
    """Nothing is missing, or the file there has become shorter: the checksum tells which."""
    total = response.headers.get("Content-Range", "").removeprefix("bytes */")
    if total != str(_size(part)):
        part.unlink()
        raise requests.ConnectionError("the file has changed")


@contextmanager
def _progress(part: Path, start: int, total: int | None) -> Iterator:
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


# The validator says whether the bytes of `part` still belong to what the URL gives.


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _remember_validator(url: str, response: requests.Response, part: Path) -> None:
    etag = response.headers.get("ETag", "")
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    write_text(_validator_file(part), f"{url}\n{validator}\n")


def _condition(url: str, part: Path) -> dict[str, str]:
    try:
        source, validator = _validator_file(part).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {"If-Range": validator} if source == url and validator else {}


def _is_passing(error: requests.RequestException) -> bool:
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in RETRIED_STATUS
    return isinstance(
        error,
        requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError,
    )


def reason(error: requests.RequestException) -> str:
    """Say in some words why a request failed, without the query of a signed address."""
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    cause = re.search(r"\[Errno -?\d+\] [\w ]+", str(error))
    if cause:
        return f"no connection, {cause[0]}"
    return re.sub(r"\?\S+", "?...", str(error)) or type(error).__name__


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
