# SPDX-License-Identifier: Apache-2.0
"""What auditd takes for an event, beside tests.bench.events: opens of one watched file.

Run as root, ``python -m tests.bench.auditd [--opens N] [--rate R]``, where no
auditd runs and audit is off. Starts one of its own with a log of its own, and
leaves the kernel's audit as it was. auditd cannot be given events in another
way than by system calls that a rule is about, so the rate is what one process
opens, and the kernel's own cost of writing an event's text is the caller's.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """local_events = yes
write_logs = yes
log_file = {directory}/audit.log
log_format = ENRICHED
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 2000
num_logs = 2
max_log_file_action = IGNORE
space_left = 75
space_left_action = IGNORE
admin_space_left = 50
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
q_depth = 20000
overflow_action = IGNORE
"""


def _auditctl(*words: str) -> str:
    return subprocess.run(["auditctl", *words], check=True, capture_output=True, text=True).stdout


def _status(name: str) -> int:
    found = re.search(rf"^{name} (\d+)", _auditctl("-s"), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kauditd() -> int:
    return int(
        subprocess.run(
            ["pgrep", "-x", "kauditd"], capture_output=True, text=True, check=True
        ).stdout
    )


def _settled(log: Path, begun: float) -> float:
    """Waits until the log has not grown for a second; seconds from ``begun`` to its last growth."""
    size, grown = -1, time.perf_counter()
    while time.perf_counter() - grown < 1 or _status("backlog"):
        if (now := log.stat().st_size) != size:
            size, grown = now, time.perf_counter()
        time.sleep(0.02)
    return grown - begun


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--opens", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=0, help="opens a second; 0: as fast as it goes")
    arguments = parser.parse_args()
    if _status("pid") or _status("enabled"):
        print("auditd runs or audit is on: not touched", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        (directory / "auditd.conf").write_text(CONFIG.format(directory=directory))
        (directory / "plugins.d").mkdir()
        watched = directory / "watched"
        watched.touch()
        daemon = subprocess.Popen(["auditd", "-n", "-c", str(directory)])
        try:
            while _status("pid") != daemon.pid:
                time.sleep(0.1)
            _auditctl("-b", "65536", "--backlog_wait_time", "0", "-e", "1")
            rule = ("-F", "arch=b64", "-S", "openat", "-F", f"path={watched}")
            _auditctl("-a", "always,exit", *rule, "-F", f"pid={os.getpid()}", "-k", "bench")
            kernel = _kauditd()
            before, lost = (_cpu(daemon.pid), _cpu(kernel)), _status("lost")
            begun = time.perf_counter()
            for number in range(arguments.opens):
                os.close(os.open(watched, os.O_RDONLY))
                if arguments.rate:
                    while number / arguments.rate > time.perf_counter() - begun:
                        time.sleep(0.0005)
            opened = time.perf_counter() - begun
            lasted = _settled(directory / "audit.log", begun)
            after = _cpu(daemon.pid), _cpu(kernel)
            lost = _status("lost") - lost
            log = (directory / "audit.log").read_bytes()
        finally:
            subprocess.run(["auditctl", "-D"], check=False, capture_output=True)
            subprocess.run(["auditctl", "-e", "0"], check=False, capture_output=True)
            daemon.terminate()
            daemon.wait()
    arrived = log.count(b"type=SYSCALL")
    print(f"{arguments.opens} opens in {opened:.2f} s ({arguments.opens / opened:,.0f}/s)")
    print(f"{arrived} events in the log, all in {lasted:.2f} s; {lost} lost by the kernel's count")
    print(f"{len(log) / max(1, arrived):.0f} bytes an event in the log")
    for name, was, now in zip(("auditd", "kauditd"), before, after, strict=True):
        print(f"{name}: {(now - was) / max(1, arrived) * 1e6:.1f} us of processor an event")
    return 0


if __name__ == "__main__":
    sys.exit(main())
