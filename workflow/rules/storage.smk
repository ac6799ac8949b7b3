"""Input functions for what is in an object store, which the plan asks once.

Snakemake's plugin retrieves it before the job, by the credentials and the endpoint that it was
given. The plan tells Snakemake what it has found; otherwise that would ask for each object again.
"""

from actionrec.config import addresses
from actionrec.sources import object_store

if internals.has_default_storage(workflow):
    raise WorkflowError(
        "The workflow keeps its folders on disks: large trees of frames are in no output that "
        "Snakemake could store.\n"
        "  found:   --default-storage-provider\n"
        "  fix:     leave it out; results go to a bucket by the key `tracking.publish`: "
        "docs/object-stores.md"
    )


def store_client(address, where):
    """Return an address as an input that the plugin retrieves, and the client that it made."""
    object_store.require_plugin(address, where)
    with object_store.explained(address, where):
        file = storage.s3(address)
    return file, internals.storage_client(file)


@cache
def stored_file(address, key):
    """Return a file in a store as an input; refuse one that cannot be read."""
    file, client = store_client(address, f"{CONFIG_FILES}, {key}")
    found = object_store.looked_up(client, address, f"{CONFIG_FILES}, {key}")
    internals.note_stored(workflow, file, found.modified, found.bytes)
    return file


@cache
def stored_objects(address, key):
    """Return the objects below an address; refuse one where nothing can be read."""
    _, client = store_client(address, f"{CONFIG_FILES}, {key}")
    found = object_store.listed(client, address, f"{CONFIG_FILES}, {key}")
    size = sum(item.bytes for item in found) / 1e6
    logger.info(f"In {address}: {len(found)} objects, {size:.1f} MB")
    return found


def stored_folder(address, key, objects):
    """Return a folder in a store as an input, of which the objects are known."""
    file, _ = store_client(address, f"{CONFIG_FILES}, {key}")
    modified = max(item.modified for item in objects)
    internals.note_stored(workflow, file, modified, sum(item.bytes for item in objects))
    return file


@cache
def stored_folders(root):
    """Return the objects below an address by folder."""
    return object_store.by_folder(stored_objects(root, "dataset.path"))


@cache
def objects_of_class(cls):
    """Return the address of a class and its objects; refuse one without videos."""
    root = config["dataset"]["path"].rstrip("/")
    where = f"{CONFIG_FILES}, dataset.path"
    return object_store.of_class(stored_folders(root), root, cls, where)


def stored_class(wildcards):
    """Return the folder of a class in a store."""
    address, objects = objects_of_class(wildcards.cls)
    return stored_folder(address, "dataset.path", objects)


def class_contents(wildcards):
    """Return a digest of the names and sizes of a class, as a removed object is not newer."""
    return object_store.digest(objects_of_class(wildcards.cls)[1])


@cache
def objects_of_list():
    """Return the address of a list's videos and the objects there; refuse one without videos."""
    root = config["dataset"]["videos"].rstrip("/")
    objects = stored_objects(root, "dataset.videos")
    object_store.require_videos(objects, root, f"{CONFIG_FILES}, dataset.videos")
    return root, objects


def stored_videos(wildcards):
    """Return the folder of a list's videos in a store."""
    address, objects = objects_of_list()
    return stored_folder(address, "dataset.videos", objects)


def videos_contents(wildcards):
    """Return a digest of the names and sizes of a list's videos."""
    return object_store.digest(objects_of_list()[1])


def stored_list(wildcards):
    """Return a list in a store; of one on a web server none, which the job downloads."""
    address = FETCHED_LISTS[wildcards.list]
    return stored_file(address, "dataset.path") if addresses.is_stored(address) else []


def fetched_videos(wildcards):
    """Return the table of the videos fetched for a list, if they are in a store."""
    if not addresses.is_stored(config["dataset"]["videos"]):
        return []
    table = TABLES / "fetched.tsv"
    if why := object_store.lost_files(RESOURCES / "videos", table):
        remake(table, why)
    return "<tables>/fetched.tsv"


def published(artifacts, folder=""):
    """Return artifacts of a folder as outputs in the store, files and packages alike."""
    return [storage.s3(f"{PUBLISHED}/{folder}{artifact}") for artifact in artifacts]


def if_published(artifacts):
    """Return an input function: artifacts to publish; refuse a bucket that is not there."""

    def get(wildcards):
        require_bucket()
        return artifacts

    return get


@cache
def require_bucket():
    """Refuse a bucket that is not there, or is not ours: the plugin would try to make it."""
    _, client = store_client(f"{PUBLISHED}/summary.csv", f"{CONFIG_FILES}, tracking.publish")
    object_store.require_bucket(client, PUBLISHED, f"{CONFIG_FILES}, tracking.publish")


def no_store(wildcards):
    """Return nothing; say that there is nowhere to publish to."""
    raise InputError(
        "No object store is named that results could be published to.",
        where=f"{CONFIG_FILES}, tracking.publish",
        fix="set it to s3://bucket/prefix: docs/object-stores.md",
    )
