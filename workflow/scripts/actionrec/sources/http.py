"""Ask a server over HTTP, and take from it neither endless time nor an answer that is nonsense.

requests' timeouts are for silence: a server that sends a byte now and then, in its headers, its
redirects or its body, never meets them. So a thread reads, and the caller watches the clock.
"""

import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import requests
import urllib3

from actionrec import __version__
from actionrec.redaction import redacted, revealed, shown

CHUNK = 2**16
RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)
_WAITING_CHUNKS = 16  # read and not yet taken

T = TypeVar("T")
# What signs a request: a function, or a user name and a password.
Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest] | tuple[str, str]

log = logging.getLogger(__name__)


class TooSlow(requests.Timeout):
    """Say that a server sends too little for an answer ever to end."""


class Nonsense(requests.RequestException):
    """Say that an answer is not as HTTP, or the file asked for, has it."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server: times in seconds, `attempts` without any new byte.

    The headers of the last redirect must be there after `connect` and `read` together. From then
    on fewer than `rate` bytes a second over the time of `read` are no better than silence.
    """

    connect: float = 10.0
    read: float = 60.0
    attempts: int = 5
    pause: float = 1.0
    longest: float = 120.0  # pause, even if the server asks for more
    rate: float = 1000.0


class Answer:
    """An answer whose headers are there; its body comes in chunks, as it was sent."""

    def __init__(
        self, response: requests.Response, items: "queue.Queue[Any]", patience: Patience
    ) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._items = items
        self._patience = patience

    def require_ok(self) -> None:
        """Raise `requests.HTTPError` unless the status is one of success."""
        self._response.raise_for_status()
        if self.status >= 300:  # a redirect without a place, or "not modified" with nothing to keep
            raise requests.HTTPError(response=self._response)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body, even what a server calls compressed, undecoded.

        Raises `requests.RequestException` where it breaks off, and `TooSlow`.
        """
        while True:
            began, count = time.monotonic(), 0
            while (left := began + self._patience.read - time.monotonic()) > 0:
                try:
                    chunk = _next(self._items, left)
                except queue.Empty:
                    break
                if chunk is None:
                    return
                yield chunk
                count += len(chunk)
            if not count:
                raise requests.Timeout("no answer in time")
            rate = count / (time.monotonic() - began)
            if rate < self._patience.rate:
                raise TooSlow(f"only {rate:.0f} bytes a second")


@contextmanager
def get(
    url: str,
    patience: Patience,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    auth: Auth | None = None,
) -> Iterator[Answer]:
    """Yield the answer to one request, once its headers are there.

    It goes to the address that `url` stands for, if that is hidden. `auth` signs the request; a
    redirect to another host is followed without its signature. The variables HTTP_PROXY,
    HTTPS_PROXY and NO_PROXY are used. Raises `requests.RequestException` alone, whatever the server
    sends.
    """
    items: queue.Queue[Any] = queue.Queue(_WAITING_CHUNKS)
    left = threading.Event()
    sent = {"User-Agent": f"actionrec/{__version__}", "Accept-Encoding": "identity"}
    ask = partial(
        requests.get,
        revealed(url),
        headers={**sent, **(headers or {})},
        params=params,
        auth=auth,
        stream=True,
        timeout=(patience.connect, patience.read),
    )
    # A daemon: a thread that a server holds must not hold the process.
    threading.Thread(target=_read, args=(ask, items, left), daemon=True).start()
    try:
        yield Answer(_next(items, patience.connect + patience.read), items, patience)
    except queue.Empty:
        raise requests.Timeout("no answer in time") from None
    finally:
        left.set()


def _read(
    ask: Callable[[], requests.Response], items: "queue.Queue[Any]", left: threading.Event
) -> None:
    """Put the response, the chunks of its body and None into `items`; or the error in between."""

    def put(item: Any) -> bool:
        while not left.is_set():
            try:
                items.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    try:
        with ask() as response:
            more = put(response)
            while more and (chunk := response.raw.read1(CHUNK, decode_content=False)):
                more = put(chunk)
        put(None)
    except Exception as error:
        put(_as_request_error(error))


def _as_request_error(error: Exception) -> requests.RequestException:
    """Return what stands for an error of any library below; its text may hold a header's key."""
    if isinstance(error, requests.exceptions.InvalidHeader):
        return Nonsense("a header that cannot be sent")
    if isinstance(error, requests.RequestException):
        return error
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return requests.Timeout("no answer in time")
    if isinstance(error, urllib3.exceptions.ProtocolError | OSError):
        return requests.exceptions.ChunkedEncodingError("the connection broke off")
    return Nonsense(f"an answer that is not understood ({type(error).__name__})")


def _next(items: "queue.Queue[Any]", seconds: float) -> Any:
    """Return the next item, or raise it if it is an error; `queue.Empty` when none comes."""
    item = items.get(timeout=seconds)
    if isinstance(item, Exception):
        raise item
    return item


def read(
    url: str,
    patience: Patience,
    limit: int,
    *,
    params: Mapping[str, Any] | None = None,
    auth: Auth | None = None,
) -> bytes:
    """Return the body of a small answer, of at most `limit` bytes; passing errors are retried."""

    def once() -> bytes:
        with get(url, patience, params=params, auth=auth) as answer:
            answer.require_ok()
            body = bytearray()
            for chunk in answer.chunks():
                body += chunk
                if len(body) > limit:
                    raise Nonsense(f"an answer of more than {limit} bytes")
            return bytes(body)

    return retried(once, url, patience)


def retried(
    request: Callable[[], T],
    url: str,
    patience: Patience,
    progress: Callable[[], int] | None = None,
) -> T:
    """Return what `request` returns, which is called again after errors that may pass.

    `progress` counts the bytes that are there: an attempt that brought some starts the count of
    attempts again. Raises the last `requests.RequestException`.
    """
    failures = 0
    while True:
        before = progress() if progress else 0
        try:
            return request()
        except requests.RequestException as error:
            moved = progress is not None and progress() > before and not isinstance(error, TooSlow)
            failures = 1 if moved else failures + 1
            if not _is_passing(error) or failures >= patience.attempts:
                raise
            wait = _pause(error, failures, patience)
            log.warning("%s: %s; trying again in %.0f s", shown(url), reason(error), wait)
            time.sleep(wait)


def _pause(error: requests.RequestException, failures: int, patience: Patience) -> float:
    """Return the seconds to wait: twice as long each time, or as long as the server asks."""
    asked = error.response.headers.get("Retry-After", "") if error.response is not None else ""
    wait = float(asked) if asked.isdecimal() else patience.pause * 2.0 ** min(failures - 1, 60)
    return min(wait, patience.longest)


def _is_passing(error: requests.RequestException) -> bool:
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in RETRIED_STATUS
    return isinstance(
        error,
        requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError,
    )


def reason(error: requests.RequestException) -> str:
    """Say in some words why a request failed, without what may be secret in it."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        said = re.sub(r"[^ -~]", "?", error.response.reason or "")[:80]
        return f"HTTP {error.response.status_code} {said}".rstrip()
    if isinstance(error, requests.Timeout):
        return str(error) if isinstance(error, TooSlow) else "no answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    cause = re.search(r"\[Errno -?\d+\] [\w ]+", str(error))
    return f"no connection, {cause[0]}" if cause else _without_secrets(error)


def _without_secrets(error: Exception) -> str:
    # Messages hold addresses, and paths with what is behind their `?`.
    return re.sub(r"\?[^\s'\"]+", "", redacted(str(error))) or type(error).__name__
