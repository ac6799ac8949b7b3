"""Check the configuration, and name what the rules share."""

import os
import shlex
from functools import cache, partial
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from actionrec import __version__, runners
from actionrec.config import load, params, paths, provenance, queries
from actionrec.config.files import command_line_options
from actionrec.deploy import chunks, from_spec, package_checks, video_inputs
from actionrec.errors import CONFIGURATION, InputError
from actionrec.experiments import successive_halving
from actionrec.experiments.spec_checks import check_specs
from actionrec.frames import staleness
from actionrec.runners import slurm
from actionrec.sources import counts, user_files
from actionrec.spec import relevance, render, schema, toolkits
from actionrec.utils import pages
from actionrec.utils.chunks import all_chunks, chunks_of_classes, number_of_chunks, parse_chunk
from actionrec.weights import encryption


def explained(function, *arguments):
    """Call a function; let bad input end Snakemake with its message alone."""
    try:
        return function(*arguments)
    except InputError as error:
        raise WorkflowError(str(error)) from None


# For the commands in messages, also in those of the jobs.
os.environ[CONFIGURATION] = shlex.join(
    command_line_options(internals.command_line_configs(workflow))
)
CONFIG_FILES = ", ".join(map(str, internals.config_files(workflow))) or "config"
complete, specs = explained(load.checked, config, internals.config_files(workflow))
BUDGETS = successive_halving.of_experiments(config["experiments"])  # still with their sweeps
config.update(complete)
validate(config, schema="../schemas/config.schema.json")
explained(check_specs, specs, BUDGETS, CONFIG_FILES)
SPEC_SETTINGS = {name: relevance.settings(spec) for name, spec in specs.items()}
TOOLKIT = config["tao"]["toolkit"]


pathvars:
    dataset=config["dataset"]["name"],
    tables="<results>/<dataset>/tables",
    experiments="<results>/<dataset>/experiments",
    run="<experiments>/{exp}/split{k}",
    pretrained="<resources>/pretrained/<dataset>",
    logs="logs/<dataset>",
    benchmarks="<logs>/benchmarks",


RESOURCES, TABLES, EXPERIMENTS, PRETRAINED, BENCHMARKS, PAGE = (
    Path(internals.expand(workflow, path))
    for path in (
        "<resources>/<dataset>",
        "<tables>",
        "<experiments>",
        "<pretrained>",
        "<benchmarks>",
        "<results>/<dataset>/dataset.html",
    )
)
CLASSES = config["dataset"]["classes"]
SOURCE = config["dataset"]["source"]
LISTED = queries.lists_segments(config["dataset"])
ARCHIVES = queries.archives(config)
ARCHIVE_ROLES = {a["file"]: role for role, a in ARCHIVES.items() if "file" in a}
SPLITS = dict(config["splits"])
LINKS = SPLITS.pop("links")  # decides how a split lies on disk, not what it is
ENGINE = runners.version(config["tao"], f"actionrec {__version__}")
MODEL = toolkits.model_file(TOOLKIT)
WEIGHTS = Path(MODEL).suffix
EXPORTED = toolkits.exported_file(TOOLKIT)
# Classes that are made in chunks, and in how many of them.
VIDEOS = counts.videos_of_classes(config)
LARGE = chunks_of_classes(VIDEOS, config["frames"]["chunk"])
THREADS = counts.threads_of_classes(VIDEOS)


of_every_run = partial(paths.of_every_run, config)
RECORDS = paths.settings_records(config)


def frame_tables(cls):
    """Return the table of a class's frames, or those of its chunks."""
    if cls not in LARGE:
        return [TABLES / f"frames/{cls}.tsv"]
    return [TABLES / f"chunks/{cls}/{chunk}.tsv" for chunk in all_chunks(LARGE[cls])]


def threads_of_class(wildcards):
    """Return the threads of the job that makes the frames of a class."""
    return THREADS[wildcards.cls]


def ask(question, *names, **known):
    """Return a function that asks the configuration a question about the wildcards named."""
    return lambda wildcards: question(config, *map(wildcards.get, names), **known)


def ask_spec(question):
    """Return a function that asks the spec of {exp} a question about its classes."""
    return lambda wildcards: question(specs[wildcards.exp], queries.classes(config, wildcards.exp))


def growing(amount):
    """Return a resources function: so much at the first attempt, twice as much at the second."""
    return lambda wildcards, attempt: amount * attempt


def several_machines(task):
    """Return the resources functions of a task that may run on several machines."""
    names = "gres", "mpi", "tasks", "tasks_per_gpu"
    asked = {name: ask(queries.job_resource, "exp", task=task, name=name) for name in names}
    return {"nodes": lambda wildcards: machines(wildcards.exp, task), **asked}


def machines(exp, task):
    """Return on how many machines a task runs; refuse several where no Slurm will start them."""
    number = queries.machines(config, exp, task)
    if number > 1 and runs_without_slurm():
        key = f"spec or experiments.{exp}.spec: {task}.num_nodes"
        raise slurm.no_job(number, f"{CONFIG_FILES}, {key}")
    return number


@cache
def runs_without_slurm():
    """Tell whether it is certain that the jobs of this plan do not go to Slurm."""
    submission = internals.submission(workflow)
    return submission is not None and slurm.is_out_of_reach(*submission)


@cache
def warn(message):
    """Warn, once in a plan."""
    logger.warning(message)


def warned(function, output):
    """Return an input function that warns of its error where Snakemake passes over it.

    That is where the output of the rule is there, and taken as it is.
    """

    def get(wildcards):
        try:
            return function(wildcards)
        except InputError as error:
            if (TABLES / output.replace("{cls}", wildcards.get("cls", ""))).exists():
                warn(f"What is there is used, as its source cannot be read: {error}")
            raise

    return get


def as_written(value):
    """Return a params function of a text of the user's: its braces are no wildcards."""
    return lambda wildcards: value


@cache
def remake(output, why):
    """Let the plan at hand remake an output; a dry run shows it, and nothing on disk records it."""
    logger.info(f"{output} will be remade: {why}")
    internals.remake(workflow, output)
