"""Input functions: what jobs read, what is refused in the plan, and what the disk says to remake."""


include: "storage.smk"
include: "staleness.smk"


def nameable(question):
    """Return a question for files of the user's without those that Snakemake cannot name."""
    return lambda wildcards: list(filter(internals.can_name, question(wildcards)))


def contents_of_others(question):
    """Return a params function: digests of the files that `nameable` leaves out, to see changes."""

    def get(wildcards):
        others = [file for file in question(wildcards) if not internals.can_name(file)]
        return user_files.digests(others)

    return get


def container_images(wildcards):
    """Return the image files that the runner needs; one that was pulled again changes no result."""
    return [ancient(file) for file in runners.images(config["tao"])]


def data_for(output):
    """Return an input function: the split as TAO reads it, which is no reason to remake `output`.

    Only for an output that is there: when an ancient input is remade, Snakemake 9.27 forgets all
    other reasons to run a job, that its output is missing among them.
    """

    def get(wildcards):
        made = (EXPERIMENTS / wildcards.exp / f"split{wildcards.k}" / output).exists()
        return ancient("<run>/data") if made else "<run>/data"

    return get


def page_before_split(wildcards):
    """Return the page of the dataset, which shows bad videos before a split is refused for them.

    The page only comes first; it is no reason to divide videos again. So a split waits for the
    page while that is not there or its videos have changed, and takes it as it is otherwise.
    """
    page, split = "<results>/<dataset>/dataset.html", f"split{wildcards.k}/split.tsv"
    made = PAGE.exists() and (EXPERIMENTS / wildcards.exp / split).exists()
    if made and not any(map(stale_tables, queries.classes(config, wildcards.exp))):
        return before_update(ancient(page))
    return page


def own_archive(wildcards):
    """Return an archive in a store; refuse one of the user's that is not there nor yet unpacked."""
    role = ARCHIVE_ROLES[wildcards.archive]
    if addresses.is_stored(path := config["dataset"]["archives"][role]["path"]):
        return stored_file(path, f"dataset.archives.{role}.path")
    user_files.require_archive(config["dataset"], role, TABLES / "videos", RESOURCES / "splits")
    return []


def class_folder(wildcards):
    """Return no file, so that videos are compared by content; refuse a class without a folder."""
    folder.require_class(Path(config["dataset"]["path"], wildcards.cls))
    return []


def video_lists(wildcards):
    """Return the user's lists of videos; refuse one that is not there."""
    files = [*LOCAL_LISTS.values(), *([LABELS] if LABELS else [])]
    fetched = {f"{RESOURCES}/lists/{name}" for name in FETCHED_LISTS}
    own = LIST_VIDEOS if LIST_VIDEOS == config["dataset"]["videos"] else None
    table.require_inputs(
        (Path(file) for file in files if file not in fetched), Path(own) if own else None
    )
    return files


def weights_source(wildcards):
    """Return the file that {stream} takes weights from; refuse a user's that is not there."""
    exp, k, stream = wildcards.exp, wildcards.k, wildcards.stream
    source, fetched = queries.pretrained(config, exp)[stream], f"{exp}.split{k}.{stream}{WEIGHTS}"
    if addresses.is_stored(source.get("path")):
        return stored_file(source["path"], f"experiments.{exp}.pretrained")
    user_files.require_weights(source, f"experiments.{exp}.pretrained", PRETRAINED / fetched)
    if internals.can_name(source.get("path", "")):
        return paths.weights_source(config, exp, k, stream)
    return []


def unnamed_weights(wildcards):
    """Return the user's file that {stream} takes weights from, if Snakemake cannot name it."""
    file = queries.pretrained(config, wildcards.exp)[wildcards.stream].get("path", "")
    return [] if internals.can_name(file) else [file]


def splits_folder(wildcards):
    """Return the user's folder of the official split files, if they are in no archive."""
    folder = ARCHIVES.get("splits", {}).get("folder")
    return [folder] if folder else []


def splits_source(wildcards):
    """Return the archive or the folder of the official split files."""
    return (
        nameable(splits_folder)(wildcards)
        if splits_folder(wildcards)
        else [paths.archive(config, "splits")]
    )


def noticed_changes(wildcards):
    """Return no file; let the plan say which settings have changed, and remake an edited spec."""
    experiment_settings(wildcards.exp)
    specs, name = EXPERIMENTS / wildcards.exp / f"split{wildcards.k}/specs", wildcards.get("task")
    spec = specs / f"{name or 'trial'}.yaml"
    if spec.exists() and render.is_edited(spec):
        remake(spec, "it was edited by hand; settings belong into the configuration")
    return []


@cache
def experiment_settings(exp):
    """Return what the results of an experiment depend on; let the plan say what has changed."""
    settings = provenance.settings(config, exp, SPEC_SETTINGS[exp])
    record = EXPERIMENTS / exp / "settings.yaml"
    if changes := provenance.changes(record, settings):
        logger.info("\n  ".join([f"The settings of {exp} are not those of {record}:", *changes]))
    return settings


def trial_outcome(wildcards):
    """Return the trial of {exp} and its rank among the trials of its sweep, if that has a budget.

    An experiment that is certain to be stopped need not be published again when its sweep grows.
    """
    exp, split = wildcards.exp, f"split{wildcards.k}"
    if exp not in BUDGETS:
        return {}
    run, ranking = f"<experiments>/{exp}/{split}", f"{BUDGETS[exp].sweep}/{split}/trials.csv"
    trials = {name: EXPERIMENTS / name / split / "trial.json" for name in BUDGETS[exp].members}
    stopped = successive_halving.stays_stopped(exp, BUDGETS[exp], EXPERIMENTS / ranking, trials)
    return {
        "trial": [f"{run}/trial{suffix}" for suffix in (WEIGHTS, ".json", ".csv")],
        "trial_spec": f"{run}/specs/trial.yaml",
        "ranking": ancient(f"<experiments>/{ranking}") if stopped else f"<experiments>/{ranking}",
    }


@cache
def new_videos():
    """Return the videos to predict; found when a job of theirs is planned, as there may be many."""
    return video_inputs.find_videos([config["predict"]["videos"]])


@cache
def divided_new_videos(count):
    """Return the videos to predict, with their states, by each of `count` chunks."""
    return chunks.divide(new_videos(), count)


def chunks_of_new_videos(wildcards):
    """Return the predictions of all chunks of new videos."""
    count = number_of_chunks(len(new_videos()), config["predict"]["chunk"])
    return [f"<run>/predicted/chunks/{chunk}.csv" for chunk in divided_new_videos(count)]


def chunk_of_new_videos(wildcards):
    """Return the videos of a chunk with their states.

    A job on another machine looks again, and may find other videos than the plan did.
    """
    return divided_new_videos(parse_chunk(wildcards.chunk).count).get(wildcards.chunk, {})
