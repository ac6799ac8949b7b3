"""The uses of Snakemake's internals: attributes that it documents nowhere and may change.

All of them are here but two that must work before this module can be imported: where the rules lie
(rules/package.smk) and the inclusion that keeps the default target (the Snakefile at the top).
tests/workflow/test_snakemake_internals.py says which version of Snakemake broke one.
"""

import math
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from snakemake.cli import parse_args
from snakemake.io import contains_wildcard, get_flag_value
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.sourcecache import LocalGitFile
from snakemake_interface_executor_plugins.settings import ExecMode
from snakemake_interface_storage_plugins.io import Mtime


def mend_gitfile() -> None:
    """Let rules that come from a local git repository have scripts.

    Snakemake 9.27 joins the folder in the repository with the path of a script as if that were
    text, and fails with a TypeError.
    """
    join = LocalGitFile.join
    LocalGitFile.join = lambda self, path: join(self, str(path))


def mend_rescheduling() -> None:
    """Let the scheduler wake up once a second, and not once a second for each job that has ended.

    For its limit of jobs in a time, Snakemake 9.27 has each round of scheduling set a timer for one
    more. The rounds that ended jobs cause come on top, so that a hundred jobs later there are a
    hundred rounds a second, each of which asks the disk for the inputs of all jobs that wait. And
    its timers keep the process alive: with a limit of jobs an hour, for an hour after the last job.
    """

    def wake_up(self: Any, delay: float) -> None:
        latest: dict[float, float] = vars(self).setdefault("_latest_wake_ups", {})  # of each delay
        now, last = time.monotonic(), latest.get(delay, -math.inf)
        if now + delay <= last:
            return
        # Rather a little late than early: an early round that starts no job sets a timer again, and
        # all jobs would wait that long.
        latest[delay] = max(now + delay, last + max(1, delay / 60))
        timer = threading.Timer(latest[delay] - now, self._open_jobs.release)
        timer.daemon = True
        timer.start()

    JobScheduler._schedule_reevalutation = wake_up


def command_line_configs(workflow: Any) -> list[Path]:
    """Return the configuration files that were named on the command line."""
    return list(workflow.overwrite_configfiles)


def config_files(workflow: Any) -> list[Path]:
    """Return all configuration files that were read."""
    return list(workflow.configfiles)


def expand(workflow: Any, path: str) -> str:
    """Return a path with its path variables, as <results>, replaced by their values."""
    return workflow.pathvars.apply(path)


def can_name(path: str) -> bool:
    """Tell whether a path can be an input: `{a}` is a wildcard there, and `<a>` a path variable."""
    return not contains_wildcard(path) and "<" not in path


def remake(workflow: Any, output: str | Path) -> None:
    """Let the plan at hand remake an output, as --forcerun does; for input functions."""
    workflow.dag.forcefiles.add(str(output))


def planned_rules(workflow: Any) -> Mapping[str, frozenset[str]]:
    """Return the rules that have a job to run, each with the names of its resources."""
    return {job.rule.name: frozenset(job.rule.resources) for job in workflow.dag.needrun_jobs()}


def submission(workflow: Any) -> tuple[str, str] | None:
    """Return the name of the executor that runs the plan's jobs, and its command to submit them.

    The command is "" for executors without one. None where no job is run: for graphs and summaries,
    with --touch, and in the process of a job itself. Of a dry run only the command line knows it.
    """
    plugin = workflow.executor_plugin
    if plugin is None or workflow.touch or workflow.exec_mode != ExecMode.DEFAULT:
        return None
    if not workflow.dryrun:
        return plugin.name, _text(getattr(workflow.executor_settings, "submit_cmd", ""))
    try:
        with redirect_stderr(StringIO()):  # it says again which profile it reads
            _, args = parse_args(sys.argv[1:])
    except SystemExit:  # not the command line of Snakemake: its API was called
        return None
    return args.executor or "local", _text(getattr(args, "cluster_generic_submit_cmd", ""))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""  # an option not given may be of any type


def resolve_resources(workflow: Any) -> None:
    """Ask for the resources of all jobs to run, so that what one cannot have is known at once."""
    for job in workflow.dag.needrun_jobs():
        job.resources  # noqa: B018 - a property, which Snakemake asks for when the job is due


def runs_here(workflow: Any) -> bool:
    """Tell whether the jobs run on this machine, and not on a cluster."""
    return workflow.local_exec


def prints_failed_logs(workflow: Any) -> bool:
    """Tell whether Snakemake prints the log of a job that fails (--show-failed-logs)."""
    settings = workflow.output_settings
    quiet = {kind.name for kind in settings.quiet or ()}
    return settings.show_failed_logs and not quiet & {"RULES", "ALL"}


def has_default_storage(workflow: Any) -> bool:
    """Tell whether all files are to be in a store (--default-storage-provider)."""
    return workflow.storage_registry.default_storage_provider is not None


def storage_client(file: Any) -> Any:
    """Return the client of S3 that the storage plugin made for a file in a store."""
    return get_flag_value(file, "storage_object").provider.s3c.meta.client


def note_stored(workflow: Any, file: Any, modified: float, size: int) -> None:
    """Tell Snakemake what is known of a file or folder in a store, as the plugin's inventory does.

    Otherwise Snakemake would ask the store some five times for each.
    """
    key, cache = str(file), workflow.iocache
    cache.exists_in_storage[key] = True
    cache.mtime[key] = Mtime(storage=modified)
    cache.size[key] = size


def target_files(workflow: Any) -> list[str]:
    """Return the files that were asked for: of a target rule without outputs, its inputs."""
    files = [file for job in workflow.dag.targetjobs for file in job.output or job.input]
    return [file.storage_object.query if file.is_storage else str(file) for file in files]


def failed_logs(workflow: Any) -> list[str]:
    """Return the logs of the jobs that have failed for good; one that never started has none."""
    logs = [Path(log) for job in workflow.scheduler.failed for log in job.log]
    return [str(log) for log in logs if log.is_file() and log.stat().st_size]
