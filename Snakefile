"""Fine-tune NVIDIA TAO ActionRecognitionNet, from archives of videos to a deployable model."""

from snakemake.utils import min_version

min_version("9.25")


# A configuration named on the command line is the whole one: the demo's must not slip into it.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


pathvars:
    dataset=config["dataset"]["name"],
    benchmarks="<logs>/benchmarks",


resource_scopes:
    gpu="local",


include: "workflow/rules/common.smk"
include: "workflow/rules/download.smk"
include: f"workflow/rules/{VIDEO_RULES}.smk"
include: "workflow/rules/frames.smk"
include: "workflow/rules/splits.smk"
include: "workflow/rules/pretrained.smk"
include: "workflow/rules/specs.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/preflight.smk"
include: "workflow/rules/train.smk"


if BUDGETS:

    include: "workflow/rules/budgets.smk"


include: "workflow/rules/evaluate.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/summary.smk"


rule all:
    default_target: True
    input:
        rules.dataset.input,
        rules.summary.input,
        rules.export.input,
