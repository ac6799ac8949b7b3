"""Time and memory of the report of a data set of HMDB51's size: generated predictions, tiny frames.

51 classes, 3 splits, 4 experiments, 30 test videos of a class. The target is 60 s and 1 GiB on two
cores, and 10 MB for the page; one more experiment remakes its own parts, and the page.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests")]

from actionrec.report.summary import Run  # noqa: E402
from helpers.report import describe, write_all  # noqa: E402
from helpers.results import make_results  # noqa: E402

EXPERIMENTS = {"rgb_2d": 0.35, "rgb_3d": 0.55, "flow_3d": 0.5, "joint": 0.6}


def main() -> None:
    """Generate the results, write the report, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=51)
    parser.add_argument("--keep", type=Path, help="write to this folder and keep it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch, "hmdb51")
        labels = [f"class_{number:02d}" for number in range(options.classes)]
        make_results(folder, EXPERIMENTS, labels, splits=(1, 2, 3), test_videos=30)
        start = time.monotonic()
        page = write_all(folder)
        seconds = time.monotonic() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        cpu = time.process_time()
        print(f"report: {seconds:.1f} s, {page.stat().st_size / 1e6:.1f} MB, peak {peak:.2f} GiB")
        for split in (1, 2, 3):
            describe(Run("joint", split, folder / "experiments/joint" / f"split{split}"))
        print(f"parts of one experiment: {time.process_time() - cpu:.1f} s of CPU")


if __name__ == "__main__":
    main()
