"""Read a list of videos or of segments."""

from actionrec.sources import table

FETCHED_LISTS = queries.fetched_lists(config)
LOCAL_LISTS = queries.local_lists(config, f"{RESOURCES}/lists")
LABELS = queries.local_labels(config, f"{RESOURCES}/lists")
LIST_VIDEOS = queries.local_videos(config, f"{RESOURCES}/videos")


rule list_table:
    """Read the user's list: the videos or segments of each class, and the part each is given."""
    input:
        warned(nameable(video_lists), f"videos/{CLASSES[0]}.tsv"),
        fetched=fetched_videos,
    output:
        tables=collect("<tables>/videos/{cls}.tsv", cls=CLASSES),
        parts=collect("<tables>/parts/{cls}.tsv", cls=CLASSES),
    log:
        "<logs>/list_table.log",
    localrule: True
    conda:
        "../../../envs/data.yaml"
    params:
        lists=LOCAL_LISTS,
        contents=contents_of_others(video_lists),
        labels=as_written(LABELS),
        classes=CLASSES,
        videos=as_written(LIST_VIDEOS),
        skip=lookup("dataset/skip", within=config),
        given=SPLITS["method"] == "given",
    script:
        "../../scripts/list_table.py"


if FETCHED_LISTS:

    rule fetch_list:
        """Fetch a list of videos from an object store or a web server."""
        input:
            warned(stored_list, f"videos/{CLASSES[0]}.tsv"),
        output:
            "<resources>/<dataset>/lists/{list}",
        log:
            "<logs>/fetch_list/{list}.log",
        wildcard_constraints:
            list=queries.alternatives(list(FETCHED_LISTS)),
        localrule: True
        conda:
            "../../../envs/data.yaml"
        resources:
            download=1,
        params:
            address=lambda wildcards: FETCHED_LISTS[wildcards.list],
        script:
            "../../scripts/fetch_list.py"


if addresses.is_stored(config["dataset"]["videos"]):

    rule fetch_videos:
        """Fetch the videos of a list from an object store: all that are below its prefix."""
        input:
            warned(stored_videos, "fetched.tsv"),
        output:
            "<tables>/fetched.tsv",
        log:
            "<logs>/fetch_videos.log",
        localrule: True
        conda:
            "../../../envs/data.yaml"
        resources:
            download=1,
        params:
            videos=f"{RESOURCES}/videos",
            contents=videos_contents,
        script:
            "../../scripts/fetch_videos.py"
