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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from pydantic import BaseModel, ValidationError

from actionrec.errors import InputError, snakemake_command
from actionrec.redaction import shown
from actionrec.sources import http
from actionrec.sources.download import download
from actionrec.sources.http import Auth, Patience
from actionrec.utils.files import hidden_name, sha256, write_text
from actionrec.utils.work_folder import work_folder

ACTION_RECOGNITION = "nvidia/tao/actionrecognitionnet"
API = "https://api.ngc.nvidia.com"
AUTHENTICATION = "https://authn.nvidia.com"
CATALOG = "https://catalog.ngc.nvidia.com"
KEY_PAGE = "https://org.ngc.nvidia.com/setup/api-key"
SCOPED_KEY = "nvapi-"  # such a key is itself a token; an older one is exchanged for a token
PAGE_SIZE = 100  # versions or files in one answer
MAX_PAGES = 100
MAX_ANSWER = 2**24  # bytes
KEY_VARIABLES = ("NGC_API_KEY", "NGC_CLI_API_KEY")
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


# What is read of NGC's answers


class _File(BaseModel):
    path: str
    sizeInBytes: int | None = None
    sha256_base64: str | None = None

    def sha256(self) -> str | None:
        """Return the SHA-256 that is listed, in hexadecimal digits, if one is."""
        try:
            digest = base64.b64decode(self.sha256_base64 or "", validate=True)
        except ValueError:
            return None
        return digest.hex() if len(digest) == 32 else None


class _Version(BaseModel):
    """A version; what is shown of it may be missing."""

    versionId: str | None = None
    totalFileCount: int | None = None
    totalSizeInBytes: int | None = None
    createdDate: str | None = None
    numberOfEpochs: int | None = None
    accuracyReached: float | None = None
    gpuModel: str | None = None
    status: str | None = None


class _Pages(BaseModel):
    totalPages: int = 1


class _Page(BaseModel):
    """A page of files or of versions."""

    modelFiles: list[_File] | None = None
    modelVersions: list[_Version] | None = None
    paginationInfo: _Pages | None = None


class _Token(BaseModel):
    token: str


Read = TypeVar("Read", bound=BaseModel)


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
    model, registry = Model.parse(target), _Registry(patience or Patience())
    by_command = _fetch_by_command(model, file, path, checksum, registry)
    if not by_command:
        registry.fetch(model, file, path, checksum)
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


