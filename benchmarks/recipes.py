"""Measure which settings recognise real videos best: cross-validation by person or scene.

Each SET is a folder <class>/<video file>. A file groups.csv in it (columns video, group) names what
must not be on both sides of a split, such as the person or the scene. The groups are dealt to
`--folds` folds; each fold is tested once by a network that was trained on the others, with the
fold's number as its seed. All recipes see the same folds and as many clips, so differences are
taken fold by fold. A training has a fixed number of steps, and the last epoch's model is tested:
no test video chooses anything.

    python benchmarks/recipes.py ../videos/yoga ../videos/fight --jobs 4
    python benchmarks/recipes.py ../videos/yoga --recipes base mixup --tao action_recognition
    python benchmarks/recipes.py ../videos/yoga ../videos/fight --recipes frames_8 transfer \\
        --sources fight:long --against frames_8

The results are kept in WORK/results.csv: a second run measures what is missing.
"""

import argparse
import csv
import gc
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

CLIPS_PER_VIDEO = 2
GOOD = "long"  # the recipe of weights that others start from
COLUMNS = ("set", "recipe", "fold", "videos", "one_clip", "ten_clips", "train", "seconds")
FASTER = {"precision": "bf16", "channels_last": True}  # on a GPU


@dataclass(frozen=True)
class Recipe:
    """Settings on top of the base: keys of the spec's sections model, train.optim and native.

    `start` is None for random weights, "same" for one file of random weights for both engines, or
    "other" for weights of another set. `longer` multiplies the number of steps.
    """

    model: dict[str, Any] = field(default_factory=dict)
    optim: dict[str, Any] = field(default_factory=dict)
    native: dict[str, Any] = field(default_factory=dict)
    start: str | None = None
    engine: str = "native"
    longer: float = 1.0


COSINE = {"lr_schedule": "cosine", "warmup_epochs": 2.0}
FIRST = ["stem", "layer1", "layer2"]
EARLY = {"stem": 0.1, "layer1": 0.1, "layer2": 0.3, "layer3": 0.3}
FLOW = {"model_type": "of", "of_seq_length": 16}
JOINT = {"model_type": "joint", "of_seq_length": 16}
PLAIN = {"precision": "tao", "channels_last": False}
EQUAL = {"model": {"rgb_seq_length": 8}, "start": "same", "native": PLAIN}

EIGHT = {"rgb_seq_length": 8}
SLOW = {"lr": 0.002}
RECIPES = {
    "base": Recipe(),  # rgb, 3D, ResNet-18, 16 frames, rate 0.01
    "ours_equal": Recipe(**EQUAL),
    "tao_equal": Recipe(**EQUAL, engine="tao"),
    # Three times as many steps.
    "long": Recipe(EIGHT, longer=3),
    "long_slow": Recipe(EIGHT, SLOW, longer=3),
    "long_slow_of": Recipe(FLOW, SLOW, longer=3),
    "long_slow_joint": Recipe(JOINT | EIGHT | {"of_seq_length": 8}, SLOW, longer=3),
    "long_slow_mixup": Recipe(EIGHT, SLOW, {"mixup_alpha": 0.2, "label_smoothing": 0.1}, longer=3),
    # Weights of another set.
    "transfer": Recipe(EIGHT, start="other"),
    "transfer_rates": Recipe(EIGHT, native={"lr_factors": EARLY}, start="other"),
    "transfer_freeze": Recipe(EIGHT, native={"freeze": FIRST}, start="other"),
    "long_transfer": Recipe(EIGHT, start="other", longer=3),
    # Networks and clips.
    "frames_8": Recipe(EIGHT),
    "frames_32": Recipe({"rgb_seq_length": 32}),
    "rgb_2d_3": Recipe({"input_type": "2d", "rgb_seq_length": 3}),
    "rgb_2d_16": Recipe({"input_type": "2d"}),
    "of_3d": Recipe(FLOW),
    "joint_3d": Recipe(JOINT),
    # Rates and the engine's settings.
    "rate_0.0005": Recipe(optim={"lr": 0.0005}),  # TAO's default
    "rate_0.002": Recipe(optim=SLOW),
    "cosine": Recipe(native=COSINE),
    "ema": Recipe(native={"ema_decay": 0.99}),
    "label_smoothing": Recipe(native={"label_smoothing": 0.1}),
    "mixup": Recipe(native={"mixup_alpha": 0.2}),
    "balanced": Recipe(native={"class_balanced": True}),
}


