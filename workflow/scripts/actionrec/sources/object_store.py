"""Look into an object store before Snakemake reads from it, and take what it has retrieved.

Snakemake's storage plugin fetches objects to a folder of its own, `.snakemake/storage`, and removes
them after the job unless it is told to keep them. Before that, the plan lists what is there: one
request for a thousand objects, which also proves endpoint, bucket and permission, and finds keys
that would leave the folder they are fetched to.
"""

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionrec.config.addresses import parts
from actionrec.errors import InputError, in_lines, some
from actionrec.frames.videos import SUFFIXES, is_video, list_videos, write_files_table
from actionrec.sources.file_names import normal
from actionrec.utils import checksums
from actionrec.utils.files import MAX_NAME_BYTES, replacing, sha256
from actionrec.utils.tables import read_table, write_table
from actionrec.utils.text import count

PLUGIN = "snakemake-storage-plugin-s3"
VERSION = "0.3.6"
CREDENTIALS = (
    "credentials come from SNAKEMAKE_STORAGE_S3_ACCESS_KEY and SNAKEMAKE_STORAGE_S3_SECRET_KEY, or "
    "from AWS's own variables and files; a server that is not Amazon's is named by "
    "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"
)
# Snakemake's plugin takes keys from its own variables; AWS's commands know these.
_AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "SNAKEMAKE_STORAGE_S3_ACCESS_KEY",
    "AWS_SECRET_ACCESS_KEY": "SNAKEMAKE_STORAGE_S3_SECRET_KEY",
    "AWS_SESSION_TOKEN": "SNAKEMAKE_STORAGE_S3_TOKEN",
}
FETCHED_COLUMNS = ("file", "bytes")
_NO_PERMISSION = ("403", "401", "AccessDenied", "AllAccessDisabled", "AccountProblem")
_NO_CREDENTIALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")
_AMAZON = re.compile(r"^https://([\w.-]+\.)?amazonaws\.com(\.cn)?/?$")


@dataclass(frozen=True)
class Stored:
    """An object: its key below the address that was listed, its bytes, and when it was written."""

    key: str
    bytes: int
    modified: float


def require_plugin(address: str, where: str) -> None:
    """Raise `InputError` unless Snakemake's plugin for object stores is installed."""
    if importlib.util.find_spec("snakemake_storage_plugin_s3") is None:
        raise InputError(
            "Snakemake's plugin for object stores is not installed.",
            where=where,
            found=address,
            fix=shlex.join([sys.executable, "-m", "pip", "install", f"{PLUGIN}=={VERSION}"]),
        )


def command(client: Any, *arguments: str) -> str:
    """Return a command of AWS's that asks the same store with the same keys, without their values.

    `arguments` follow `aws s3`, such as `ls` and an address.
    """
    keys = [
        f'{name}="${own}"'  # the shell that ran Snakemake has it
        for name, own in _AWS_VARIABLES.items()
        if os.environ.get(own)
    ]
    endpoint = client.meta.endpoint_url
    custom = [] if _AMAZON.search(endpoint) else ["--endpoint-url", endpoint]
    return " ".join([*keys, shlex.join(["aws", *custom, "s3", *arguments])])


@contextmanager
def explained(address: str, where: str, client: Any = None) -> Iterator[None]:
    """Raise `InputError` for what the client of an object store raises; it shows no secret.

    Without a client, as it cannot be made, no store has been asked.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refusal(client, address, where, error.response) from None
    except (BotoCoreError, ValueError) as error:
        raise InputError(
            "The object store cannot be asked.",
            where=where,
            found=f"{address}: {error}",
            fix=f"check the network and the address of the store; {CREDENTIALS}",
        ) from None


def _refusal(client: Any, address: str, where: str, response: Any) -> InputError:
    """Return the error for an answer of the store."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    bucket, _ = parts(address)
    found = f"{address}: HTTP {status}" + (f" {code}" if code and code != status else "")
    if code in _NO_CREDENTIALS:
        problem, fix = "The object store does not know these credentials.", CREDENTIALS
    elif code in _NO_PERMISSION or status in ("401", "403"):
        problem = "The object store gives no permission to read this."
        fix = f"ask for s3:ListBucket on {bucket} and s3:GetObject below it; {CREDENTIALS}"
    elif code == "NoSuchBucket" or status == "404":
        problem = "The object store has no such bucket."
        fix = f"correct the bucket in the address; all of yours: {command(client, 'ls')}"
    else:
        look = command(client, "ls", f"s3://{bucket}/")
        problem, fix = "The object store refuses.", f"run Snakemake again later; now: {look}"
    return InputError(problem, where=where, found=found, fix=fix)


