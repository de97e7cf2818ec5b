# SPDX-License-Identifier: Apache-2.0
"""rsyslog and syslog-ng, told to write what they understood as JSON, one object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

from tests.ship.receivers.processes import (
    UNPACKED,
    Certificates,
    Process,
    free_port,
    libraries,
    listens,
    require_unpacked,
)


class Daemon(Protocol):
    """A syslog daemon with its inputs' ports."""

    ports: dict[str, int]
    process: Process

    def received(self) -> list[dict[str, Any]]:
        """What it has written: id (of the structured data), msg, host, app, msgid, sd."""


_RSYSLOG = """
global(workDirectory="{directory}" maxMessageSize="256k" net.enableDNS="off"
  defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
module(load="imtcp" keepAlive="on" {driver})
module(load="imrelp")
template(name="json" type="list" option.jsonf="on") {{
  property(outname="sd" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="pri" name="pri" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
}}
ruleset(name="out") {{ action(type="omfile" file="{output}" template="json") }}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="out")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="out")
input(type="imrelp" address="127.0.0.1" port="{relp}" ruleset="out" maxDataSize="256k")
input(type="imrelp" address="127.0.0.1" port="{relps}" ruleset="out" maxDataSize="256k"
  tls="on" tls.caCert="{ca}" tls.myCert="{cert}" tls.myPrivKey="{key}"
  tls.authMode="name" tls.permittedPeer=["guard-ship.example"])
"""


_RSYSLOG_TLS = """streamDriver.name="{driver}" streamDriver.mode="1"
  streamDriver.authMode="x509/name" permittedPeer=["guard-ship.example"]"""


class Rsyslog:
    """rsyslog 8 from Debian. With ``tls`` its TCP input speaks TLS, by this driver."""

    def __init__(
        self, directory: Path, certificates: Certificates, driver: str | None = None
    ) -> None:
        program = require_unpacked("usr/sbin/rsyslogd")
        directory.mkdir()
        self.ports = {name: free_port() for name in ("udp", "tcp", "relp", "relps")}
        self._output = directory / "received"
        told = _RSYSLOG.format(
            directory=directory,
            output=self._output,
            ca=certificates.ca,
            cert=certificates.server,
            key=certificates.server_key,
            driver="" if driver is None else _RSYSLOG_TLS.format(driver=driver),
            **self.ports,
        )
        (directory / "conf").write_text(told)
        command = [
            program,
            "-n",
            "-f",
            directory / "conf",
            "-i",
            directory / "pid",
            "-M",
            libraries() / "rsyslog",
        ]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries())}
        tcp, relp = self.ports["tcp"], self.ports["relps"]
        self.process = Process(
            command, directory / "log", lambda: listens(tcp) and listens(relp), env=environment
        )

    def received(self) -> list[dict[str, Any]]:
        return _lines(self._output)


_SYSLOG_NG = """
@version: 3.38
options {{ keep-hostname(yes); use-dns(no); log-msg-size(262144); flush-lines(1);
  time-reopen(1); stats-freq(0); }};
source s_udp {{ syslog(ip("127.0.0.1") transport("udp") port({udp})); }};
source s_tcp {{ syslog(ip("127.0.0.1") transport("tcp") port({tcp})); }};
source s_tls {{ syslog(ip("127.0.0.1") transport("tls") port({tls})
  tls(ca-file("{ca}") cert-file("{cert}") key-file("{key}") peer-verify(required-trusted))); }};
destination d {{ file("{output}" template("$(format-json --scope sdata --key .SDATA.*
  msg=$MSG host=$HOST app=$PROGRAM msgid=$MSGID pri=$PRI)\\n")); }};
log {{ source(s_udp); source(s_tcp); source(s_tls); destination(d); }};
"""


class SyslogNg:
    """syslog-ng 3.38 from Debian."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        program = require_unpacked("usr/sbin/syslog-ng")
        directory.mkdir()
        self.ports = {name: free_port() for name in ("udp", "tcp", "tls")}
        self._output = directory / "received"
        told = _SYSLOG_NG.format(
            output=self._output,
            ca=certificates.ca,
            cert=certificates.server,
            key=certificates.server_key,
            **self.ports,
        )
        (directory / "conf").write_text(told)
        own = UNPACKED / "usr/lib/syslog-ng"
        command = [
            program,
            "--foreground",
            "--no-caps",
            f"--cfgfile={directory / 'conf'}",
            f"--persist-file={directory / 'persist'}",
            f"--pidfile={directory / 'pid'}",
            f"--control={directory / 'ctl'}",
            f"--module-path={own / '3.38'}",
        ]
        environment = {**os.environ, "LD_LIBRARY_PATH": f"{own}:{libraries()}"}
        tls = self.ports["tls"]
        self.process = Process(
            command, directory / "log", lambda: listens(tls), env=environment, cwd=directory
        )

    def received(self) -> list[dict[str, Any]]:
        return _lines(self._output)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]
