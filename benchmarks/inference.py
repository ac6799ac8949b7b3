"""Measure inference in clips a second: PyTorch and ONNX Runtime, and a whole evaluation.

The network is ResNet18-3D at 224x224, in float32. First alone, on clips in memory, for batches of
several sizes, on the CPU and, where there is one, on the GPU. PyTorch computes as the engine does,
ONNX Runtime runs the engine's export. Then what `evaluate` does once it has started, from files
to scores, as a share of what the network alone does in the same turn, both with the layout and
the division among cores that scoring has and as PyTorch has it by default, and the whole command,
with one clip a video and with ten, of which it reads each frame once.

    python benchmarks/inference.py
    python benchmarks/inference.py --only-scoring --videos 480 --forms PNG "JPEG 95" H.264
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from actionrec.spec.load import make_spec

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the engine's command sets it
SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from omegaconf import DictConfig  # noqa: E402
from spread import spread  # noqa: E402
from throughput import (  # noqa: E402
    FORMS,
    LABELS,
    OURS,
    PNG,
    VIDEOS,
    draw_data,
    seconds_of_task,
)

from actionrec.native import batch_size, networks  # noqa: E402
from actionrec.native.data import transforms  # noqa: E402
from actionrec.native.data.datasets import (  # noqa: E402
    ClipSelection,
    EvalDataset,
    eval_dataloader,
)
from actionrec.native.data.frame_memory import FrameMemory  # noqa: E402
from actionrec.native.data.videos import Video, list_labelled_videos  # noqa: E402
from actionrec.native.export import example_inputs, write_onnx  # noqa: E402
from actionrec.native.predictor import score_videos  # noqa: E402
from actionrec.utils import malloc  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # where the engine scores
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def model_of(frames: int) -> dict:
    """Return the spec's model section."""
    return {
        "model_type": "rgb",
        "input_type": "3d",
        "backbone": "resnet_18",
        "rgb_seq_length": frames,
        "sample_strategy": "consecutive",
    }


def clips_per_second(predict: Callable[[], object], size: int, seconds: float) -> tuple[float, ...]:
    """Return the median, least and most of five measurements that take some seconds together."""
    for _ in range(3):
        predict()
    rates: list[float] = []
    while len(rates) < 5:
        start, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - start) < seconds / 5 or not count:
            predict()
            count += 1
        rates.append(count * size / spent)
    return statistics.median(rates), min(rates), max(rates)


def in_pytorch(
    network: torch.nn.Module, clips: np.ndarray | torch.Tensor, device: str
) -> Callable[[], object]:
    """Return a function that predicts clips on the device, and copies the logits to the host."""
    there = torch.as_tensor(clips).to(device)

    def predict() -> object:
        with torch.inference_mode():
            return network(there).cpu()

    return predict


def in_onnxruntime(path: Path, clips: np.ndarray, device: str) -> Callable[[], object]:
    """Return the same for an exported network."""
    session = onnxruntime.InferenceSession(path, providers=[PROVIDERS[device]])
    if session.get_providers()[0] != PROVIDERS[device]:
        sys.exit(f"ONNX Runtime has not taken {PROVIDERS[device]}.")
    binding = session.io_binding()
    value = onnxruntime.OrtValue.ortvalue_from_numpy(clips, device, 0)
    binding.bind_ortvalue_input("input_rgb", value)
    binding.bind_output("fc_pred")

    def predict() -> object:
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()

    return predict


def alone(frames: int, sizes: dict[str, list[int]], seconds: float, folder: Path) -> None:
    """Measure the network alone, and print a row for each way and batch size."""
    spec = make_spec({"model": model_of(frames)}, "benchmark")
    network = networks.build(spec.model, len(LABELS)).eval()
    path = folder / f"{frames}.onnx"
    write_onnx(network, example_inputs(spec.model, 3), path)
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    for device in devices:
        network.to(device)
        with_onnx = PROVIDERS[device] in onnxruntime.get_available_providers()
        for size in sizes[device]:
            clips = np.random.default_rng(0).standard_normal(
                (size, *networks.input_shapes(spec.model)["rgb"]), np.float32
            )
            ways = {"PyTorch": lambda c=clips, d=device: in_pytorch(network, c, d)}
            if with_onnx:
                ways["ONNX Runtime"] = lambda c=clips, d=device: in_onnxruntime(path, c, d)
            for name, make in ways.items():
                median, least, most = clips_per_second(make(), size, seconds)
                spread = f"{median:.4g} ({least:.4g}-{most:.4g})"
                print(f"| {frames} | {name}, {device} | {size} | {spread} |", flush=True)


def inputs(videos: list[Video], spec: DictConfig) -> torch.Tensor:
    """Return what the network sees of the videos' centres; on zeros a CPU would be quicker."""
    clips = EvalDataset(videos, spec, FrameMemory(0))
    (batch,) = eval_dataloader(clips, [list(range(len(videos)))], num_workers=0)
    return transforms.normalise(batch, spec)


