"""What is asked of an object store, and what is refused, on a real server of moto's."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from actionrec.config import addresses
from actionrec.errors import InputError
from actionrec.sources import object_store
from actionrec.sources.fetch import fetch_archive, fetch_list
from actionrec.sources.object_store import Stored
from actionrec.utils import checksums
from actionrec.utils.files import sha256
from faults.servers import answer, serving
from helpers import REPOSITORY
from helpers.buckets import BUCKET, SECRET_KEY, Store, store

WHERE = "config.yaml, dataset.path"


@pytest.fixture(scope="module")
def bucket():
    with store() as found:
        yield found


def refused(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_names_with_spaces_and_accents_are_listed_by_one_request(bucket: Store):
    bucket.put_texts({f"list/my set/Übung 1/{name}.mp4": "x" for name in ("a b", "ü", "c+d&e=f")})
    bucket.put_texts({"list/my set/Übung 1/": ""})  # as consoles make folders
    bucket.asked.clear()
    found = object_store.listed(bucket.client, f"s3://{BUCKET}/list/my set", WHERE)
    assert {item.key for item in found} == {
        f"Übung 1/{name}.mp4" for name in ("a b", "ü", "c+d&e=f")
    }
    assert [item.bytes for item in found] == [1, 1, 1]
    assert len(bucket.asked) == 1


AWS = f"""#!{sys.executable}
import os, sys
print(*sys.argv[1:], os.environ.get("AWS_SECRET_ACCESS_KEY"), sep="|")
"""


def pasted(said: str, folder: Path) -> list[str]:
    """Return what a message's command gives to `aws`, and the key that it gets, by a real shell."""
    folder.mkdir(exist_ok=True)
    (folder / "aws").write_text(AWS)
    (folder / "aws").chmod(0o755)
    line = said.rpartition("fix:")[2].rpartition(": ")[2]
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    ran = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, check=True)
    return ran.stdout.decode().strip().split("|")


@pytest.mark.parametrize(
    ("asked", "address", "command"),
    [
        ("listed", "s3://no-such-bucket/set", ["ls"]),
        ("looked_up", "s3://no-such-bucket/set/list.csv", ["ls"]),
        ("require_bucket", "s3://no-such-bucket/results", ["ls"]),
        ("listed", f"s3://{BUCKET}/no such 'set'", ["ls", f"s3://{BUCKET}/"]),
        ("looked_up", f"s3://{BUCKET}/my set/a.csv", ["ls", f"s3://{BUCKET}/my set/"]),
        ("looked_up", f"s3://{BUCKET}/a.csv", ["ls", f"s3://{BUCKET}/"]),
    ],
)
def test_the_command_of_a_message_works_as_it_is(bucket: Store, tmp_path, asked, address, command):
    said = refused(getattr(object_store, asked), bucket.client, address, WHERE)
    expected = ["--endpoint-url", bucket.address, "s3", *command, SECRET_KEY]
    assert pasted(said, tmp_path / "bin") == expected
    assert SECRET_KEY not in said


def test_amazons_own_store_needs_no_endpoint_and_aws_its_own_keys(monkeypatch):
    monkeypatch.delenv("SNAKEMAKE_STORAGE_S3_ACCESS_KEY", raising=False)
    monkeypatch.delenv("SNAKEMAKE_STORAGE_S3_SECRET_KEY", raising=False)
    for endpoint in ("https://s3.eu-west-1.amazonaws.com", "https://s3.amazonaws.com"):
        client = SimpleNamespace(meta=SimpleNamespace(endpoint_url=endpoint))
        assert object_store.command(client, "ls", "s3://b/") == "aws s3 ls s3://b/"


