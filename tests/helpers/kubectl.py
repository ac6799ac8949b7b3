"""A stand-in for kubectl: jobs are processes on this machine, but for those that ask for a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ["KUBECTL_STATE"])


def main() -> None:
    match sys.argv[1:]:
        case ["create", "-f", "-", "-o", "name"]:
            create(json.load(sys.stdin))
        case ["get", "job", name, "-o", _]:
            print(conditions(name))
        case ["delete", "job", *_]:
            (STATE / "deleted").write_text(" ".join(sys.argv))
        case _:
            sys.exit(f"error: unknown command {sys.argv[1:]}")


def create(job: dict) -> None:
    name = job["metadata"]["name"]
    (STATE / f"{name}.json").write_text(json.dumps(job))
    container = job["spec"]["template"]["spec"]["containers"][0]
    if "nvidia.com/gpu" in container["resources"]["limits"]:
        (STATE / f"{name}.code").write_text("1")
    else:
        command = 'code=0; "$0" "$@" > "$LOG" 2>&1 || code=$?; echo $code > "$CODE"'
        subprocess.Popen(
            ["/bin/sh", "-c", command, *container["command"]],
            cwd=container["workingDir"],
            env=os.environ
            | {"LOG": str(STATE / f"{name}.log"), "CODE": str(STATE / f"{name}.code")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    print(f"job.batch/{name}")


def conditions(name: str) -> str:
    code = STATE / f"{name}.code"
    if not (STATE / f"{name}.json").exists():
        sys.exit(f'Error from server (NotFound): jobs.batch "{name}" not found')
    if not code.exists() or not code.read_text().strip():
        return ""
    ended = code.read_text().strip() == "0"
    return "Complete=True: " if ended else "Failed=True:BackoffLimitExceeded "


if __name__ == "__main__":
    main()
