"""A stand-in for TAO's `action_recognition` of the toolkit in $TOOLKIT, as the workflow sees it.

It takes that toolkit's arguments and spec and nothing else, leaves its files and prints its words,
and knows the class of a video from its name, but for one that it always gets wrong. $FAULT has it
misbehave as TAO is known to.
"""

import argparse
import csv
import json
import os
import signal
import sys
import zipfile
from pathlib import Path

import yaml

TOOLKIT = os.environ["TOOLKIT"]
FAULT = os.environ.get("FAULT", "")
VERSION = tuple(int(part) for part in TOOLKIT.split("."))
OLD, FIVE = VERSION < (5,), (5,) <= VERSION < (5, 5)
STARS = "*" * 31


def parse():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("task", choices=["train", "evaluate", "inference", "export"])
    parser.add_argument("-e", required=True, dest="spec", type=Path)
    if OLD:
        parser.add_argument("-k", required=True, dest="key")
        parser.add_argument("-r", dest="results")
    given = parser.parse_args()
    if not given.spec.is_absolute() or given.spec.suffix != ".yaml":
        sys.exit("the spec is looked up in the package")
    return given


def leaves(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict) and name != "label_map":
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def check(spec, task):
    """Refuse what the schema of the toolkit does not know."""
    if OLD:
        flat = {"evaluate": {"test_dataset_dir", "video_eval_mode"}, "export": {"output_file"}}
        flat |= {"inference": {"inference_dataset_dir", "video_inf_mode"}, "train": {"output_dir"}}
        allowed = flat[task] | {"model", "batch_size", "encryption_key", "gpu_ids"}
        unknown = [key for key in spec if key not in allowed and not key.endswith("_config")]
        unknown += [key for key in leaves(spec) if key.endswith((".seed", ".num_epochs"))]
    else:
        with Path(__file__).with_name("keys.tsv").open() as file:
            rows = csv.DictReader(file, delimiter="\t")
            known = {row["key"] for row in rows if row[TOOLKIT] == "x"}
        unknown = sorted(set(leaves(spec)) - known)
    if unknown:
        sys.exit(f"Key '{unknown[0]}' not in 'ExperimentConfig'")


class Status:
    """status.json, which old toolkits do not write, and which ends with SUCCESS in 5.0 to 5.3."""

    def __init__(self, folder):
        self.path = folder / "status.json"
        self.kpi = {}

    def write(self, message, status="RUNNING", **more):
        self.kpi = more.pop("kpi", self.kpi)
        if not OLD:
            record = {**more, "status": status, "message": message, "kpi": self.kpi}
            with self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")

    def finish(self, task):
        if FIVE:
            name = {"train": "Training", "evaluate": "Evaluation"}.get(task, task.capitalize())
            self.write(f"{name} finished successfully.", "SUCCESS")
        else:
            self.write(f"{task.capitalize()} finished successfully.")


def checkpoint(folder, epoch, loss):
    name = f"model_epoch_{epoch:03d}_step_{8 * (epoch + 1):05d}.pth"
    if OLD:
        name = f"ar_model_epoch={epoch}-val_loss={loss:.2f}.tlt"
    elif FIVE:
        name = f"ar_model_epoch={epoch:03d}.tlt"
    elif VERSION < (6,):
        name = f"model_epoch_{epoch:03d}.pth"
    with zipfile.ZipFile(folder / name, "w") as file:
        file.writestr("epoch", str(epoch))
    if not OLD and not FIVE:
        latest = folder / "ar_model_latest.pth"
        latest.unlink(missing_ok=True)
        latest.symlink_to(name)


def train(spec, folder, status):
    epochs = spec["train_config"]["epochs"] if OLD else spec["train"]["num_epochs"]
    start = 0
    if FIVE and (resume := spec["train"]["resume_training_checkpoint_path"]):
        start = int(zipfile.ZipFile(resume).read("epoch")) + 1
        status.write(f"Resuming training from checkpoint: {resume}")
    if not OLD and not FIVE:
        found = [path.resolve() for path in folder.glob("*_latest.pth")]
        start = int(zipfile.ZipFile(found[0]).read("epoch")) + 1 if found else 0
    for epoch in range(start, epochs):
        loss = 0.5 if epoch == 1 else 0.75  # the second epoch is the best
        both = {"val_loss": loss, "val_acc": 1 - loss}
        tell = {"epoch": epoch, "step": 8 * (epoch + 1)}
        if FIVE:
            tell = {"epoch": epoch + 1}
            both |= {"train_loss": 1.0, "train_acc": 0.25}
        if FAULT != "no last checkpoint" or epoch + 1 < epochs:
            checkpoint(folder, epoch, loss)
        status.write("Training loop in progress", kpi=both, time_per_epoch="0:00:01", **tell)
        if not FIVE:
            status.write("Train metrics generated.", kpi={"train_loss": 1.0, "train_acc": 0.25})
        if FAULT == "killed" and epoch == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def guess(video, labels):
    """Return the class in a video's path, but for the first class's video that ends in wrong."""
    right = next(label for label in labels if f"/{label}" in f"/{video.parent.name}/{video.name}")
    return (
        next(label for label in labels if label != right) if video.name[-5:] == "wrong" else right
    )


def evaluate(folder, labels, status):
    videos = [video for cls in folder.iterdir() for video in cls.iterdir()]
    right = [video.parent.name == guess(video, labels) for video in videos]
    share = round(100 * sum(right) / len(right), 3)
    table = f"{STARS}\n{labels[0]:<14}{share:.4}\n{STARS}\n"
    table += f"Total accuracy: {share}\nAverage class accuracy: {share}\n"
    bar = "100%|##| 2/2 [00:01<00:00, 1.93it/s]"
    print(bar + (table.replace(f"{STARS}\n", STARS, 1) if not OLD and not FIVE else f"\n{table}"))
    status.write("Test metrics generated.", kpi={"accuracy": share, "m_accuracy": share})


def infer(folder, labels):
    lines = [f"{video} : {[guess(video, labels)]}" for video in folder.iterdir()]
    bar = "100%|##| 2/2 [00:01<00:00, 1.93it/s]"
    mangled = not OLD and not FIVE
    sys.stdout.write(bar + ("\r" if mangled else "\n").join(["", *lines][mangled:]) + "\n")


def main():
    given = parse()
    spec = yaml.safe_load(given.spec.read_text())
    check(spec, given.task)
    folder = Path(given.results or ".") if OLD else Path(spec["results_dir"]) / given.task
    folder.mkdir(parents=True, exist_ok=True)
    status = Status(folder)
    if FAULT == "silent" and given.task != "train":
        print("RuntimeError: CUDA error: out of memory")
        return
    own = spec if OLD else spec[given.task]
    labels = list(spec["dataset_config" if OLD else "dataset"]["label_map"])
    if given.task == "train":
        train(spec, folder, status)
    elif not Path(own["model" if OLD else "checkpoint"]).is_file():
        sys.exit("no such checkpoint")
    if given.task == "evaluate":
        evaluate(Path(own["test_dataset_dir"]), labels, status)
    if given.task == "inference":
        infer(Path(own["inference_dataset_dir"]), labels)
    if given.task == "export":
        target = Path(own["output_file" if OLD else "onnx_file"])
        assert not target.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"exported with " + (given.key.encode() if OLD else b"no key"))
    status.finish(given.task)


main()
