"""Object stores that refuse, answer nothing, or hold what no folder can: seen in the plan."""

import socket
from collections.abc import Callable, Mapping

import pytest
from botocore.config import Config

from actionrec.sources import object_store
from actionrec.sources.object_store import Stored
from faults import table
from faults.table import Fault, Scene
from helpers.buckets import BUCKET, Store, client_of, refusing, store

AREA = "object stores"
WHERE = "config.yaml, dataset.path"


@pytest.fixture(scope="module")
def bucket():
    with store() as found:
        found.put_texts({f"set/walk/{index}.mp4": "video" for index in range(2)})
        found.put_texts({"texts/walk/notes.txt": "text"})
        yield found


class Dataset(Scene):
    """A folder of classes in a bucket; videos fetched before are here."""

    def prepare(self) -> None:
        self.store: Store = self.request.getfixturevalue("bucket")
        self.server = self.store.address
        self.keys: tuple[str, str] = ("a", "b")
        self.address, self.cls = f"s3://{BUCKET}/set", "walk"
        self.others: list[Stored] = []
        (self.folder / "videos").mkdir()
        (self.folder / "videos/0.mp4").write_text("video")

    def act(self) -> str:
        with refusing(self.store) as nobody:
            if self.keys == ("nobody", ""):
                self.keys = tuple(nobody.values())
            said = self.said(self.plan) if self.keys != ("a", "b") else ""
        said = said or self.said(self.plan)
        assert not any(secret in said for secret in self.keys if len(secret) > 1)
        return said

    def plan(self) -> None:
        access, secret = self.keys
        once = Config(retries={"max_attempts": 0}, connect_timeout=2)
        self.ask(client_of("s3", self.server, access, secret, once))

    def ask(self, client: object) -> None:
        found = object_store.listed(client, self.address, WHERE)
        folders = object_store.by_folder([*found, *self.others])
        object_store.of_class(folders, self.address, self.cls, WHERE)


class List(Dataset):
    """A list, an archive or weights in a bucket."""

    def prepare(self) -> None:
        super().prepare()
        self.address = f"s3://{BUCKET}/set/list.csv"

    def ask(self, client: object) -> None:
        object_store.looked_up(client, self.address, WHERE)


class Results(Dataset):
    """A bucket to publish results in."""

    def ask(self, client: object) -> None:
        object_store.require_bucket(client, self.address, "config.yaml, tracking.publish")


class Archive(Scene):
    """An archive that was fetched, and another one in its place in the bucket."""

    def prepare(self) -> None:
        self.target, self.retrieved = self.folder / "archives/set.zip", self.folder / "retrieved"
        self.retrieved.write_text("first")
        object_store.take_archive(self.retrieved, self.target, None)
        self.sha256: str | None = None

    def act(self) -> str:
        return self.said(object_store.take_archive, self.retrieved, self.target, self.sha256)


def setting(**values: object) -> Callable[[Scene], object]:
    """Return an injection: these attributes of the scene."""
    return lambda scene: [setattr(scene, name, value) for name, value in values.items()]


def unreachable(scene: Dataset) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        scene.server = f"http://127.0.0.1:{free.getsockname()[1]}"


def replaced(scene: Archive) -> None:
    scene.retrieved.unlink()
    scene.retrieved.write_text("second")


def in_store(fault: str, scene: type[Scene], values: Mapping[str, object], *seen: str) -> Fault:
    return Fault(fault, "a server with users and permissions", scene, setting(**values), seen)


def key(fault: str, name: str) -> Fault:
    seen = ("cannot be a file on this machine", name[:30], "rename or remove these objects")
    injected = setting(others=[Stored(name, 1, 0.0)])
    return Fault(f"key {fault}", "an object of this key in the class", Dataset, injected, seen)


NOBODY = {"keys": ("nobody", "")}
PERMISSION = ("gives no permission", "HTTP 403", f"s3:ListBucket on {BUCKET}", "STORAGE_S3_ACCESS")
FAULTS = [
    in_store("folder without permission", Dataset, NOBODY, *PERMISSION, WHERE),
    in_store("file without permission", List, NOBODY, *PERMISSION, WHERE),
    in_store("bucket for results without permission", Results, NOBODY, *PERMISSION),
    in_store(
        "credentials that the store does not know",
        Dataset,
        {"keys": ("AKIANOBODYKNOWSTHIS1", "a secret of nobody")},
        "does not know these credentials",
        "SNAKEMAKE_STORAGE_S3_ACCESS_KEY",
    ),
    *(
        in_store(
            f"no such bucket, for {what}",
            scene,
            {"address": "s3://no-such-bucket/set"},
            "no such bucket",
            "correct the bucket in the address",
            "s3 ls",
        )
        for what, scene in (("a folder", Dataset), ("a file", List), ("results", Results))
    ),
    in_store("no such file", List, {}, "no such object", f"s3 ls s3://{BUCKET}/set/"),
    in_store(
        "nothing below a prefix",
        Dataset,
        {"address": f"s3://{BUCKET}/nothing"},
        "Nothing is in the object store",
        f"s3://{BUCKET}/nothing/",
    ),
    in_store("no folder of a class", Dataset, {"cls": "wolk"}, "did you mean 'walk'", "wolk"),
    in_store(
        "class without videos",
        Dataset,
        {"address": f"s3://{BUCKET}/texts"},
        "'walk' has no videos",
        "*.mp4",
    ),
    Fault(
        "no server at the address",
        "connections are refused",
        Dataset,
        unreachable,
        ("cannot be asked", "http://127.0.0.1:", "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"),
    ),
    key("with a way out", "walk/../../../etc/x.mp4"),
    key("with an empty part", "walk//etc/x.mp4"),
    key("with a dot for a part", "walk/./x.mp4"),
    key("longer than a file name", f"walk/{'ü' * 150}.mp4"),
    key("below a file", "walk/0.mp4/x.mp4"),
    Fault(
        "another archive than the first time",
        "replaced in the bucket, no checksum known",
        Archive,
        replaced,
        ("another file than expected", "set.zip.sha256 to accept"),
    ),
    Fault(
        "another archive than sha256 says",
        "sha256 of the configuration",
        Archive,
        setting(sha256="0" * 64),
        ("another file than expected", "correct sha256"),
    ),
]
test_fault = table.test_of(FAULTS)
