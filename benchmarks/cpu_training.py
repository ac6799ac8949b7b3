"""Measure which part of a training's time on the CPU is the network's own.

The peer is the same network, loss and optimizer on one batch that stays in memory. An epoch reads,
resizes and augments frames from disk, and counts; checkpoints and validation are left out. Peer and
epochs take turns in one process, so that other load meets both alike.

    python benchmarks/cpu_training.py
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from spread import spread

from actionrec.spec.load import load_spec

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))


def prepare(folder: Path, options: argparse.Namespace):
    """Return the state of a training on drawn frames, which has not begun."""
    from throughput import draw_set, write_spec

    from actionrec.native.status import StatusLog
    from actionrec.native.training.setup import build_train_state

    draw_set(folder / "data", options.videos, frames=40)
    where = write_spec(folder / "spec.yaml", folder / "data", 3, 1, 1, {})
    overrides = [
        f"dataset.workers={options.workers}",
        f"model.rgb_seq_length={options.frames}",
        f"model.input_width={options.size}",
        f"model.input_height={options.size}",
        f"dataset.batch_size={options.batch}",
        "dataset.clips_per_video=1",
    ]
    results = folder / "results"
    results.mkdir()
    spec = load_spec(where, overrides)
    return build_train_state(spec, where, StatusLog(results / "status.json"), results)


def epoch(state) -> float:
    """Return the seconds of one epoch from the files on disk."""
    from actionrec.native.training.steps import train_step

    start = time.perf_counter()
    for batch in state.train_loader:
        train_step(state, batch)
    return time.perf_counter() - start


def network_alone(state, batch, num_batches: int) -> float:
    """Return the seconds of forward, backward and optimizer for as many batches."""
    import torch.nn.functional as F

    from actionrec.native.data import transforms

    inputs = transforms.normalise(batch, state.spec)
    start = time.perf_counter()
    for _ in range(num_batches):
        loss = F.cross_entropy(state.network(inputs), batch.labels)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print one line for each turn, and the median."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=48)
    parser.add_argument("--frames", type=int, default=8, help="of a clip")
    parser.add_argument("--size", type=int, default=112, help="of the input, pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the engine's command sets it
    with tempfile.TemporaryDirectory() as folder:
        state = prepare(Path(folder), options)
        state.network.train()
        batch = next(iter(state.train_loader))
        num_batches = len(state.train_sampler)
        network_alone(state, batch, 2)
        shares = []
        for number in range(options.repeats):
            whole = epoch(state)
            pure = network_alone(state, batch, num_batches)
            shares.append(pure / whole)
            print(f"epoch {number + 1}: {whole:.2f} s, network alone {pure:.2f} s")
    print(f"the network's part: {spread(shares, '.0%')}")


if __name__ == "__main__":
    main()
