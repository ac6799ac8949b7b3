"""Where artifacts are: the paths that rules ask each other for.

Names in angle brackets are Snakemake's path variables; rules/common.smk gives them their values.
"""

from collections.abc import Iterable, Sequence
from pathlib import PurePath

from actionrec.config import queries
from actionrec.config.addresses import is_stored
from actionrec.config.queries import Config
from actionrec.spec import toolkits
from actionrec.utils.text import count

MANY = 5  # more files are not named one by one


def run(experiment: str, split: int | str) -> str:
    """Return the folder of an experiment on a split, as the path variable <run> has it."""
    return f"<experiments>/{experiment}/split{split}"


def of_every_run(config: Config, artifact: str) -> list[str]:
    """Return the path of an artifact in the folder of every experiment and split."""
    return [f"{run(experiment, split)}/{artifact}" for experiment, split in queries.runs(config)]


def models(config: Config, experiment: str) -> list[str]:
    """Return the model of an experiment on each split."""
    model = toolkits.model_file(config["tao"]["toolkit"])
    return [f"{run(experiment, split)}/{model}" for split in config["splits"]["numbers"]]


def settings_records(config: Config) -> list[str]:
    """Return the record of the settings that each experiment's results were made with."""
    return [f"<experiments>/{experiment}/settings.yaml" for experiment in config["experiments"]]


def frame_tables(config: Config, experiment: str) -> list[str]:
    """Return the tables of the frames of an experiment's classes, in the order of its labels."""
    return [f"<tables>/frames/{cls}.tsv" for cls in queries.classes(config, experiment)]


def flow_tables(config: Config, experiment: str) -> list[str]:
    """Return the tables of the flow of an experiment's classes, if its network sees flow."""
    if not queries.needs_flow(config, experiment):
        return []
    return [f"<tables>/flow/{cls}.tsv" for cls in queries.classes(config, experiment)]


def verified_classes(config: Config, experiment: str) -> list[str]:
    """Return the classes whose videos verify an export: its own, then those it leaves out."""
    own = queries.classes(config, experiment)
    return [*own, *queries.other_classes(config, experiment)]


def video_tables(config: Config, experiment: str) -> list[str]:
    """Return the tables of the videos that verify an export, as `verified_classes` has them."""
    return [f"<tables>/videos/{cls}.tsv" for cls in verified_classes(config, experiment)]


def crops_tables(config: Config, experiment: str) -> list[str]:
    """Return the tables of the crops of these classes, if their segments are cropped."""
    classes = verified_classes(config, experiment)
    return [table for cls in classes for table in crops_table(config, cls)]


def verifications(config: Config) -> list[str]:
    """Return the verification of each exported model, if they are verified."""
    verified = "verification.json" in queries.export_forms(config)
    return of_every_run(config, "export/verification.json") if verified else []


def new_predictions(config: Config) -> list[str]:
    """Return the predictions of new videos by each experiment and split that is to make them."""
    if not config["predict"]["videos"]:
        return []
    wanted = queries.predicting(config)
    return [
        f"{run(experiment, split)}/predicted/predictions.csv"
        for experiment, split in queries.runs(config)
        if experiment in wanted
    ]


def split_files(config: Config, experiment: str, split: int | str) -> list[str]:
    """Return the official split files of an experiment's classes, if they decide."""
    return _split_files(config, queries.classes(config, experiment), [split])


def all_split_files(config: Config) -> list[str]:
    """Return the official split files of the dataset, split by split, if they decide."""
    return _split_files(config, config["dataset"]["classes"], config["splits"]["numbers"])


def _split_files(config: Config, classes: Sequence[str], splits: Iterable[int | str]) -> list[str]:
    if config["splits"]["method"] != "official":
        return []
    folder = "<resources>/<dataset>/splits"
    return [f"{folder}/{cls}_test_split{split}.txt" for split in splits for cls in classes]


def part_tables(config: Config, experiment: str) -> list[str]:
    """Return the tables of the parts that a list gives the videos of an experiment's classes."""
    return _part_tables(config, queries.classes(config, experiment))


def all_part_tables(config: Config) -> list[str]:
    """Return the tables of the parts that a user's list gives the videos of the dataset."""
    return _part_tables(config, config["dataset"]["classes"])