@dataclass(frozen=True)
class Set:
    """A labelled set: its videos as (class, name), the group of each, and where its frames are."""

    name: str
    videos: Sequence[tuple[str, str]]
    groups: Sequence[str]
    frames: Path
    flips: bool

    @property
    def classes(self) -> list[str]:
        """The classes, sorted."""
        return sorted({label for label, _ in self.videos})

    def folds(self, count: int) -> list[int]:
        """Return the fold of each video: groups stay together, classes are spread evenly.

        The largest groups are dealt first, each to the fold that has fewest of its classes.
        """
        members = defaultdict(list)
        for index, group in enumerate(self.groups):
            members[group].append(index)
        filled = [Counter[str]() for _ in range(count)]
        folds = [0] * len(self.videos)
        for _, videos in sorted(members.items(), key=lambda item: (-len(item[1]), item[0])):
            labels = Counter(self.videos[index][0] for index in videos)
            load = [
                (sum(have[label] * number for label, number in labels.items()), have.total())
                for have in filled
            ]
            fold = load.index(min(load))
            filled[fold] += labels
            for index in videos:
                folds[index] = fold
        return folds


def smaller_edge(size: int) -> int:
    """Return the smaller edge of the frames that an input of `size` pixels is cut out of."""
    return size * 8 // 7


def read_set(folder: Path, frames: Path, no_flips: Sequence[str]) -> Set:
    """Return the labelled set in a folder, whose frames are in `frames`."""
    files = sorted(f for f in folder.glob("*/*") if f.is_file() and not f.name.startswith("."))
    groups = {str(file.relative_to(folder)): str(file) for file in files}
    if (folder / "groups.csv").exists():
        with (folder / "groups.csv").open() as lines:
            groups |= {row["video"]: row["group"] for row in csv.DictReader(lines)}
    videos = [(file.parent.name, file.stem) for file in files]
    found = [groups[str(file.relative_to(folder))] for file in files]
    return Set(folder.name, videos, found, frames / folder.name, folder.name not in no_flips)


def extract(side: int, video: Path, target: Path) -> None:
    """Write a video's frames, with a smaller edge of `side`, and its flow, in TAO's layout."""
    if target.exists():
        return
    import cv2

    from actionrec.frames.decoder.video import open_video
    from actionrec.frames.encoders import ImageFormat, make_encoder
    from actionrec.frames.flow import FlowSettings, fixed, make_method

    encode = make_encoder(ImageFormat("jpg", "cv2", 95))
    method = make_method(FlowSettings("dis", "medium", "fixed"))
    part = target.with_name(f".{target.name}")
    for stream in ("rgb", "u", "v"):
        (part / stream).mkdir(parents=True)
    before = None
    with open_video(video) as opened:
        for number, shown in enumerate(opened.frames(), start=1):
            height, width = shown.image.shape[:2]
            scale = side / min(height, width)
            size = (max(side, round(width * scale)), max(side, round(height * scale)))
            frame = cv2.resize(shown.image, size, interpolation=cv2.INTER_AREA)
            (part / f"rgb/{number:06d}.jpg").write_bytes(encode(frame))
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            if before is not None:
                flow = fixed(method(before, grey))
                for axis, stream in enumerate("uv"):
                    image = np.ascontiguousarray(flow[..., axis])
                    cv2.imwrite(str(part / f"{stream}/{number - 1:06d}.jpg"), image)
            before = grey
    part.rename(target)


def link_fold(data: Set, fold: int | None, folds: Sequence[int], work: Path) -> Path:
    """Link the videos of a fold as test, the others as train; without a fold all are both."""
    root = work / "splits" / data.name / ("all" if fold is None else f"fold{fold}")
    for (label, name), own in zip(data.videos, folds, strict=True):
        parts = ("train", "test") if fold is None else (("test",) if own == fold else ("train",))
        for part in parts:
            link = root / part / label / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(data.frames / label / name)
    return root


@dataclass(frozen=True)
class Job:
    """One training and its tests; `fold` None trains on all videos, for others to start from."""

    data: Set
    recipe: str
    fold: int | None
    root: Path  # of its videos
    work: Path
    steps: int
    source: Path | None  # the weights to start from
    command: tuple[str, ...]  # of NVIDIA's engine
    on_gpu: bool
    batch: int
    size: int  # of the network's input, in pixels


