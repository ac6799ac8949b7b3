"""What each wildcard may be.

Included after all rules: Snakemake 9.27 constrains an output when it reads it, before it replaces
path variables, and so misses the wildcards of <run>. Stated here, the constraints hold for all.
"""


wildcard_constraints:
    archive=queries.alternatives(list(ARCHIVE_ROLES)),
    cls=queries.alternatives(CLASSES),
    exp=queries.alternatives(config["experiments"]),
    k="|".join(str(number) for number in SPLITS["numbers"]),
    task="|".join(toolkits.TASKS),
    stream="|".join(schema.STREAMS),