def by_cores(network: torch.nn.Module, clips: torch.Tensor, cores: int) -> Callable[[], object]:
    """Return a function that has each of so many cores predict the clips four times, alone."""
    predict = in_pytorch(network, clips, "cpu")
    pool = ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))
    return lambda: list(pool.map(lambda _: predict(), range(4 * cores)))


def turn(frames: int, data: Path) -> tuple[int, float, float, float]:
    """Score one clip of each video, then predict as many at a time by the network alone.

    Returns how many that are, the clips a second of scoring, their share of what the network does
    with the memory format and the division among cores of scoring, and their share of what it does
    with PyTorch's defaults. It needs a process of its own, as `evaluate` has.
    """
    spec = make_spec({"model": model_of(frames), "dataset": {"label_map": LABELS}}, "benchmark")
    network, plain = (networks.build(spec.model, len(LABELS)).eval().to(DEVICE) for _ in range(2))
    videos = list_labelled_videos(data, LABELS, "benchmark")
    start = time.perf_counter()
    score_videos(network, videos, spec, ClipSelection(), gpu_ids=[0])
    seconds = time.perf_counter() - start
    rate = len(videos) / seconds
    plan = batch_size.plan_batches(network, spec.model, torch.device(DEVICE))
    size = min(plan.batch_size(frames), len(videos))
    clips = inputs(videos[:size], spec)
    usual = clips_per_second(in_pytorch(plain, clips.contiguous(), DEVICE), size, seconds)[0]
    if DEVICE == "cpu":
        predict = by_cores(network, clips, plan.parallel)
        count = 4 * plan.parallel * size
    else:
        predict, count = in_pytorch(network, clips, DEVICE), size
    return size, rate, rate / clips_per_second(predict, count, seconds)[0], rate / usual


def scoring(frames: int, data: Path, form: str, turns: int = 3) -> None:
    """Measure some turns, each in its process, and print their row."""
    own = {"max_workers": 1, "max_tasks_per_child": 1, "mp_context": get_context("spawn")}
    with ProcessPoolExecutor(**own) as pool:
        found = [pool.submit(turn, frames, data).result() for _ in range(turns)]
    sizes, rates, shares, usual = zip(*found, strict=True)
    parts = [spread(each, ".0%") for each in (shares, usual)]
    what = f"scoring {len(list(data.glob('*/*')))} videos from {form}, {DEVICE}"
    print(
        f"| {frames} | {what} | {min(sizes)} | {spread(rates, '.4g')}, "
        f"{parts[0]} of the network alone, {parts[1]} of it as PyTorch has it |",
        flush=True,
    )


def whole(frames: int, data: Path, folder: Path, segments: int) -> None:
    """Measure the command evaluate, and print its row."""
    spec = make_spec({"model": model_of(frames)}, "benchmark")
    checkpoint = folder / f"{frames}.pth"
    state = networks.build(spec.model, len(LABELS)).state_dict(prefix="model.")
    torch.save({"state_dict": state}, checkpoint)
    where = folder / f"evaluate_{frames}_{segments}.yaml"
    values = {
        "results_dir": str(where.with_suffix("")),
        "model": model_of(frames),
        "dataset": {"label_map": LABELS},
        "evaluate": {"checkpoint": str(checkpoint), "test_dataset_dir": str(data)},
        "native": {"test_segments": segments},
    }
    where.write_text(yaml.safe_dump(values))
    videos = len(list(data.glob("*/*")))
    walls = [seconds_of_task(OURS, "evaluate", where) for _ in range(2)]
    clips = videos * max(1, segments)
    rates = " and ".join(f"{clips / wall:.4g}" for wall in walls)
    print(
        f"| {frames} | evaluate, {max(1, segments)} clips a video, {videos} videos | "
        f"| {rates}, start included ({', '.join(f'{wall:.1f} s' for wall in walls)}) |",
        flush=True,
    )


def main() -> None:
    """Parse the command line, measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[3, 32])
    parser.add_argument("--cpu-sizes", type=int, nargs="*", default=[1, 16])
    parser.add_argument("--gpu-sizes", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--videos", type=int, default=48)
    parser.add_argument("--video-frames", type=int, default=90)
    forms = [*FORMS, *VIDEOS]
    parser.add_argument("--forms", nargs="+", choices=forms, default=[PNG], help="of the frames")
    parser.add_argument("--only-scoring", action="store_true")
    options = parser.parse_args()
    print("| frames | way | batch | clips/s, median (min-max) |\n| --- | --- | --- | --- |")
    sizes = {"cpu": options.cpu_sizes, "cuda": options.gpu_sizes}
    malloc.keep_freed()  # as the engine does before it computes on a CPU
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for form in options.forms:
            draw_data(folder / form / "data", options.videos, options.video_frames, form)
        for frames in options.frames:
            for form in options.forms:
                scoring(frames, folder / form / "data", form)
            if options.only_scoring:
                continue
            alone(frames, sizes, options.seconds, folder)
            for segments in (0, 10):
                whole(frames, folder / options.forms[0] / "data", folder, segments)


if __name__ == "__main__":
    main()