def spec_of(job: Job) -> dict[str, Any]:
    """Return the spec of a job."""
    recipe = RECIPES[job.recipe]
    clips = sum(1 for _ in (job.root / "train").glob("*/*")) * CLIPS_PER_VIDEO
    epochs = max(1, round(job.steps * recipe.longer / math.ceil(clips / job.batch)))
    model = {
        "model_type": "rgb",
        "input_type": "3d",
        "backbone": "resnet_18",
        "rgb_seq_length": 16,
        "input_width": job.size,
        "input_height": job.size,
        **recipe.model,
    }
    if job.source:
        classes = 0 if recipe.start == "same" else _classes_of(job.source)
        model |= {
            "rgb_pretrained_model_path": str(job.source),
            "rgb_pretrained_num_classes": classes,
        }
    test = str(job.root / "test")
    deterministic = recipe.start == "same"
    spec: dict[str, Any] = {
        "results_dir": str(job.work),
        "model": model,
        "dataset": {
            "train_dataset_dir": str(job.root / "train"),
            "val_dataset_dir": test if recipe.engine == "tao" else None,
            "label_map": {label: number for number, label in enumerate(job.data.classes)},
            "batch_size": job.batch,
            "clips_per_video": CLIPS_PER_VIDEO,
            "workers": 4 if recipe.engine == "tao" else 0,
            "augmentation_config": {
                "crop_smaller_edge": smaller_edge(job.size),
                "val_center_crop": True,
                "horizontal_flip_prob": 0.5 if job.data.flips else 0.0,
                "rgb_input_mean": [0.5],
                "rgb_input_std": [0.5],
            },
        },
        "train": {
            "seed": job.fold or 0,
            "num_epochs": epochs,
            "checkpoint_interval": epochs,
            "validation_interval": epochs,
            "optim": {
                "lr": 0.01,
                "lr_steps": [epochs * 2 // 3, epochs * 5 // 6],
                **recipe.optim,
            },
            "cudnn": {"benchmark": not deterministic, "deterministic": deterministic},
        },
        "evaluate": {
            "checkpoint": str(job.work / "train/ar_model_latest.pth"),
            "test_dataset_dir": test,
        },
    }
    if recipe.engine == "native":
        spec["native"] = {**(FASTER if job.on_gpu else {}), **recipe.native}
    return spec


def _classes_of(checkpoint: Path) -> int:
    from actionrec.native.checkpoints.lightning import num_classes_of

    return num_classes_of(checkpoint)


def run(job: Job) -> dict[str, Any]:
    """Train and test; return the row of the results. Raises `RuntimeError` with the log's end."""
    start = time.monotonic()
    job.work.mkdir(parents=True, exist_ok=True)
    if job.source and not _wait_for(job):
        raise RuntimeError(f"{job.source} was not made")
    spec = job.work / "spec.yaml"
    spec.write_text(yaml.safe_dump(spec_of(job)))
    native = RECIPES[job.recipe].engine == "native"
    _run_task(job, "train", spec)
    row: dict[str, Any] = {
        "set": job.data.name,
        "recipe": job.recipe,
        "fold": "all" if job.fold is None else job.fold,
        "train": 100 * figures(job.work / "train", "train_acc")[-1] if native else "",
    }
    if job.fold is None:
        return row | {"seconds": round(time.monotonic() - start, 1)}
    _run_task(job, "evaluate", spec)
    row["videos"] = sum(1 for _ in (job.root / "test").glob("*/*"))
    row["one_clip"] = figures(job.work / "evaluate", "accuracy")[-1]
    if native:
        ten = job.work / "ten"
        _run_task(job, "evaluate", spec, "native.test_segments=10", f"results_dir={ten}")
        row["ten_clips"] = figures(ten / "evaluate", "accuracy")[-1]
    for checkpoint in (job.work / "train").glob("*.pth"):
        checkpoint.unlink()
    return row | {"seconds": round(time.monotonic() - start, 1)}


def _wait_for(job: Job) -> bool:
    """Wait until the weights to start from are there; make those that both engines start from."""
    source = job.source
    assert source is not None
    if RECIPES[job.recipe].start == "same" and not source.exists():
        values = spec_of(Job(**{**vars(job), "source": None}))
        make_start(values, len(job.data.classes), job.fold or 0, source)
    for _ in range(600):
        if source.exists():
            return True
        time.sleep(0.5)
    return False


def make_start(values: dict[str, Any], classes: int, seed: int, target: Path) -> None:
    """Write random weights of a spec's network, from which both engines can start."""
    import torch
    from omegaconf import OmegaConf

    from actionrec.native import networks
    from actionrec.spec.load import make_spec

    torch.manual_seed(seed)
    network = networks.build(OmegaConf.select(make_spec(values, "recipe"), "model"), classes)
    part = target.with_suffix(f".{os.getpid()}")
    torch.save({"state_dict": network.state_dict(prefix="model.")}, part)
    part.rename(target)


def _run_task(job: Job, task: str, spec: Path, *overrides: str) -> None:
    """Run a task: in this process, whose PyTorch is loaded once, or by NVIDIA's command."""
    log = job.work / f"{task}.log"
    arguments = [task, "-e", str(spec), *overrides]
    with log.open("a") as out:
        if RECIPES[job.recipe].engine == "tao":
            command = [*job.command, *arguments]
            code = subprocess.run(command, stdout=out, stderr=out).returncode
        else:
            from actionrec.native.__main__ import main as engine

            with redirect_stdout(out), redirect_stderr(out):
                code = engine(arguments)
            gc.collect()
            if job.on_gpu:
                import torch

                torch.cuda.empty_cache()  # other trainings share the GPU
    if code:
        raise RuntimeError(f"{task} failed: {log.read_text()[-1500:]}")


def figures(folder: Path, name: str) -> list[float]:
    """Return the values of a figure in a status.json, in their order.

    TAO's other lines repeat the figures before them.
    """
    lines = map(json.loads, (folder / "status.json").read_text().splitlines())
    new = [line["kpi"] for line in lines if line["message"].endswith("metrics generated.")]
    return [kpi[name] for kpi in new if name in kpi]


def choose_gpu(counter: Any, gpus: int) -> None:
    """Give this worker process one of the GPUs, and one thread: the processes are parallel."""
    with counter.get_lock():
        number, counter.value = counter.value, counter.value + 1
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % gpus)
    os.environ["OMP_NUM_THREADS"] = "1"