def test_more_objects_than_one_answer_holds_are_all_listed(bucket: Store, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    bucket.put_texts({f"pages/walk/{index}.mp4": "x" for index in range(5)})
    bucket.asked.clear()
    assert len(object_store.listed(bucket.client, f"s3://{BUCKET}/pages", WHERE)) == 5
    assert len(bucket.asked) == 3


def test_a_class_is_found_in_either_form_of_its_accents():
    objects = [Stored("U\u0308bung/a.mp4", 1, 0.0), Stored("run/b.mp4", 1, 0.0)]
    folders = object_store.by_folder(objects)
    address, found = object_store.of_class(folders, "s3://b", "\u00dcbung", WHERE)
    assert address == "s3://b/U\u0308bung"
    assert [item.key for item in found] == ["U\u0308bung/a.mp4"]


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("s3://", "names no bucket"),
        ("s3:///key", "names no bucket"),
        ("s3://bucket", "no file in it"),
        ("s3://bucket/../other/key", "empty part, `.` or `..`"),
        ("s3://bucket/a//b", "empty part, `.` or `..`"),
        ("s3://bucket/a?b", "another meaning"),
        ("s3://bucket/{a}", "another meaning"),
        ("s3://me:secret@bucket/key", "a user's name or a password"),
        ("gs://bucket/key", "cannot stand here"),
        ("https://host/key", "cannot stand here"),
    ],
)
def test_addresses_that_are_refused(address, problem):
    said = refused(addresses.check, address, WHERE, ("s3",))
    assert problem in said and WHERE in said and "secret" not in said.replace("secrets", "")


def test_addresses_that_are_taken():
    for path in ("/data/a", "~/a", "a:b", "s3://bucket/a b/Übung.csv", "s3://my.bucket-1/a"):
        addresses.check(path, WHERE, ("s3",))
    addresses.check("s3://bucket", WHERE, ("s3",), folder=True)
    addresses.check("https://host/list.csv", WHERE, addresses.WEB)
    assert addresses.parts("s3://bucket/a/b/") == ("bucket", "a/b")


def test_without_the_plugin_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = refused(object_store.require_plugin, "s3://b/k", WHERE)
    assert "-m pip install snakemake-storage-plugin-s3==" in said


def test_a_prefix_of_a_list_without_videos_is_refused():
    said = refused(object_store.require_videos, [Stored("a/notes.txt", 1, 0.0)], "s3://b/x", WHERE)
    assert "no videos at this address" in said and "s3://b/x/" in said


def test_an_archive_is_linked_to_and_its_checksum_recorded(tmp_path):
    retrieved, target = tmp_path / "retrieved.zip", tmp_path / "archives/set.zip"
    retrieved.write_text("first")
    fetch_archive({"sha256": sha256(retrieved)}, [str(retrieved)], target)
    assert target.samefile(retrieved), "it takes no more space"
    assert checksums.recorded(target) == sha256(retrieved)


def test_a_list_is_downloaded_from_a_web_server(tmp_path):
    rows = b"path,label\na.mp4,walk\n"
    with serving({"/all.csv": answer(rows, content_type="text/csv")}) as (address, _):
        fetch_list(f"{address}/all.csv", [], tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_bytes() == rows


def test_the_plugin_has_one_version():
    pinned = f"{object_store.PLUGIN}=={object_store.VERSION}"
    for file in ("Makefile", "pyproject.toml", "docs/object-stores.md"):
        assert pinned in (REPOSITORY / file).read_text(), file


def test_copies_that_are_lost_are_noticed(tmp_path):
    (tmp_path / "retrieved/x").mkdir(parents=True)
    (tmp_path / "retrieved/x/a.mp4").write_text("video")
    (tmp_path / "retrieved/notes.txt").write_text("text")
    videos, table = tmp_path / "videos", tmp_path / "fetched.tsv"
    object_store.take_tree(tmp_path / "retrieved", videos, table)
    assert [path.name for path in videos.rglob("*.*")] == ["a.mp4"]
    assert object_store.lost_files(videos, table) == ""
    (videos / "x/a.mp4").unlink()
    assert "x/a.mp4" in object_store.lost_files(videos, table)
