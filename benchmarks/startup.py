"""Measure how long the jobs of the demo take before their work begins.

For each rule: Python, what Snakemake imports for its script, what that imports, what its work loads
first, and for a task of the engine a second Python with PyTorch; times the rule's jobs. CPU seconds
to the end of the process, the least of some repeats, so that other load matters little.

    python benchmarks/startup.py
"""

import argparse
import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = REPOSITORY / "workflow/scripts"
TASKS = {
    "train_model": "train",
    "predict_videos": "inference",
    "evaluate_model": "evaluate",
    "export_model": "export",
}
SNAKEMAKE = "from snakemake import script\nfrom snakemake.logging import logger"
LATER = {  # what is imported when the work begins
    "extract_frames": ("cv2", "fpng"),
    "summarise_dataset": ("cv2", "numpy"),
    "write_dataset_page": ("jinja2",),
    "write_report": ("jinja2",),
    "preflight": (),
}


def jobs() -> dict[str, int]:
    """Return how many jobs of each rule the demo has, by a dry run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "-n", "-q", "rules", "--cores", "2"),
                *("--snakefile", str(REPOSITORY / "Snakefile")),
                *("--configfile", str(REPOSITORY / "config/config.yaml")),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    found = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    return {rule: int(number) for rule, number in found if (SCRIPTS / f"{rule}.py").exists()}


def imports(rule: str) -> str:
    """Return the statements that load all that a rule's script needs before it begins."""
    tree = ast.parse((SCRIPTS / f"{rule}.py").read_text())
    found = [
        ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return "\n".join([SNAKEMAKE, *found, *(f"import {name}" for name in LATER.get(rule, ()))])


def engine(task: str) -> str:
    """Return the statements by which the command loads a task of the engine, and ends."""
    return (
        "from actionrec.native import __main__, startup\n"
        "startup.set_up_pytorch()\n"
        f"startup.fast_import('actionrec.native.{task}')\n"
        "startup.exit_fast(0)"
    )


def cost(code: str) -> tuple[float, bool]:
    """Return the CPU seconds of a Python that runs `code`, and whether it has loaded PyTorch."""
    code += "\nimport sys\nsys.exit(100 * ('torch' in sys.modules))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SCRIPTS)}
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 100):
        sys.exit(f"It ended with {process.returncode}:\n{code}")
    return usage.ru_utime + usage.ru_stime, process.returncode == 100


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    total = 0.0
    print("| rule | jobs | script, s | engine, s | PyTorch in the script |\n|" + " --- |" * 5)
    for rule, number in sorted(jobs().items()):
        runs = [cost(imports(rule)) for _ in range(options.repeats)]
        script, torch = min(runs)
        task = 0.0
        if rule in TASKS:
            task = min(cost(engine(TASKS[rule])) for _ in range(options.repeats))[0]
        total += number * (script + task)
        print(f"| {rule} | {number} | {script:.2f} | {task:.2f} | {'yes' if torch else 'no'} |")
    print(f"\nIn all {total:.1f} s.")


if __name__ == "__main__":
    main()
