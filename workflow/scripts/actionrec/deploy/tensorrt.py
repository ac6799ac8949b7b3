"""Build a TensorRT engine with `trtexec`, and compare what it computes with ONNX Runtime."""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from actionrec import runners
from actionrec.deploy.half_precision import FP16_LIMIT
from actionrec.deploy.model_card import ModelCard, verified_file
from actionrec.deploy.session import Model, softmax
from actionrec.errors import InputError
from actionrec.runners import Container, TaskRequest
from actionrec.utils.files import replacing, write_text
from actionrec.utils.rule_script import Job

OTHER_TENSORRT = "install another version of TensorRT, or leave export.tensorrt out"
_LIMITS = {"fp16": FP16_LIMIT, "fp32": 2e-3}  # of a probability; TensorRT's fp32 may be TF32
_FIGURES = {
    "latency_ms": re.compile(r"Latency: .*?median = ([\d.]+) ms"),
    "batches_per_second": re.compile(r"Throughput: ([\d.]+) qps"),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Builder:
    """What runs `trtexec`: PATH, or the container in which TAO's tasks run."""

    runner: str
    log: Path
    threads: int = 1
    container: Container = field(default_factory=Container)

    @classmethod
    def of_rule(cls, snakemake: Job) -> "Builder":
        """Return the builder that a rule asks for."""
        return cls(
            snakemake.params.runner,
            Path(snakemake.log[0]),
            snakemake.threads,
            runners.container(snakemake.config["tao"]),
        )

    def run(self, arguments: Sequence[str], folder: Path, reads: Path) -> tuple[int, str]:
        """Run `trtexec`; return its exit code and output."""
        request = TaskRequest(
            program=("trtexec",),
            arguments=arguments,
            work_folder=folder / "runner",
            log=self.log,
            paths=[folder, reads],
            threads=self.threads,
            gpus=1,
            container=self.container,
        )
        in_container = self.runner in ("docker", "apptainer")
        return runners.execute(self.runner if in_container else "direct", request)


def build_engine(
    export: Path, target: Path, builder: Builder, *, precision: str, batch: Sequence[int]
) -> None:
    """Write the folder `target`: model.plan, report.json with timing and comparison, trtexec.log.

    `batch` are the smallest, usual and largest batch. Raises `InputError` when trtexec fails, or
    the engine's probabilities for a random batch are not those of ONNX Runtime.
    """
    model = Model(export)
    onnx = verified_file(export, model.card)
    with replacing(target.absolute()) as folder:
        folder.mkdir()
        clips = _random_clips(model.card, batch[1])
        for part in model.card.inputs:
            np.stack([clip[part.name] for clip in clips]).tofile(folder / f"{part.name}.bin")
        command = arguments(model.card, onnx.absolute(), folder, precision, batch)
        code, output = builder.run(command, folder, export.absolute())
        write_text(folder / "trtexec.log", output)
        if code != 0 or not (folder / "model.plan").is_file():
            raise InputError(
                "trtexec failed.",
                where=builder.log,
                found=f"exit code {code}: {_last_error(output)}",
                fix="install TensorRT so that trtexec is on PATH, or set tao.runner to a container "
                "that has it; or leave export.tensorrt out",
            )
        difference = _difference(model, clips, folder / "outputs.json", precision, target)
        report = {"precision": precision, "batch": list(batch), "difference": difference}
        report |= {name: _figure(pattern, output) for name, pattern in _FIGURES.items()}
        write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
        for part in model.card.inputs:
            (folder / f"{part.name}.bin").unlink()
        (folder / "outputs.json").unlink()


def arguments(
    card: ModelCard, onnx: Path, folder: Path, precision: str, batch: Sequence[int]
) -> list[str]:
    """Return the command line of `trtexec` for an engine in `folder`."""
    names = ("minShapes", "optShapes", "maxShapes", "shapes")
    sizes = (*batch, batch[1])
    shapes = [
        f"--{name}="
        + ",".join(f"{part.name}:{size}x{'x'.join(map(str, part.shape))}" for part in card.inputs)
        for name, size in zip(names, sizes, strict=True)
    ]
    inputs = ",".join(f"{part.name}:{folder / part.name}.bin" for part in card.inputs)
    return [
        f"--onnx={onnx}",
        *shapes,
        *(["--fp16"] if precision == "fp16" else []),
        f"--saveEngine={folder / 'model.plan'}",
        f"--loadInputs={inputs}",
        f"--exportOutput={folder / 'outputs.json'}",
    ]


def _random_clips(card: ModelCard, count: int) -> list[dict[str, np.ndarray]]:
    draws = np.random.default_rng(1234)
    return [
        {part.name: draws.standard_normal(part.shape, np.float32) for part in card.inputs}
        for _ in range(count)
    ]


def _difference(
    model: Model,
    clips: Sequence[dict[str, np.ndarray]],
    outputs: Path,
    precision: str,
    target: Path,
) -> float:
    """Return by how much a probability differs; raise `InputError` if it is too much."""
    try:
        found = {output["name"]: output["values"] for output in json.loads(outputs.read_text())}
        logits = np.array(found[model.card.onnx.logits], np.float32).reshape(len(clips), -1)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "trtexec left no outputs to compare.",
            where=outputs,
            found=repr(error),
            fix=OTHER_TENSORRT,
        ) from error
    expected = model.logits(clips)
    if logits.shape != expected.shape:
        raise InputError(
            "The engine has other outputs than the ONNX file.",
            where=target,
            found=logits.shape,
            allowed=[expected.shape],
            fix=OTHER_TENSORRT,
        )
    difference = float(np.abs(softmax(logits) - softmax(expected)).max())
    if not difference <= _LIMITS[precision]:
        raise InputError(
            "The engine does not compute what the ONNX file does.",
            where=target,
            found=f"a probability differs by {difference:.4f}",
            allowed=f"up to {_LIMITS[precision]} ({precision})",
            fix="set export.tensorrt.precision: fp32",
        )
    log.info("Engine and ONNX Runtime: probabilities differ by up to %.5f", difference)
    return difference


def _figure(pattern: re.Pattern[str], output: str) -> float | None:
    found = pattern.findall(output)
    return float(found[-1]) if found else None


def _last_error(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "[E]" in line]
    return (errors or lines or ["it printed nothing"])[-1].strip()[-300:]
