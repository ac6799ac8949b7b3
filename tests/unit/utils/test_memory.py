"""The kernel's counters of processes that it ended for want of memory are found where they are."""

import pytest

from actionrec.utils.memory import memory_kills

V2 = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"
V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"


def system(root, **files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("group", "counter", "content", "kills"),
    [
        ("0::/job/step\n", "sys/fs/cgroup/job/step/memory.events", V2, 2),
        ("0::/job/step\n", "sys/fs/cgroup/memory.events", V2, 2),  # as a container sees it
        ("0::/\n", "sys/fs/cgroup/memory.events", V2, 2),
        ("9:cpu:/a\n4:memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.oom_control", V1, 4),
        ("0::/\n", "proc/vmstat", "nr_free_pages 5\noom_kill 7\n", 7),
        ("0::/\n", "proc/vmstat", "nr_free_pages 5\n", 0),
    ],
)
def test_counter_of_the_group_or_of_the_machine(tmp_path, group, counter, content, kills):
    system(tmp_path, **{"proc/self/cgroup": group, counter: content})
    assert memory_kills(tmp_path) == kills


def test_the_groups_counter_goes_before_the_machines(tmp_path):
    counters = {"sys/fs/cgroup/a/memory.events": V2, "proc/vmstat": "oom_kill 7\n"}
    assert memory_kills(system(tmp_path, **{"proc/self/cgroup": "0::/a\n", **counters})) == 2


def test_a_system_without_counters_has_none(tmp_path):
    assert memory_kills(tmp_path) == 0