def _table(versions: Sequence[_Version]) -> str:
    rows = [
        [_cell(field, getattr(version, field)) for field in COLUMNS.values()]
        for version in versions
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
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


# The ngc command


def _fetch_by_command(
    model: Model, file: str, path: Path, checksum: str | None, registry: "_Registry"
) -> bool:
    """Download with the `ngc` command; return whether it is there and got the right file.

    That is one with `checksum` or, without one, as NGC lists it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The command makes folders of its own names: the file is looked for below a temporary one.
    with work_folder(path.with_name(f"{hidden_name(path.name)}.ngc")) as folder:
        command = ["download-version", str(model), "--dest", str(folder), "--file", file]
        done = _run_command(command)
        if done is None:
            return False
        found = (entry for entry in folder.rglob("*") if entry.name == Path(file).name)
        downloaded = next((entry for entry in found if entry.is_file()), None)
        if done.returncode != 0 or downloaded is None:
            log.warning("The ngc command did not download %s; trying without it.", file)
            return False
        size = None
        if checksum is None:
            listed = registry.listed(model, file)
            checksum, size = listed.sha256(), listed.sizeInBytes
        if size is not None and downloaded.stat().st_size != size:
            log.warning("The ngc command's %s has a wrong size; trying without it.", file)
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
    key = api_key()
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


def api_key() -> str | None:
    """Return the key for NGC without the white space around it, or None where none is set.

    Raises `InputError`, which does not show it, for what no HTTP header can carry.
    """
    for variable in KEY_VARIABLES:
        key = os.environ.get(variable, "").strip()
        if not key:
            continue
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise InputError(
                "A key for NGC holds a character that no key has, such as a space or a line break.",
                where=f"environment variable {variable}",
                found=f"{len(key)} characters, not shown here",
                fix=f"copy it again from {KEY_PAGE}, then: export {variable}=...",
            )
        return key
    return None


# HTTPS


class _Registry:
    """NGC over HTTPS; requests are repeated on failure, and carry a token if there is a key."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._api = os.environ.get("NGC_CLI_API_URL", API).rstrip("/")

    def versions(self, model: Model) -> list[_Version]:
        """Return what NGC says of each version of a model."""
        auth = self._auth(model)
        pages = self._pages(model, model.versions_path(public=auth is None), auth)
        return [version for page in pages for version in page.modelVersions or []]

    def listed(self, model: Model, file: str) -> _File:
        """Return what NGC lists of a file of a model version."""
        return self._listed(model, file, self._auth(model))

    def fetch(self, model: Model, file: str, path: Path, checksum: str | None) -> None:
        """Download a file of a model version; see the module's `fetch`."""
        auth = self._auth(model)
        listed = self._listed(model, file, auth)
        download(
            [f"{self._api}{self._files_path(model, auth)}/{quote(file)}"],
            path,
            checksum or listed.sha256(),
            size=listed.sizeInBytes,
            auth=auth,
            patience=self._patience,
        )

    def _listed(self, model: Model, file: str, auth: Auth | None) -> _File:
        pages = self._pages(model, self._files_path(model, auth), auth)
        files = {entry.path: entry for page in pages for entry in page.modelFiles or []}
        if file not in files:
            raise InputError(
                "The version on NGC has no such file.",
                where=f"pretrained, ngc: {model}",
                found=file,
                allowed=sorted(files),
                fix="correct the key `file` next to `ngc`",
            )
        return files[file]

    @staticmethod
    def _files_path(model: Model, auth: Auth | None) -> str:
        return f"{model.versions_path(public=auth is None)}/{model.version}/files"

    def _pages(self, model: Model, address: str, auth: Auth | None) -> Iterator[_Page]:
        """Yield all pages of an answer."""
        number, pages = 0, 1
        url = f"{self._api}{address}"
        while number < pages:
            params = {"page-size": PAGE_SIZE, "page-number": number}
            page = self._get(_Page, model, url, auth, params)
            yield page
            pages = page.paginationInfo.totalPages if page.paginationInfo else 1
            if pages > MAX_PAGES:
                raise _no_answer(model, url, f"{pages} pages, of which {MAX_PAGES} are read")
            number += 1

    def _auth(self, model: Model) -> Auth | None:
        """Return what adds a token to a request, or None without a key.

        `download` does not send it to the storage that NGC redirects to.
        """
        key = api_key()
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
        return self._get(_Token, model, f"{host}/token", ("$oauthtoken", key), params).token

    def _get(
        self,
        kind: type[Read],
        model: Model,
        url: str,
        auth: Auth | None,
        params: Mapping[str, Any],
    ) -> Read:
        # Where an error holds a header, or an answer a token, its traceback must not show it.
        try:
            body = http.read(url, self._patience, MAX_ANSWER, params=params, auth=auth)
        except requests.HTTPError as error:
            raise _refused(error, model) from None
        except requests.RequestException as error:
            raise _no_answer(model, url, http.reason(error)) from None
        return self._read(kind, model, url, body)

    @staticmethod
    def _read(kind: type[Read], model: Model, url: str, body: bytes) -> Read:
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, fault["loc"]))
            raise _no_answer(model, url, f"{place}: {fault['msg'][:200]}") from None


def _no_answer(model: Model, url: str, found: str) -> InputError:
    return InputError(
        "NGC does not answer, or not as expected.",
        where=f"pretrained, ngc: {model}",
        found=f"{shown(url)}: {found}",
        fix="check the network; or get the file elsewhere and give it as {path: FILE}",
    )


def _refused(error: requests.HTTPError, model: Model) -> InputError:
    """Return the error that says what to do about NGC's refusal."""
    status = error.response.status_code if error.response is not None else 0
    problem, fix = "NGC does not give the model.", "try again later"
    if status in (401, 403):
        problem = "NGC refuses the key in NGC_API_KEY for this model, or wants one."
        fix = f"make a key at {KEY_PAGE}, then: export NGC_API_KEY=..."
    elif status == 404:
        problem = "NGC has no such model or version."
        fix = f"correct it; this lists the versions: {snakemake_command('ngc_models')}"
    elif status == 412:
        problem = "NGC wants the model's terms accepted first."
        fix = f"accept them at {CATALOG}, where you search for {model.name}"
    return InputError(problem, where=f"pretrained, ngc: {model}", found=http.reason(error), fix=fix)
