rule download_archive:
    """Download one archive and verify its checksum, or link to one that is here."""
    output:
        perhaps_temporary("<resources>/<dataset>/archives/{archive}"),
    log:
        "<logs>/download_archive/{archive}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    resources:
        download=1,
    params:
        identity=archive_identity,
    message:
        "Downloading {wildcards.archive}"
    script:
        "../scripts/download_archive.py"


rule unpack_splits:
    """Unpack the official split files of the classes in use."""
    input:
        archive_path("splits"),
    output:
        collect("<resources>/<dataset>/splits/{cls}_test_split{k}.txt", cls=CLASSES, k=[1, 2, 3]),
    log:
        "<logs>/unpack_splits.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        classes=CLASSES,
        sha256=ARCHIVES.get("splits", {}).get("sha256"),
    script:
        "../scripts/unpack_splits.py"
