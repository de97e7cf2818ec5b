# SPDX-License-Identifier: Apache-2.0
"""The shipper as a whole: real spools, several sinks at once, a process that gives up root."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from guard.audit.oplog import make_logger
from guard.audit.spool import Spool
from guard.audit.spool_files import DENIALS
from guard.errors import GuardError
from guard.ship import privileges
from guard.ship.build import Make, maker
from guard.ship.config import SinkConfig
from guard.ship.extras import MissingExtra, require_extra
from guard.ship.notify import notify
from guard.ship.service import Service
from guard.ship.sink import Message, Outcome, Unavailable
from tests.audit.samples import ListSink
from tests.ship.receivers.processes import ROOT, private_directory, until
from tests.ship.support import configured, file_sink, lines, numbers_in, whole_records

COMMAND = (sys.executable, "-m", "guard.cli.main", "ship")
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")


class Failing:
    """A sink that is down."""

    def __init__(self) -> None:
        raise Unavailable("siem:6514: Connection refused")


class Hanging:
    """A sink that never answers."""

    released = False

    def send(self, _batch: Sequence[Message]) -> Outcome:
        until(lambda: Hanging.released, "released", 60)
        raise Unavailable("no answer in time")

    def close(self) -> None:
        pass


def _make(sink: SinkConfig) -> Make:
    return {"down": Failing, "hangs": Hanging}.get(sink.name) or maker(sink)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "state").mkdir()
    yield tmp_path
    Hanging.released = True


def test_a_sink_that_fails_and_one_that_hangs_stop_nobody_else(place: Path) -> None:
    Hanging.released = False
    spool = Spool(place / "spool")
    spool.append(DENIALS, lines(*range(100)))
    rows = "".join(file_sink(name, place) for name in ("one", "two", "down", "hangs"))
    log = ListSink()
    service = Service(configured(place, rows), make_logger(log), _make)
    service.start()
    until(lambda: len(numbers_in(place / "one.ndjson")) == 100, "one has all")
    until(lambda: len(numbers_in(place / "two.ndjson")) == 100, "two has all")
    spool.append(DENIALS, lines(*range(100, 150)))
    until(lambda: len(numbers_in(place / "two.ndjson")) == 150, "two has the later ones")

    # The others are told that it fails: as a record, as a metric and in the log.
    def failing() -> list[dict[str, Any]]:
        return [
            one for one in whole_records(place / "one.ndjson") if one["event"] == "sink.failing"
        ]

    (record,) = until(failing, "a record of the failure")
    assert record["sink"] == "down"
    assert record["because"] == "siem:6514: Connection refused"
    assert (record["schema"], record["cpu"]) == (2, None)
    assert record["epoch"].startswith("ship@")
    metrics = {
        (sample.name, sample.labels["sink"]): sample.value
        for family in text_string_to_metric_families(service.metrics().decode())
        for sample in family.samples
    }
    assert metrics["guard_ship_up", "one"] == 1
    assert metrics["guard_ship_up", "down"] == 0
    assert "failing: down (siem:6514: Connection refused)" in service.status()
    assert any(b'"message":"sink failing","sink":"down"' in line for line in log.lines)
    Hanging.released = True
    service.stop("SIGTERM")
    spool.close()
    assert numbers_in(place / "one.ndjson") == list(range(150))
    cursors = {path.name for path in (place / "spool/cursors").iterdir()}
    assert cursors == {"one", "two", "down", "hangs"}


def test_a_receivers_words_cannot_speak_to_systemd(place: Path) -> None:
    class Evil:
        def __init__(self) -> None:
            raise Unavailable("HTTP 500: x\nMAINPID=1\n\x1b[2J")

    service = Service(
        configured(place, file_sink("one", place)), make_logger(ListSink()), lambda _: Evil
    )
    Spool(place / "spool").close()
    service.start()
    told = until(lambda: "failing" in service.status() and service.status(), "it fails")
    assert told == r"failing: one (HTTP 500: x\nMAINPID=1\n\x1b[2J)"
    service.stop("test")


def test_a_later_run_goes_on_where_the_last_one_was(place: Path) -> None:
    spool = Spool(place / "spool")
    for run in range(3):
        spool.append(DENIALS, lines(*range(run * 10, run * 10 + 10)))
        service = Service(configured(place, file_sink("one", place)), make_logger(ListSink()))
        service.start()
        wanted = run * 10 + 10
        until(lambda wanted=wanted: len(numbers_in(place / "one.ndjson")) == wanted, "all")
        service.stop("test")
    spool.close()
    assert numbers_in(place / "one.ndjson") == list(range(30))
    started = [one for one in whole_records(place / "one.ndjson") if one["event"] == "ship.started"]
    assert len({one["epoch"] for one in started}) == 3


def test_shipping_starts_before_the_collector(place: Path) -> None:
    service = Service(configured(place, file_sink("one", place)), make_logger(ListSink()))
    service.start()
    until(lambda: "is no spool" in service.status(), "it says that there is no spool")
    spool = Spool(place / "spool")
    spool.append(DENIALS, lines(1))
    until(lambda: numbers_in(place / "one.ndjson") == [1], "it arrives")
    service.stop("test")
    spool.close()


def test_two_shippers_do_not_share_a_state_directory(place: Path) -> None:
    config = configured(place, file_sink("one", place))
    first = Service(config, make_logger(ListSink()))
    with pytest.raises(GuardError) as told:
        Service(config, make_logger(ListSink()))
    assert str(told.value) == (
        f"the state directory cannot be used: {place}/state/own: another guard writes to this spool"
    )
    assert told.value.remedy == (
        f"{place}/state must be a directory of the shipper's user, for one shipper"
    )
    first.start()
    first.stop("test")


def test_a_missing_library_is_one_sentence_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(MissingExtra) as told:
        require_extra("confluent_kafka", "kafka")
    assert str(told.value) == "confluent_kafka is not installed"
    assert told.value.remedy == "pip install 'guard[kafka]' into guard's environment"


def test_systemd_is_told(tmp_path: Path) -> None:
    with (
        private_directory("guard-notify-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        path = str(directory / "notify")
        manager.bind(path)
        assert notify("READY=1", "STATUS=ok", environment={"NOTIFY_SOCKET": path})
        assert manager.recv(4096) == b"READY=1\nSTATUS=ok"
    assert not notify("READY=1", environment={})
    assert not notify("READY=1", environment={"NOTIFY_SOCKET": path})


# The command.


def _command(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        **more,
    )


def _written(directory: Path, sinks: str) -> str:
    path = directory / "ship.yaml"
    path.write_text(
        f"version: 1\nspool: {directory}/spool\nstate: {directory}/state\n"
        f"metrics: {{file: {directory}/state/guard.prom}}\nsinks:\n{sinks}"
    )
    return str(path)


def test_check_judges_a_good_configuration_and_contacts_nobody(tmp_path: Path) -> None:
    path = _written(tmp_path, "  - {name: siem, type: relp, to: 'siem.invalid:2514'}\n")
    told = _command("--config", path, "--check")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == (
        f"note: {tmp_path}/spool is not there yet; shipping waits for it\n{path}: 1 sink: ok\n"
    )


def test_check_tells_findings_and_what_is_missing_on_this_host(tmp_path: Path) -> None:
    path = _written(tmp_path, "  - {name: siem, type: relp}\n")
    told = _command("--config", path, "--check")
    assert told.returncode == 1
    assert f"error[G102]: this relp sink has no 'to'\n --> {path}:6:6" in told.stdout
    secret = tmp_path / "token"
    secret.write_text("t")
    secret.chmod(0o644)
    path = _written(
        tmp_path,
        f"  - {{name: s, type: splunk, url: 'https://s:8088', token: {{file: {secret}}}}}\n",
    )
    told = _command("--config", path, "--check")
    assert told.returncode == 3
    assert told.stdout.splitlines()[-2:] == [
        (
            f"{path}:6:12: sink s: the secret {secret} has mode 0644, so others can get at it; "
            "chmod 0640 or 0600 it"
        ),
        f"{path}: 1 sink, 1 problem",
    ]


def test_the_schema_is_printed() -> None:
    told = _command("--schema")
    assert told.returncode == 0 and json.loads(told.stdout)["title"] == "guard ship"


def test_without_a_configuration_it_is_a_usage_error() -> None:
    told = _command()
    assert (told.returncode, told.stderr) == (2, "guard ship: --config FILE is needed\n")


@ROOT_ONLY
def test_root_does_not_ship(tmp_path: Path) -> None:
    told = _command("--config", _written(tmp_path, "  - {name: out, type: stdout}\n"))
    assert told.returncode == 3
    assert told.stderr == (
        "guard: shipping talks to the network and needs no privilege, so it does not run as root\n"
        "  remedy: guard ship --user guard-ship, or the unit guard-ship.service\n"
    )


@ROOT_ONLY
@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("nobody-has-this-name", "there is no user nobody-has-this-name"),
        ("root", "root is root under another name; shipping runs unprivileged"),
    ],
)
def test_a_user_to_become_must_be_one(tmp_path: Path, user: str, told: str) -> None:
    path = _written(tmp_path, "  - {name: out, type: stdout}\n")
    assert f"guard: {told}\n" in _command("--config", path, "--user", user).stderr


@ROOT_ONLY
def test_privileges_are_gone_for_good() -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            privileges.drop_to("nobody")
            nobody = pwd.getpwnam("nobody")
            assert os.getresuid() == (nobody.pw_uid,) * 3
            assert os.getresgid() == (nobody.pw_gid,) * 3
            assert set(os.getgroups()) <= {nobody.pw_gid}
            assert not any(privileges.capabilities().values())
            for gain in (
                lambda: os.setuid(0),
                lambda: os.setresgid(0, 0, 0),
                lambda: os.chroot("/"),
            ):
                try:
                    gain()
                except PermissionError:
                    continue
                raise AssertionError(gain)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Shipper:
    """`guard ship` as a process that was root and became nobody."""

    def __init__(self, directory: Path, config: str) -> None:
        self.log = directory / "stderr"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--config", config, "--user", "nobody"],
                cwd=ROOT,
                stderr=log,
            )

    def status(self) -> dict[str, str]:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@ROOT_ONLY
def test_the_process_is_nobody_and_survives_kill_9_without_a_gap() -> None:
    nobody = pwd.getpwnam("nobody")
    with private_directory("guard-ship-") as directory:
        directory.chmod(0o755)
        for name in ("state", "logs"):
            (directory / name).mkdir()
            os.chown(directory / name, nobody.pw_uid, nobody.pw_gid)
        spool = Spool(directory / "spool", group=nobody.pw_gid)
        config = _written(
            directory, file_sink("logs/one", directory).replace("name: logs/", "name: ")
        )
        received = directory / "logs/one.ndjson"
        running: Shipper | None = None
        try:
            for round_ in range(4):
                running = Shipper(directory, config)
                first = round_ * 500
                for at in range(first, first + 500, 50):
                    spool.append(DENIALS, lines(*range(at, at + 50)))
                enough = first + 200
                until(
                    lambda enough=enough: len(numbers_in(received)) >= enough,
                    running.log.read_text() + "some arrived",
                )
                told = running.status()
                assert told["Uid"].split() == [str(nobody.pw_uid)] * 4
                assert told["CapEff"] == told["CapPrm"] == "0" * 16
                assert running.stop(signal.SIGKILL) == -signal.SIGKILL
            running = Shipper(directory, config)
            until(lambda: set(range(2000)) <= set(numbers_in(received)), "all arrived")
            log = running.log
            until(lambda: log.read_text().count("shipping started") == 5, "it serves")
            assert running.stop(signal.SIGTERM) == 0
        finally:
            if running is not None and running.process.poll() is None:
                running.stop(signal.SIGKILL)
            spool.close()
        numbers = numbers_in(received)
        assert sorted(set(numbers)) == list(range(2000))
        # What comes twice is at most the batch that was under way at each kill.
        assert len(numbers) - 2000 <= 4 * 20
        metrics = (directory / "state/guard.prom").read_text()
        assert 'guard_ship_up{sink="one"} ' in metrics
        assert '"message":"shipping stopped","because":"SIGTERM"' in running.log.read_text()