def listed(client: Any, address: str, where: str) -> list[Stored]:
    """Return the objects below an address, by one request for each thousand.

    Raises `InputError` where the store cannot be asked or refuses, and where nothing is there.
    """
    bucket, key = parts(address)
    prefix = f"{key}/" if key else ""
    found = []
    with explained(address, where, client):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", ()):
                # Consoles make objects that stand for empty folders.
                if not item["Key"].endswith("/"):
                    name = item["Key"].removeprefix(prefix)
                    found.append(Stored(name, item["Size"], item["LastModified"].timestamp()))
    if not found:
        raise InputError(
            "Nothing is in the object store at this address.",
            where=where,
            found=f"{address}/",
            fix=f"correct the address; what is there: {command(client, 'ls', f's3://{bucket}/')}",
        )
    return found


def looked_up(client: Any, address: str, where: str) -> Stored:
    """Return the object at an address; raise `InputError` where there is none to read."""
    bucket, key = parts(address)
    try:
        with explained(address, where, client):
            found = client.head_object(Bucket=bucket, Key=key)
    except InputError:
        # Stores say of a missing object no more than of a missing bucket.
        with explained(address, where, client):
            client.head_bucket(Bucket=bucket)
            client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        folder = f"s3://{bucket}/" + "".join(key.rpartition("/")[:2])
        raise InputError(
            "The bucket has no such object.",
            where=where,
            found=address,
            fix=f"correct the address; what is there: {command(client, 'ls', folder)}",
        ) from None
    return Stored(key, found["ContentLength"], found["LastModified"].timestamp())


def require_bucket(client: Any, address: str, where: str) -> None:
    """Raise `InputError` unless the bucket of an address is there, and open to us."""
    with explained(address, where, client):
        client.head_bucket(Bucket=parts(address)[0])


def by_folder(objects: Iterable[Stored]) -> dict[str, list[Stored]]:
    """Return the objects below each folder of an address."""
    folders: dict[str, list[Stored]] = {}
    for item in objects:
        if "/" in item.key:
            folders.setdefault(item.key.partition("/")[0], []).append(item)
    return folders


def of_class(
    folders: Mapping[str, Sequence[Stored]], address: str, cls: str, where: str
) -> tuple[str, Sequence[Stored]]:
    """Return the address of a class's folder, and the objects below it.

    Its name may have another Unicode form than the class. Raises `InputError` where there is no
    such folder, no video in it, or a key that is unsafe.
    """
    folder = next((name for name in folders if normal(name) == normal(cls)), None)
    if folder is None:
        raise InputError(
            "A class has no folder in dataset.path.",
            where=f"{where}: {address}",
            found=cls,
            allowed=sorted(folders),
            fix="correct dataset.classes, or add the folder",
        )
    place, inside = f"{address}/{folder}", folders[folder]
    require_safe(inside, address)
    if not any(is_video(item.key.partition("/")[2]) for item in inside):
        raise _without_videos(place, where, f"The class {cls!r} has no videos.")
    return place, inside


def require_videos(objects: Sequence[Stored], address: str, where: str) -> None:
    """Raise `InputError` unless there are videos below an address, under keys that are safe."""
    require_safe(objects, address)
    if not any(is_video(item.key.rpartition("/")[2]) for item in objects):
        raise _without_videos(address, where, "There are no videos at this address.")


def _without_videos(address: str, where: str, problem: str) -> InputError:
    return InputError(
        problem,
        where=where,
        found=f"{address}/",
        allowed=", ".join(f"*{suffix}" for suffix in SUFFIXES),
        fix="put videos there, or correct the configuration",
    )