def plan(sets: Sequence[Set], options: argparse.Namespace) -> Iterator[Job]:
    """Yield the jobs, the most informative first."""
    command = tuple(options.tao.split()) if options.tao else ()
    folds = {data.name: data.folds(options.folds) for data in sets}

    def job(data: Set, recipe: str, fold: int | None, source: Path | None) -> Job:
        root = link_fold(data, fold, folds[data.name], options.work)
        work = work_of(options.work, data.name, recipe, fold)
        on_gpu, batch, size = options.gpus > 0, options.batch, options.size
        steps = options.steps
        return Job(data, recipe, fold, root, work, steps, source, command, on_gpu, batch, size)

    recipes = [r for r in options.recipes if command or RECIPES[r].engine != "tao"]
    sources = choose_sources(sets, options.sources)
    if any(RECIPES[recipe].start == "other" for recipe in recipes):
        for data, recipe in product(sets, RECIPES):
            if (data.name, recipe) in sources.values():
                yield job(data, recipe, None, None)
    for recipe, data, fold in product(recipes, sets, range(options.folds)):
        start = RECIPES[recipe].start
        if start == "other" and data.name in sources:
            folder = work_of(options.work, *sources[data.name], None)
            yield job(data, recipe, fold, folder / "train/ar_model_latest.pth")
        elif start != "other":
            same = options.work / f"start_{data.name}_{fold}.pth"
            yield job(data, recipe, fold, same if start == "same" else None)


def work_of(root: Path, name: str, recipe: str, fold: int | None) -> Path:
    """Return the folder of a training; `fold` None is that on all videos of the set."""
    return root / "runs" / name / f"{recipe}_{'all' if fold is None else fold}"


def choose_sources(
    sets: Sequence[Set], wanted: Sequence[tuple[str, str]] | None
) -> dict[str, tuple[str, str]]:
    """Return the set and the recipe whose weights a set starts from: the first that is another's.

    Without wanted ones all sets are sources, the largest first.
    """
    by_size = sorted(sets, key=lambda data: -len(data.videos))
    sources: dict[str, tuple[str, str]] = {}
    for data, source in product(sets, wanted or [(data.name, GOOD) for data in by_size]):
        if source[0] != data.name:
            sources.setdefault(data.name, source)
    return sources


def source_of(text: str) -> tuple[str, str]:
    """Return the set and the recipe that SET or SET:RECIPE names."""
    name, _, recipe = text.partition(":")
    if recipe and recipe not in RECIPES:
        raise argparse.ArgumentTypeError(f"no recipe {recipe!r}: choose from {', '.join(RECIPES)}")
    return name, recipe or GOOD


