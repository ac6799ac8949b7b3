import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

WORKFLOW = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
sys.path.insert(0, str(WORKFLOW / "scripts"))

from actionrec import __version__, native, runners
from actionrec.config import load, queries
from actionrec.experiments import successive_halving as budgets
from actionrec.frames import staleness
from actionrec.spec import native_keys as native_spec
from actionrec.spec import toolkits
from actionrec.spec.render import keys_of_task
from actionrec.spec.schema import STREAMS
from actionrec.spec.toolkits import TASKS
from actionrec.weights import encryption
from actionrec.errors import InputError


def explained(function, *arguments):
    """Call a function; let bad input end Snakemake with its message alone."""
    try:
        return function(*arguments)
    except InputError as error:
        raise WorkflowError(str(error)) from None


CONFIG_FILES = ", ".join(str(file) for file in workflow.configfiles) or "config"
complete, SPECS = explained(load.checked, config, workflow.configfiles)
BUDGETS = budgets.of_experiments(config["experiments"])  # as they are written, with their sweeps
config.update(complete)
validate(config, schema="../schemas/config.schema.json")
TOOLKIT = config["tao"]["toolkit"]
for name, spec in SPECS.items():
    where = f"{CONFIG_FILES}, experiments.{name} or what all share"
    explained(native.refuse_unknown, spec.model, where)
    if name in BUDGETS:
        explained(budgets.refuse_unfit, BUDGETS[name], spec, where)

DATASET = config["dataset"]["name"]
CLASSES = config["dataset"]["classes"]
SOURCE = config["dataset"]["source"]
VIDEO_RULES = SOURCE if SOURCE in ("folder", "table", "shad") else "archives"
LISTED = SOURCE in ("table", "shad")
ARCHIVES = queries.archives(config)
ARCHIVE_FILES = [a["file"] for a in ARCHIVES.values() if "file" in a]
SPLITS = queries.splits(config)
LINKS = SPLITS.pop("links")  # decides how a split lies on disk, not what it is
RUNS = list(queries.runs(config))
ENGINE = runners.version(config["tao"], f"actionrec {__version__}")
MODEL = toolkits.model_file(TOOLKIT)
WEIGHTS = Path(MODEL).suffix
EXPORTED = toolkits.exported_file(TOOLKIT)


wildcard_constraints:
    archive=queries.alternatives(ARCHIVE_FILES or ["none"]),
    cls=queries.alternatives(CLASSES),
    exp=queries.alternatives(config["experiments"]),
    k="|".join(str(number) for number in SPLITS["numbers"]),
    task="|".join(TASKS),
    stream="|".join(STREAMS),


def of_every_run(artifact):
    """Return the path of an artifact in the folder of every experiment and split."""
    return [f"<results>/{exp}/split{k}/{artifact}" for exp, k in RUNS]


def growing(amount):
    """Return a resources function: so much at the first attempt, twice as much at the second."""

    def get(wildcards, attempt):
        return amount * attempt

    return get


def archive_path(role):
    """Return where the archive of videos or of split files lies, or the folder of split files."""
    if config["dataset"]["source"] == "demo":
        return f"<resources>/demo/archives/demo_{role}.rar"
    found = ARCHIVES.get(role, {})
    return found.get("folder") or f"<resources>/<dataset>/archives/{found.get('file')}"


def archive_identity(wildcards):
    """Return what tells the archive {archive} from another: its checksum, or else its addresses.

    With a checksum, another mirror gives the same file and is no reason to download it again.
    """
    found = queries.archive_of_file(config, wildcards.archive)
    return found["sha256"] or found["urls"]


def perhaps_temporary(output):
    """Let Snakemake remove an output after its last use, if archives are not to be kept."""
    return output if config["dataset"]["keep_archives"] else temp(output)


def frame_manifests(wildcards):
    """Return the frame manifests of the experiment's classes, in the order of its labels."""
    labels = queries.classes(config, wildcards.exp)
    return [f"<results>/<dataset>/frames/{cls}.tsv" for cls in labels]


