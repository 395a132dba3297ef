"""What processes cost, from /proc: CPU time and memory of a process and all its descendants."""

import os
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on; the second, a name, may hold blanks."""
    return (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()


def family(pid: int) -> list[int]:
    """The process and its descendants that live."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            try:
                children.setdefault(int(stat(int(entry.name))[1]), []).append(int(entry.name))
            except (OSError, IndexError):
                continue
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the family, with that of members who ended."""
    ticks = 0
    for member in family(pid):
        try:
            ticks += sum(int(value) for value in stat(member)[11:15])
        except (OSError, IndexError):
            continue
    return ticks / TICK


def pss_mib(pid: int) -> float:
    """Memory of the family, where pages that several share are divided among them."""
    kib = 0
    for member in family(pid):
        try:
            lines = (PROC / str(member) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kib += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return kib / 1024
