"""Whether the kernel ended processes because memory ran out, by its own counters."""

import re
from pathlib import Path

_OOM_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def memory_kills(root: Path = Path("/")) -> int:
    """Return how many processes the kernel has killed for want of memory; 0 where nothing tells.

    Counted are those of this process's control group, which has a container's or a cluster job's
    limit, or of the whole machine where there is none. Only a later number that is higher means
    anything. Sources: the kernel's cgroup-v2 and cgroup-v1/memory documents, /proc/vmstat.
    """
    for path in _counters(root):
        try:
            found = _OOM_KILLS.search(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if found:
            return int(found[1])
    return 0


def _counters(root: Path) -> list[Path]:
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    paths = []
    for line in lines:  # such as 0::/user.slice or 4:memory:/docker/1234
        _, controllers, group = line.split(":", 2)
        for seen in (group.strip("/"), ""):  # a container may see its own group as the root
            if not controllers:
                paths.append(root / "sys/fs/cgroup" / seen / "memory.events")
            elif "memory" in controllers.split(","):
                paths.append(root / "sys/fs/cgroup/memory" / seen / "memory.oom_control")
    return [*paths, root / "proc/vmstat"]