def flow_manifests(wildcards):
    """Return the flow manifests of the experiment's classes, if its network sees flow."""
    if not queries.needs_flow(config, wildcards.exp):
        return []
    labels = queries.classes(config, wildcards.exp)
    return [f"<results>/<dataset>/flow/{cls}.tsv" for cls in labels]


def existing(*paths):
    """Return those of a user's files that are there; the job says better than Snakemake what is not."""
    return [path for path in paths if path and Path(path).exists()]


def annotations(root):
    """Return SHAD's annotation texts, and the folders whose times tell of added and lost files."""
    folders = sorted(Path(root).glob("*-train/Annotations/*"))
    return [str(path) for path in [*folders, *Path(root).glob("*-train/Annotations/*/*-multi.txt")]]


def videos_table(wildcards):
    """Return the table of a class's videos; force what disagrees with the trees on disk.

    Snakemake sees the small tables, not the trees they describe. A table whose tree was changed
    behind it is remade as with --forcerun: a dry run shows it, and nothing on disk records it.
    """
    resources, results = Path("resources", DATASET), Path("results", DATASET)
    table = results / "videos" / f"{wildcards.cls}.tsv"
    frames = results / "frames" / f"{wildcards.cls}.tsv"
    trees = resources / "videos" / wildcards.cls, resources / "frames" / wildcards.cls
    if LISTED:
        stale = staleness.stale_segments(table, trees[1], frames)
    else:
        stale = staleness.stale_frames(trees[0], table, trees[1], frames)
    for output, why in stale.items():
        force(output, why)
    return str(table)


def frames_of_flow(wildcards):
    """Return the frame manifest of a class; force its flow if that was changed on disk."""
    flow = Path("results", DATASET, "flow", f"{wildcards.cls}.tsv")
    if why := staleness.stale_flow(Path("resources", DATASET, "frames", wildcards.cls), flow):
        force(flow, why)
    return f"<results>/<dataset>/frames/{wildcards.cls}.tsv"


def force(output, why):
    """Let an output be remade by the plan at hand."""
    logger.info(f"{output} is to be remade: {why}")
    workflow.dag.forcefiles.add(str(output))


def split_files(wildcards):
    """Return the official split files of the experiment's classes, if they decide."""
    labels = queries.classes(config, wildcards.exp)
    return official_files(labels, [wildcards.k])


def official_files(labels, numbers):
    """Return the official split files of classes, split by split, if they decide."""
    if SPLITS["method"] != "official":
        return []
    folder = "<resources>/<dataset>/splits"
    return [f"{folder}/{cls}_test_split{k}.txt" for k in numbers for cls in labels]


def given_files(labels):
    """Return the tables of the parts that a user's list gives classes, if they decide."""
    given = SPLITS["method"] == "given"
    return [f"<results>/<dataset>/parts/{cls}.tsv" for cls in labels] if given else []


def given_parts(wildcards):
    """Return the tables of given parts of the experiment's classes, if they decide."""
    return given_files(queries.classes(config, wildcards.exp))


def cropped_table(wildcards):
    """Return the table of a class's clips, if they are cropped out of videos."""
    return f"<results>/<dataset>/videos/{wildcards.cls}.tsv" if SOURCE == "shad" else []


def crops_table(wildcards):
    """Return the table of a class's crops, if its clips are cropped out of videos."""
    return f"<results>/<dataset>/crops/{wildcards.cls}.tsv" if SOURCE == "shad" else []


def experiment(question):
    """Return a params function that asks `question(config, {exp})`."""

    def get(wildcards):
        return question(config, wildcards.exp)

    return get


def gpus_of(task):
    """Return a resources function: how many GPUs a task of {exp} uses, by its spec."""

    def count(wildcards):
        return queries.gpus(config, wildcards.exp, task)

    return count


def spec_keys(wildcards):
    """Return the user's TAO keys that the spec of {task} depends on."""
    return keys_of_task(queries.overrides(config, wildcards.exp), wildcards.task)