def group_tables(config: Config) -> list[str]:
    """Return the tables of the groups that a user's list gives the videos of the dataset."""
    listed = config["dataset"]["source"] == "table"
    return [f"<tables>/parts/{cls}.tsv" for cls in config["dataset"]["classes"]] if listed else []


def _part_tables(config: Config, classes: Sequence[str]) -> list[str]:
    given = config["splits"]["method"] == "given"
    return [f"<tables>/parts/{cls}.tsv" for cls in classes] if given else []


def crops_table(config: Config, cls: str) -> list[str]:
    """Return the table of a class's crops, if its segments are cropped out of videos."""
    return [f"<tables>/crops/{cls}.tsv"] if config["dataset"]["source"] == "shad" else []


def cropped_table(config: Config, cls: str) -> list[str]:
    """Return the table of a class's segments, if they are cropped out of videos."""
    return [f"<tables>/videos/{cls}.tsv"] if config["dataset"]["source"] == "shad" else []


def archive(config: Config, role: str) -> str:
    """Return where the archive of videos or of split files lies, or the folder of split files."""
    if config["dataset"]["source"] == "demo":
        return f"<resources>/<dataset>/archives/demo_{role}.rar"
    found = queries.archives(config).get(role, {})
    return found.get("folder") or f"<resources>/<dataset>/archives/{found.get('file')}"


def published_of_run(config: Config, etlt: bool) -> list[str]:
    """Return what is published of an experiment on a split, below <run>."""
    model, exported = (
        of_toolkit(config["tao"]["toolkit"])
        for of_toolkit in (toolkits.model_file, toolkits.exported_file)
    )
    tables = ["model.json", "history.csv", "metrics.json", "predictions.csv", "split.tsv"]
    export = [exported, "labels.txt", *queries.export_forms(config)]
    if etlt and "model.etlt" not in export:
        export.append("model.etlt")
    return [model, *tables, *(f"export/{name}" for name in export)]


def published_of_dataset(config: Config) -> list[str]:
    """Return what is published of all experiments, below <results>/<dataset>."""
    pages = ["dataset.json", "dataset.html", "report.json", "report.html"]
    settings = [f"experiments/{experiment}/settings.yaml" for experiment in config["experiments"]]
    return ["summary.csv", "comparisons.csv", *pages, *settings]


def weights(config: Config, experiment: str, split: int | str) -> list[str]:
    """Return the fetched weights of an experiment, a file for each stream that starts from some."""
    suffix = PurePath(toolkits.model_file(config["tao"]["toolkit"])).suffix
    start = f"<pretrained>/{experiment}.split{split}"
    return [f"{start}.{stream}{suffix}" for stream in queries.pretrained(config, experiment)]


def starting_weights(config: Config, experiment: str, split: str, task: str) -> list[str]:
    """Return the weights to name in the spec of a task: only a training starts from some."""
    return weights(config, experiment, split) if task == "train" else []


def weights_source(config: Config, experiment: str, split: int | str, stream: str) -> list[str]:
    """Return the file that a stream's weights are taken from, unless it is an address.

    It is a user's own, one of NGC's, or the model of another experiment on the same split.
    """
    source = queries.pretrained(config, experiment)[stream]
    if "experiment" in source:
        model = toolkits.model_file(config["tao"]["toolkit"])
        return [f"{run(source['experiment'], split)}/{model}"]
    if "ngc" in source:
        name, _, version = source["ngc"].partition(":")
        return [f"<resources>/pretrained/ngc/{name}/{version}/{source['file']}"]
    return [source["path"]] if "path" in source else []


def outcome(targets: Sequence[str], folder: PurePath) -> str:
    """Return in words where to look after a run for these files; `folder` holds the results."""
    if stored := [target for target in targets if is_stored(target)]:
        return f"The object store has {count(len(stored), 'result')}, such as {stored[0]}"
    pages = [target for target in targets if target.endswith(".html")]
    if pages:
        return f"Open {' or '.join(pages)} in a browser; all results are in {folder}"
    if len(targets) > MANY:
        return f"Made {count(len(targets), 'file')} in {folder}"
    return f"Made {', '.join(targets)}" if targets else ""
