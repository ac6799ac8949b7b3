"""NVIDIA's model registry NGC: list the versions of a model, download a file of a version.

With the `ngc` command where it is on PATH, otherwise over HTTPS with the addresses that ngcsdk 4.37
uses. NGC_API_KEY is optional for public models; it is sent to NGC's own hosts only, and written to
no log and no file. NGC_CLI_API_URL and NGC_CLI_AUTH_URL name other hosts, as for the `ngc` command.
"""

import base64
import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from actionrec import __version__
from actionrec.errors import InputError
from actionrec.sources.download import RETRIED_STATUS, Auth, Patience, download, reason
from actionrec.utils.files import sha256, write_text

ACTION_RECOGNITION = "nvidia/tao/actionrecognitionnet"
API = "https://api.ngc.nvidia.com"
AUTHENTICATION = "https://authn.nvidia.com"
CATALOG = "https://catalog.ngc.nvidia.com"
KEY_PAGE = "https://org.ngc.nvidia.com/setup/api-key"
SCOPED_KEY = "nvapi-"  # such a key is itself a token; an older one is exchanged for a token
PAGE_SIZE = 100  # versions or files in one answer
COLUMNS = {  # of the table of versions -> field of NGC's answer
    "version": "versionId",
    "files": "totalFileCount",
    "size": "totalSizeInBytes",
    "created": "createdDate",
    "epochs": "numberOfEpochs",
    "accuracy": "accuracyReached",
    "gpu": "gpuModel",
    "status": "status",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """A model in the registry: one version of it, or with None all of them.

    `owner` is an organisation, or an organisation and a team of it.
    """

    owner: tuple[str, ...]
    name: str
    version: str | None = None

    @classmethod
    def parse(cls, target: str) -> "Model":
        """Return the model that ORG/[TEAM/]NAME[:VERSION] names."""
        path, _, version = target.partition(":")
        *owner, name = path.split("/")
        return cls(tuple(owner), name, version or None)

    def __str__(self) -> str:
        return f"{'/'.join([*self.owner, self.name])}:{self.version or '*'}"

    def versions_path(self, *, public: bool) -> str:
        """Return the path of the model's versions below the API's address.

        Without a token only the public path answers.
        """
        if public:
            return "/".join(["/v2/models", *self.owner, self.name, "versions"])
        levels = [
            f"{level}/{name}" for level, name in zip(("org", "team"), self.owner, strict=False)
        ]
        return "/".join(["/v2", *levels, "models", self.name, "versions"])


def fetch(
    target: str,
    file: str,
    path: Path,
    checksum: str | None = None,
    *,
    patience: Patience | None = None,
) -> None:
    """Download `file` of the model version `target` to `path`; record in <path>.json what it is.

    Without a SHA-256 in `checksum` the one that NGC lists must hold, or else the size. Raises
    `InputError` that says which key, model, version or file is wrong.
    """
    model = Model.parse(target)
    by_command = _fetch_by_command(model, file, path, checksum)
    if not by_command:
        _Registry(patience or Patience()).fetch(model, file, path, checksum)
    record = {
        "model": target,
        "file": file,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "by": "ngc" if by_command else "https",
    }
    write_text(path.with_name(f"{path.name}.json"), json.dumps(record, indent=2) + "\n")


def versions_table(targets: Sequence[str], *, patience: Patience | None = None) -> str:
    """Return the versions of models as `ngc registry model list` shows them."""
    parts = []
    for target in dict.fromkeys(targets):
        model = Model.parse(target)
        done = _run_command(["list", str(model)])
        if done is not None and done.returncode == 0:
            parts.append(f"{target}\n{done.stdout.rstrip()}")
        else:
            rows = _Registry(patience or Patience()).versions(model)
            parts.append(f"{target}\n{_table(rows)}")
    return "\n\n".join(parts)


def _table(versions: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [_cell(field, version.get(field)) for field in COLUMNS.values()] for version in versions
    ]
    cells = [list(COLUMNS), *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def _cell(field: str, value: Any) -> str:
    if field == "totalSizeInBytes":
        return f"{(value or 0) / 1e6:.1f} MB"
    if field == "createdDate":
        return str(value or "").partition("T")[0]  # the day
    return "" if value is None else str(value)


# The ngc command


def _fetch_by_command(model: Model, file: str, path: Path, checksum: str | None) -> bool:
    """Download with the `ngc` command; return whether it is there and got the right file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The command makes folders of its own names: the file is looked for below a temporary one.
    with tempfile.TemporaryDirectory(prefix=".ngc.", dir=path.parent) as folder:
        command = ["download-version", str(model), "--dest", folder, "--file", file]
        done = _run_command(command)
        if done is None:
            return False
        downloaded = next((found for found in Path(folder).rglob(file) if found.is_file()), None)
        if done.returncode != 0 or downloaded is None:
            log.warning("The ngc command did not download %s; trying without it.", file)
            return False
        if checksum and sha256(downloaded) != checksum.lower():
            log.warning("The ngc command's %s has a wrong checksum; trying without it.", file)
            return False
        downloaded.replace(path)
    return True


def _run_command(arguments: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    """Run `ngc registry model ...`, if there is an `ngc`; log what it prints without the key."""
    if shutil.which("ngc") is None:
        return None
    key = _key()
    done = subprocess.run(
        ["ngc", "registry", "model", *arguments],
        env={**os.environ, **({"NGC_CLI_API_KEY": key} if key else {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    printed = done.stdout.replace(key, "***") if key else done.stdout
    log.info("ngc registry model %s: exit code %d\n%s", arguments[0], done.returncode, printed)
    return done


def _key() -> str | None:
    return os.environ.get("NGC_API_KEY") or os.environ.get("NGC_CLI_API_KEY") or None


# HTTPS


class _Registry:
    """NGC over HTTPS; requests are repeated on failure, and carry a token if there is a key."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._api = os.environ.get("NGC_CLI_API_URL", API).rstrip("/")
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"actionrec/{__version__}"
        retry = Retry(
            total=patience.attempts - 1,
            backoff_factor=patience.pause,
            status_forcelist=RETRIED_STATUS,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def versions(self, model: Model) -> list[dict[str, Any]]:
        """Return what NGC says of each version of a model."""
        auth = self._auth(model)
        return list(
            self._pages(model, model.versions_path(public=auth is None), "modelVersions", auth)
        )

    def fetch(self, model: Model, file: str, path: Path, checksum: str | None) -> None:
        """Download a file of a model version; see the module's `fetch`."""
        auth = self._auth(model)
        address = f"{model.versions_path(public=auth is None)}/{model.version}/files"
        files = {
            entry.get("path"): entry for entry in self._pages(model, address, "modelFiles", auth)
        }
        if file not in files:
            raise InputError(
                "The version on NGC has no such file.",
                where=f"pretrained, ngc: {model}",
                found=file,
                allowed=sorted(filter(None, files)),
                fix="correct the key `file` next to `ngc`",
            )
        download(
            [f"{self._api}{address}/{quote(file)}"],
            path,
            checksum or _listed_checksum(files[file]),
            size=files[file].get("sizeInBytes"),
            auth=auth,
            patience=self._patience,
        )

    def _pages(
        self, model: Model, address: str, key: str, auth: Auth | None
    ) -> Iterator[dict[str, Any]]:
        """Yield the entries under `key` in all pages of an answer."""
        page, pages = 0, 1
        while page < pages:
            params = {"page-size": PAGE_SIZE, "page-number": page}
            answer = self._get(model, f"{self._api}{address}", auth, params)
            yield from answer.get(key) or []
            pages = (answer.get("paginationInfo") or {}).get("totalPages", 1)
            page += 1

    def _auth(self, model: Model) -> Auth | None:
        """Return what adds a token to a request, or None without a key.

        It is no header of the session, since `download` must not send it to the storage that NGC
        redirects to.
        """
        key = _key()
        if key is None:
            return None
        token = key if key.startswith(SCOPED_KEY) else self._exchange(key, model)

        def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        return sign

    def _exchange(self, key: str, model: Model) -> str:
        """Return a token for a model's owner, in exchange for a key of the older kind."""
        # The user name is literally $oauthtoken; scopes are the organisation and its team.
        host = os.environ.get("NGC_CLI_AUTH_URL", AUTHENTICATION).rstrip("/")
        scopes = ["/".join(model.owner[: depth + 1]) for depth in range(len(model.owner))]
        params = {"service": "ngc", "scope": [f"group/ngc:{scope}" for scope in scopes]}
        answer = self._get(model, f"{host}/token", ("$oauthtoken", key), params)
        return str(answer.get("token", ""))

    def _get(
        self, model: Model, url: str, auth: Auth | tuple[str, str] | None, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        timeout = (self._patience.connect, self._patience.read)
        try:
            response = self._session.get(url, params=params, auth=auth, timeout=timeout)
            response.raise_for_status()
            answer = response.json()
            return answer if isinstance(answer, dict) else {}
        except requests.HTTPError as error:
            raise _refused(error, model) from None  # its traceback might show the token
        except requests.RequestException as error:
            raise InputError(
                "NGC does not answer.",
                where=f"pretrained, ngc: {model}",
                found=f"{url}: {reason(error)}",
                fix="check the network; or get the file elsewhere and give it as {path: FILE}",
            ) from None


def _refused(error: requests.HTTPError, model: Model) -> InputError:
    """Return the error that says what to do about NGC's refusal."""
    status = error.response.status_code
    problem, fix = "NGC does not give the model.", "try again later"
    if status in (401, 403):
        problem = "NGC refuses the key in NGC_API_KEY for this model, or wants one."
        fix = f"make a key at {KEY_PAGE}, then: export NGC_API_KEY=..."
    elif status == 404:
        problem = "NGC has no such model or version."
        fix = "correct it; this lists the versions: snakemake ngc_models"
    elif status == 412:
        problem = "NGC wants the model's terms accepted first."
        fix = f"accept them at {CATALOG}, where you search for {model.name}"
    return InputError(problem, where=f"pretrained, ngc: {model}", found=reason(error), fix=fix)


def _listed_checksum(entry: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 that NGC lists of a file, in hexadecimal digits, if it does."""
    try:
        digest = base64.b64decode(entry.get("sha256_base64") or "", validate=True)
    except ValueError:
        return None
    return digest.hex() if len(digest) == 32 else None
