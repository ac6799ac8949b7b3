"""Extract the frames of one class."""

from pathlib import Path

from actionrec.frames.extraction import extract_class, extract_cuts
from actionrec.utils.rule_script import job

with job(snakemake):
    table, crops = Path(snakemake.input.table), snakemake.input.get("crops")
    frames, manifest = Path(snakemake.params.frames), Path(snakemake.output[0])
    options = {
        key: snakemake.params[key] for key in ("fmt", "size", "encoder", "quality", "tolerate")
    }
    options["workers"] = snakemake.threads
    if snakemake.params.videos:
        extract_class(Path(snakemake.params.videos), table, frames, manifest, **options)
    else:
        extract_cuts(table, Path(crops) if crops else None, frames, manifest, **options)