def report(rows: Sequence[dict[str, Any]], against: str) -> None:
    """Print a Markdown table: mean accuracy of the folds, and the difference to a recipe."""
    values: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        for column in ("one_clip", "ten_clips"):
            if row.get(column) not in ("", None):
                values[row["recipe"], row["set"], column][str(row["fold"])] = float(row[column])
    sets = sorted({row["set"] for row in rows})
    print(f"| recipe | {' | '.join(f'{s} | to {against} | ten clips' for s in sets)} |")
    print(f"|{' --- |' * (3 * len(sets) + 1)}")
    measured = {recipe for recipe, _, _ in values}
    for recipe in [name for name in RECIPES if name in measured]:
        cells = []
        for name in sets:
            one, base = values[recipe, name, "one_clip"], values[against, name, "one_clip"]
            ten = values[recipe, name, "ten_clips"]
            cells.append(mean_and_error(list(one.values())))
            both = [one[fold] - base[fold] for fold in one if fold in base]
            cells.append(mean_and_error(both, "+") if recipe != against else "")
            cells.append(mean_and_error([ten[f] - one[f] for f in ten if f in one], "+"))
        print(f"| {recipe} | {' | '.join(cells)} |")


def mean_and_error(values: Sequence[float], sign: str = "") -> str:
    """Return the mean and its standard error as text."""
    if not values:
        return ""
    mean = statistics.mean(values)
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.nan
    return f"{mean:{sign}.1f} ± {error:.1f}"


def read_sets(options: argparse.Namespace) -> list[Set]:
    """Return the sets of the command line, whose frames and flow are written."""
    side = smaller_edge(options.size)
    frames = options.work / f"frames_{side}"
    sets = [read_set(folder.resolve(), frames, options.no_flips) for folder in options.sets]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawn) as pool:
        for data, folder in zip(sets, options.sets, strict=True):
            for label in data.classes:
                (data.frames / label).mkdir(parents=True, exist_ok=True)
            files = [next((folder / label).glob(f"{name}.*")) for label, name in data.videos]
            targets = [data.frames / label / name for label, name in data.videos]
            list(pool.map(partial(extract, side), files, targets))
    return sets


def measure(jobs: Sequence[Job], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run jobs side by side; yield the rows of their results. Print why a job failed."""
    started = time.monotonic()
    spawn = multiprocessing.get_context("spawn")
    counter = spawn.Value("i", 0)
    with ProcessPoolExecutor(options.jobs, spawn, choose_gpu, (counter, options.gpus)) as pool:
        waiting: dict[Future[dict[str, Any]], Job] = {pool.submit(run, job): job for job in jobs}
        for future in as_completed(waiting):
            job = waiting[future]
            if time.monotonic() - started > 60 * options.minutes:
                for other in waiting:
                    other.cancel()
            if future.cancelled():
                continue
            if error := future.exception():
                print(f"{job.data.name} {job.recipe} {job.fold}: {error}", flush=True)
            else:
                yield future.result()


def main() -> None:
    """Parse the command line, measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=800, help="of a training")
    parser.add_argument("--batch", type=int, default=16, help="clips of a step")
    parser.add_argument("--size", type=int, default=112, help="of the network's input, in pixels")
    parser.add_argument("--no-flips", nargs="*", default=[], help="sets whose classes have sides")
    parser.add_argument(
        "--sources",
        nargs="+",
        type=source_of,
        metavar="SET[:RECIPE]",
        help=f"weights to start from: a set takes the first that is not its own (all, {GOOD})",
    )
    parser.add_argument("--against", choices=RECIPES, default="base", help="to compare with")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    parser.add_argument("--gpus", type=int, default=0, help="to deal the trainings to")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start nothing later")
    parser.add_argument("--work", type=Path, default=Path("recipes"))
    parser.add_argument("--tao", help="NVIDIA's action_recognition command")
    options = parser.parse_args()
    for name, _ in options.sources or ():
        if name not in [folder.name for folder in options.sets]:
            parser.error(f"argument --sources: {name!r} is not the name of a SET")
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    sets = read_sets(options)
    print(f"frames after {time.monotonic() - started:.0f} s", flush=True)
    results = options.work / "results.csv"
    rows = list(csv.DictReader(results.open())) if results.exists() else []
    done = {(row["set"], row["recipe"], row["fold"]) for row in rows}
    jobs = [
        job
        for job in plan(sets, options)
        if (job.data.name, job.recipe, str(job.fold)) not in done
        and not (job.fold is None and (job.work / "train/ar_model_latest.pth").exists())
    ]
    with results.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not rows:
            writer.writeheader()
        for row in measure(jobs, options):
            writer.writerow(row)
            file.flush()
            rows.append(row)
    print(f"{len(rows)} results after {time.monotonic() - started:.0f} s")
    report(rows, options.against)


if __name__ == "__main__":
    main()