def digest(objects: Iterable[Stored]) -> str:
    """Return what tells that objects were added, removed, or replaced by others of another size."""
    lines = sorted(f"{item.key}\t{item.bytes}\n" for item in objects)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def require_safe(objects: Sequence[Stored], address: str) -> None:
    """Raise `InputError` for keys that are no path below the folder that they are fetched to."""
    keys = {item.key for item in objects}
    unsafe = [key for key in sorted(keys) if not _is_safe(key)]
    unsafe += [key for key in sorted(keys) if _inside_file(key, keys)]
    if unsafe:
        raise InputError(
            f"{count(len(unsafe), 'key')} in the bucket cannot be a file on this machine.",
            where=address,
            found=in_lines(unsafe),
            fix="rename or remove these objects: no part of a key may be empty, `.`, `..`, longer "
            f"than {MAX_NAME_BYTES} bytes, or a file and a folder at once",
        )


def _is_safe(key: str) -> bool:
    # An empty part makes an absolute path of the rest, `a//etc/x`; a zero byte is in no file name.
    names = key.split("/")
    usual = not {"", ".", ".."} & set(names) and "\0" not in key
    return usual and all(len(_encoded(name)) <= MAX_NAME_BYTES for name in names)


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _inside_file(key: str, keys: set[str]) -> bool:
    names = key.split("/")
    return any("/".join(names[:end]) in keys for end in range(1, len(names)))


def take_file(retrieved: Path, target: Path) -> None:
    """Put a file that Snakemake has retrieved at `target`."""
    with replacing(target) as part:
        _link_or_copy(retrieved, part)


def take_archive(retrieved: Path, target: Path, expected: str | None) -> None:
    """Put an archive that Snakemake has retrieved at `target`, checked as a download is.

    Without an expected SHA-256 the first one is recorded, and holds for later ones.
    """
    known, found = expected or checksums.recorded(target), sha256(retrieved)
    if known and found != known.lower():
        raise InputError(
            f"{target.name} in the object store is another file than expected.",
            where=target,
            found=f"sha256 {found}",
            allowed=[known],
            fix="correct sha256" if expected else f"delete {target}.sha256 to accept this one",
        )
    take_file(retrieved, target)
    checksums.record(target, found)


def take_class(retrieved: Path, videos: Path, table: Path) -> None:
    """Put the videos of a class that Snakemake has retrieved into `videos`, and list them."""
    if videos.is_symlink():  # to the folder of a user's that dataset.path named before
        videos.unlink()
    with replacing(videos) as part:
        part.mkdir()
        for video in list_videos(retrieved):
            _link_or_copy(video, part / video.name)
    write_files_table(table, list_videos(videos))


def take_tree(retrieved: Path, videos: Path, table: Path) -> None:
    """Put all videos below a folder that Snakemake has retrieved into `videos`, and list them."""
    found = sorted(path for path in retrieved.rglob("*") if is_video(path.name) and path.is_file())
    with replacing(videos) as part:
        for video in found:
            place = part / video.relative_to(retrieved)
            place.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(video, place)
    rows = ((str(path.relative_to(retrieved)), path.stat().st_size) for path in found)
    write_table(table, FETCHED_COLUMNS, sorted(rows))


def put_all(files: Sequence[str], copies: Sequence[str]) -> None:
    """Copy files and folders to where the plugin stores them from.

    A copy, not a link: Snakemake dates its outputs, and a link would date the originals too.
    """
    for source, target in zip(map(Path, files), map(Path, copies), strict=True):
        with replacing(target) as part:
            if source.is_dir():
                shutil.copytree(source, part, copy_function=shutil.copyfile)
            else:
                shutil.copyfile(source, part)


def lost_files(videos: Path, table: Path) -> str:
    """Say which files of a table of `take_tree` are no longer there, if any is not."""
    if not table.exists():
        return ""
    try:
        rows = read_table(table, FETCHED_COLUMNS)
    except InputError:
        return f"{table} is damaged"
    lost = [name for name, size in rows if not _has_size(videos / name, size)]
    return f"videos are gone or changed: {some(lost, 3)}" if lost else ""


def _has_size(path: Path, size: str) -> bool:
    return path.is_file() and str(path.stat().st_size) == size


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, so that it takes no more space; copy it to another disk."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