def native_keys(wildcards):
    """Return the native engine's own settings that the spec of {task} depends on."""
    return native_spec.keys_of_task(queries.native(config, wildcards.exp), wildcards.task)


def pretrained_source(wildcards):
    """Return the file that {stream} takes weights from: a path, or a model of the same split."""
    source = queries.pretrained(config, wildcards.exp)[wildcards.stream]
    if "experiment" in source:
        return f"<results>/{source['experiment']}/split{wildcards.k}/{MODEL}"
    if "ngc" in source:
        model, _, version = source["ngc"].partition(":")
        return f"<resources>/pretrained/ngc/{model}/{version}/{source['file']}"
    return source.get("path", [])


def stream_source(wildcards):
    """Return where the config says that the weights of {stream} come from."""
    return queries.pretrained(config, wildcards.exp)[wildcards.stream]


def trial_outcome(wildcards):
    """Return the trial of {exp} and its rank among the trials of its sweep, if that has a budget.

    An experiment that is surely stopped need not be published again when its sweep grows.
    """
    exp, split = wildcards.exp, f"split{wildcards.k}"
    if exp not in BUDGETS:
        return {}
    run, ranking = f"<results>/{exp}/{split}", f"{BUDGETS[exp].sweep}/{split}/trials.csv"
    trials = {name: Path("results", name, split, "trial.json") for name in BUDGETS[exp].members}
    surely = budgets.stays_stopped(exp, BUDGETS[exp], Path("results", ranking), trials)
    return {
        "trial": [f"{run}/trial{suffix}" for suffix in (WEIGHTS, ".json", ".csv")],
        "trial_spec": f"{run}/specs/trial.yaml",
        "ranking": ancient(f"<results>/{ranking}") if surely else f"<results>/{ranking}",
    }


def preflight_keys(wildcards):
    """Return the sections of the config that say what the machine must have."""
    keys = {key: config[key] for key in ("dataset", "frames", "tao", "export")}
    return keys | {"frames": {**config["frames"], "size": queries.frame_size(config)}}


def warn_of_full_disk():
    """Say before the first job that the frames will hardly fit: it is an estimate, so go on."""
    if any(job.rule.name == "extract_frames" for job in workflow.dag.needrun_jobs()):
        from actionrec.experiments import preflight

        check = preflight.disk(preflight_keys(None))
        if check.fix:
            logger.warning(f"{check.name}: {check.state}; {check.fix}")


def refuse_unready_machine():
    """Stop a run before its first job if its containers could not run here.

    A cluster's jobs run elsewhere: there the first task tells what is missing.
    """
    if config["tao"]["runner"] not in runners.IN_CONTAINERS or not workflow.local_exec:
        return
    if any("gpu" in job.rule.resources for job in workflow.dag.needrun_jobs()):
        from actionrec.experiments import preflight

        ngc = bool(queries.ngc_checksums(config))
        preflight.require(preflight.look(preflight_keys(None), ngc))


def ngc_checksum(wildcards):
    """Return the SHA-256 that the config gives for a file of NGC, if it does."""
    target = f"{wildcards.model}:{wildcards.version}"
    return queries.ngc_checksums(config).get((target, wildcards.file))


def pretrained_weights(wildcards):
    """Return the fetched weights of an experiment, one file for each stream that starts from some."""
    streams = queries.pretrained(config, wildcards.exp)
    folder = "<resources>/pretrained"
    run = f"{wildcards.exp}.split{wildcards.k}"
    return [f"{folder}/{run}.{stream}{WEIGHTS}" for stream in streams]


def container_images(wildcards):
    """Return the image files that the runner needs; one that was pulled again changes no result."""
    return [ancient(file) for file in runners.images(config["tao"])]


def starting_weights(wildcards):
    """Return the weights to name in the spec of {task}: only a training starts from some."""
    return pretrained_weights(wildcards) if wildcards.task == "train" else []
