"""Input functions that look whether the trees on disk are still what their tables say."""

@cache
def stale_tables(cls):
    """Return the tables of a class that disagree with the trees on disk, and why.

    Snakemake sees the small tables, not the trees they describe.
    """
    videos, frames = (RESOURCES / kind / cls for kind in ("videos", "frames"))
    find = staleness.stale_segments if LISTED else partial(staleness.stale_frames, videos)
    return find(TABLES / f"videos/{cls}.tsv", frames, frame_tables(cls))


@cache
def remake_stale_tables(cls):
    """Let the plan at hand remake the tables of a class that disagree with the trees on disk."""
    stale = stale_tables(cls)
    for line in staleness.as_lines(stale, frame_tables(cls)):
        logger.info(line)
    for output in stale:
        internals.remake(workflow, output)


def videos_table(wildcards):
    """Return the table of a class's videos; remake what disagrees with the trees on disk."""
    remake_stale_tables(wildcards.cls)
    return f"<tables>/videos/{wildcards.cls}.tsv"


def frames_of_flow(wildcards):
    """Return the table of a class's frames; remake its flow if that was changed on disk."""
    flow = TABLES / "flow" / f"{wildcards.cls}.tsv"
    if why := staleness.stale_flow(RESOURCES / "frames" / wildcards.cls, flow):
        remake(flow, why)
    return f"<tables>/frames/{wildcards.cls}.tsv"
