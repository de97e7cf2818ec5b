# SPDX-License-Identifier: Apache-2.0
"""What is packaged for shipping: the example, the unit, and configurations of other shippers.

Fluent Bit, Vector and Filebeat cannot be installed where these tests run: their
files are held to be YAML of the expected structure, and to fit the example.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from guard.audit.render_ecs import render_ecs
from guard.cli.main import main
from guard.ship.config import parse
from guard.ship.service import GRACE_SECONDS
from guard.ship.settings import BATCH, CONFIG, METRICS, RETRY, SECRET, SINKS, TLS
from tests.ship.support import message

PACKAGING = Path(__file__).parents[2] / "packaging"
SHIPPERS = sorted((PACKAGING / "shippers").iterdir())
UNIT = PACKAGING / "systemd/guard-ship.service"
EXAMPLE = PACKAGING / "ship/ship.yaml"
MANUAL = Path(__file__).parents[2] / "docs/manual/shipping.md"


class Strict(yaml.SafeLoader):
    """Refuses keys that are written twice."""


def _mapping(loader: Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(map(str, keys))), keys
    return {
        loader.construct_object(key): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


Strict.add_constructor("tag:yaml.org,2002:map", _mapping)


def _read(path: Path) -> Any:
    return yaml.load(path.read_text(), Strict)  # noqa: S506 - a safe loader, and stricter


def _log() -> str:
    config = parse(EXAMPLE.read_bytes(), "ship.yaml").config
    assert config is not None
    return str(next(one for one in config.sinks if one.type == "file").options["path"])


def test_the_example_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ship", "--config", str(EXAMPLE), "--check"]) == 0
    assert capsys.readouterr().out.endswith("1 sink: ok\n")


def test_what_the_example_has_in_comments_is_clean_too() -> None:
    text = re.sub(r"^  # (?=[- ] )", "  ", EXAMPLE.read_text(), flags=re.MULTILINE)
    parsed = parse(text.encode(), "ship.yaml")
    assert parsed.config is not None, parsed.diagnostics
    assert [one.type for one in parsed.config.sinks] == ["file", "relp", "splunk"]


def test_other_shippers_are_the_three_that_are_promised() -> None:
    assert [path.name for path in SHIPPERS] == ["filebeat.yml", "fluent-bit.yaml", "vector.yaml"]


@pytest.mark.parametrize("path", SHIPPERS, ids=lambda path: path.name)
def test_another_shippers_file_is_yaml_and_reads_the_examples_log(path: Path) -> None:
    assert isinstance(_read(path), dict)
    assert _log() in path.read_text()


@pytest.mark.parametrize("path", SHIPPERS, ids=lambda path: path.name)
def test_another_shipper_drops_nothing_in_silence(path: Path) -> None:
    told = _read(path)
    match path.name:
        case "fluent-bit.yaml":
            (tail,) = told["pipeline"]["inputs"]
            (out,) = told["pipeline"]["outputs"]
            assert tail["storage.type"] == "filesystem" and tail["db"]
            assert out["retry_limit"] == "no_limits" and out["tls.verify"] is True
            assert tail["tag"] == out["match"]
            assert tail["parser"] in {one["name"] for one in told["parsers"]}
        case "vector.yaml":
            known = {*told["sources"], *told["transforms"], "guard.dropped"}
            inputs = [*told["transforms"].values(), *told["sinks"].values()]
            assert {name for one in inputs for name in one["inputs"]} <= known
            siem = told["sinks"]["siem"]
            assert siem["acknowledgements"]["enabled"] and siem["buffer"]["when_full"] == "block"
            assert told["transforms"]["guard"]["reroute_dropped"]
        case _:
            (source,) = told["filebeat.inputs"]
            document: Any = json.loads(render_ecs(dict(message(1).record)))
            for name in source["parsers"][0]["ndjson"]["document_id"].split("."):
                document = document[name]
            assert document == message(1).id
            assert told["output.elasticsearch"]["ssl.verification_mode"] == "full"


@pytest.mark.parametrize(
    ("program", "words", "name"),
    [
        ("fluent-bit", ["--dry-run", "--config"], "fluent-bit.yaml"),
        ("vector", ["validate", "--no-environment"], "vector.yaml"),
        ("filebeat", ["test", "config", "-c"], "filebeat.yml"),
    ],
)
def test_the_shipper_itself_finds_nothing_wrong(program: str, words: list[str], name: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    subprocess.run([program, *words, PACKAGING / "shippers" / name], check=True)


def _unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_has_no_privilege_and_may_reach_the_network() -> None:
    unit = _unit()
    assert unit["User"] == ["guard-ship"] and unit["NoNewPrivileges"] == ["yes"]
    assert unit["CapabilityBoundingSet"] == [""] and unit["AmbientCapabilities"] == [""]
    assert set(unit["RestrictAddressFamilies"][0].split()) == {"AF_INET", "AF_INET6", "AF_UNIX"}
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["ReadWritePaths"] == ["-/var/lib/guard/spool/cursors"]


def test_the_units_paths_are_those_of_the_defaults() -> None:
    unit = _unit()
    config = parse(EXAMPLE.read_bytes(), "ship.yaml").config
    assert config is not None
    assert config.state == f"/var/lib/{unit['StateDirectory'][0]}"
    assert unit["ReadWritePaths"] == [f"-{config.spool}/cursors"]
    assert str(config.metrics_socket).startswith(f"/run/{unit['RuntimeDirectory'][0]}/")
    assert _log().startswith(f"/var/log/{unit['LogsDirectory'][0]}/")


def test_the_unit_reloads_and_is_watched() -> None:
    unit = _unit()
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["Type"] == ["notify"] and int(unit["WatchdogSec"][0]) > 2 * GRACE_SECONDS


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """As installed, where there is a program and an account of these names."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = UNIT.read_text().replace("/usr/bin/guard ", "/bin/true ")
    (tmp_path / UNIT.name).write_text(text)
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name],
        capture_output=True,
        text=True,
        check=False,
    )
    mine = [line for line in told.stderr.splitlines() if UNIT.name in line]
    assert (told.returncode, mine) == (0, []), told.stderr


def test_systemd_rates_the_units_exposure_low() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout.splitlines()[-1]


def test_the_manual_has_every_setting_and_its_default() -> None:
    text = MANUAL.read_text()
    for group in (CONFIG, METRICS, BATCH, RETRY, TLS, SECRET, *SINKS.values()):
        for one in group.settings:
            assert f"`{one.name}`" in text, f"{group.title}: {one.name}"
            if one.shown:
                assert f"`{one.shown}`" in text, f"{group.title}: {one.name}: {one.shown}"
    assert [kind for kind in SINKS if f"| `{kind}`" not in text] == []


def test_the_configurations_in_the_manual_are_clean() -> None:
    blocks = re.findall(r"^```yml\n(.*?)^```", MANUAL.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        whole = block if block.startswith("version:") else f"version: 1\nsinks:\n{block}"
        assert parse(whole.encode(), "shipping.md").diagnostics == []
