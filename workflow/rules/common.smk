import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

WORKFLOW = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
sys.path.insert(0, str(WORKFLOW / "scripts"))

from actionrec import __version__, encryption, flow_manifest, manifest, native, spec, sweeps
from actionrec import config as settings
from actionrec.errors import InputError


def explained(function, *arguments):
    """Call a function; let bad input end Snakemake with its message alone."""
    try:
        return function(*arguments)
    except InputError as error:
        raise WorkflowError(str(error)) from None


CONFIG_FILES = ", ".join(str(file) for file in workflow.configfiles) or "config"
explained(settings.check, config, WORKFLOW / "schemas" / "config.schema.yaml", CONFIG_FILES)
validate(config, schema="../schemas/config.schema.yaml")
config["experiments"] = sweeps.expand(config["experiments"], CONFIG_FILES)
for name in config["experiments"]:
    where = f"{CONFIG_FILES}, spec or experiments.{name}.spec or its sweep"
    experiment_spec = explained(spec.check_overrides, settings.overrides(config, name), where)
    if config["tao"]["runner"] == "native":
        explained(native.refuse_unknown, experiment_spec.model, where)

DATASET = config["dataset"]["name"]
CLASSES = config["dataset"]["classes"]
FROM_FOLDER = config["dataset"]["source"] == "folder"
SPLITS = settings.splits(config)
RUNS = list(settings.runs(config))
ENGINE = f"{config['tao']['runner']} {config['tao']['toolkit']} actionrec {__version__}"


wildcard_constraints:
    cls=settings.alternatives(CLASSES),
    exp=settings.alternatives(config["experiments"]),
    k="|".join(str(number) for number in SPLITS["numbers"]),
    task="|".join(spec.TASKS),


def of_every_run(artifact):
    """Return the path of an artifact in the folder of every experiment and split."""
    return [f"<results>/{exp}/split{k}/{artifact}" for exp, k in RUNS]


def growing(amount):
    """Return a resources function: so much at the first attempt, twice as much at the second."""

    def get(wildcards, attempt):
        return amount * attempt

    return get


def archive_path(role):
    """Return where the archive of videos or of split files lies."""
    if config["dataset"]["source"] == "demo":
        return f"<resources>/demo/archives/demo_{role}.rar"
    file = config["dataset"].get("archives", {}).get(role, {}).get("file", "none")
    return f"<resources>/<dataset>/archives/{file}"


def archive(key):
    """Return a params function that looks up `key` of the archive with the file {archive}.rar."""

    def get(wildcards):
        archives = config["dataset"].get("archives", {}).values()
        return next(a[key] for a in archives if a["file"] == f"{wildcards.archive}.rar")

    return get


def frame_manifests(wildcards):
    """Return the frame manifests of the experiment's classes, in the order of its labels."""
    labels = settings.classes(config, wildcards.exp)
    return [f"<results>/<dataset>/frames/{cls}.tsv" for cls in labels]


def flow_manifests(wildcards):
    """Return the flow manifests of the experiment's classes, if its network sees flow."""
    if not settings.needs_flow(config, wildcards.exp):
        return []
    labels = settings.classes(config, wildcards.exp)
    return [f"<results>/<dataset>/flow/{cls}.tsv" for cls in labels]


def videos_table(wildcards):
    """Return the table of a class's videos; force what disagrees with the trees on disk.

    Snakemake sees the small tables, not the trees they describe. A table whose tree was changed
    behind it is remade as with --forcerun: a dry run shows it, and nothing on disk records it.
    """
    resources, results = Path("resources", DATASET), Path("results", DATASET)
    table = results / "videos" / f"{wildcards.cls}.tsv"
    frames = results / "frames" / f"{wildcards.cls}.tsv"
    trees = resources / "videos" / wildcards.cls, resources / "frames" / wildcards.cls
    for stale, why in manifest.stale(trees[0], table, trees[1], frames).items():
        force(stale, why)
    return str(table)


def frames_of_flow(wildcards):
    """Return the frame manifest of a class; force its flow if that was changed on disk."""
    flow = Path("results", DATASET, "flow", f"{wildcards.cls}.tsv")
    if why := flow_manifest.stale(Path("resources", DATASET, "frames", wildcards.cls), flow):
        force(flow, why)
    return f"<results>/<dataset>/frames/{wildcards.cls}.tsv"


def force(output, why):
    """Let an output be remade by the plan at hand."""
    logger.info(f"{output} is to be remade: {why}")
    workflow.dag.forcefiles.add(str(output))


def split_files(wildcards):
    """Return the official split files of the experiment's classes, if they decide."""
    if SPLITS["method"] != "official":
        return []
    labels = settings.classes(config, wildcards.exp)
    return [f"<resources>/<dataset>/splits/{cls}_test_split{wildcards.k}.txt" for cls in labels]


def experiment(question):
    """Return a params function that asks `question(config, {exp})`."""

    def get(wildcards):
        return question(config, wildcards.exp)

    return get


def spec_keys(wildcards):
    """Return the user's TAO keys that the spec of {task} depends on."""
    return spec.relevant(settings.overrides(config, wildcards.exp), wildcards.task)


def pretrained_source(wildcards):
    """Return the file to take weights from: another experiment's model of the same split, or a path."""
    source = settings.pretrained(config, wildcards.exp)
    if "experiment" in source:
        return f"<results>/{source['experiment']}/split{wildcards.k}/model.pth"
    return source.get("path", [])


def pretrained_weights(wildcards):
    """Return the fetched weights of an experiment that starts from some."""
    if settings.pretrained(config, wildcards.exp):
        return f"<resources>/pretrained/{wildcards.exp}.split{wildcards.k}.pth"
    return []


def starting_weights(wildcards):
    """Return the weights to name in the spec of {task}: only a training starts from some."""
    return pretrained_weights(wildcards) if wildcards.task == "train" else []
