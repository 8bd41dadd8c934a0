"""What is in infra/ agrees with the code. No tool is needed for these."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import chart
from shared import secretfiles, variables
from shared.settings import Settings

INFRA = chart.ROOT / "infra"
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
VALUES: dict[str, Any] = yaml.safe_load((chart.CHART / "values.yaml").read_text())
SECRETS = set(secretfiles.SECRETS)
# The chart speaks of settings in general by the one name; compose publishes its port by the other.
OTHERS = {each.name for each in variables.OTHERS} | {"STONECHAT_NAME", "STONECHAT_PUBLISH"}
DOCKERFILES = sorted(INFRA.glob("*.Dockerfile"))


def test_the_chart_knows_the_functions() -> None:
    stale = "run `make reference` and commit what it writes"
    assert chart.FUNCTIONS.read_text() == chart.written(), stale


def test_every_secret_named_is_one_there_is() -> None:
    used = {name for each in chart.functions().values() for name in each["secrets"]}
    assert used <= SECRETS
    text = "".join(file.read_text() for file in chart.CHART.rglob("*") if file.is_file())
    assert set(re.findall(r"stonechat-[a-z]+-(?:keys?|public|token)\b", text)) <= SECRETS


def test_every_function_has_what_it_takes_and_no_key_of_others() -> None:
    everybodys = {secretfiles.CONNECTOR_PUBLIC, secretfiles.METRICS_TOKEN}
    of_sign_in = {secretfiles.SIGNING_KEY, secretfiles.SIGNING_PUBLIC}
    for name, each in chart.functions().items():
        has = set(each["secrets"])
        assert everybodys <= has, name
        assert (has & of_sign_in) == (of_sign_in if name == "auth" else set()), name
        assert secretfiles.CONNECTOR_KEY not in has, name


def test_every_setting_named_is_one_there_is() -> None:
    known = OTHERS | {f"STONECHAT_{name.upper()}" for name in Settings.model_fields}
    for file in (file for file in INFRA.rglob("*") if file.is_file()):
        named = set(re.findall(r"STONECHAT_[A-Z0-9_]*[A-Z0-9]", file.read_text()))
        assert named <= known, file


def test_the_values_hold_no_secret_and_fit_their_schema() -> None:
    assert not re.search(r"(?i)(password|token|_key)\s*:", yaml.safe_dump(VALUES))
    schema = json.loads((chart.CHART / "values.schema.json").read_text())
    assert set(VALUES) <= set(schema["properties"])


def test_functions_leave_room_for_their_overrides() -> None:
    assert set(VALUES["functions"]["overrides"]) <= set(chart.functions())


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_dockerfiles_copy_what_is_there_and_nothing_else_is_sent(file: Path) -> None:
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", file.read_text(), re.M)
        for source in line.split()[:-1]
    }
    allowed = {
        line[1:]
        for line in Path(f"{file}.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert copied == allowed
    assert [name for name in copied if not (chart.ROOT / name).exists()] == []
    assert re.search(r"^USER \d+$", file.read_text(), re.M)


def test_compose_shows_the_connector_alone_and_to_this_machine_alone() -> None:
    published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert published == {"stonechat": ["${STONECHAT_PUBLISH:-127.0.0.1:8001}:8001"]}
    assert not [name for name, each in SERVICES.items() if "network_mode" in each]
    stores = set(SERVICES) - {"stonechat"}
    assert {name for name, each in SERVICES.items() if each["networks"] == ["stores"]} == stores
    assert COMPOSE["networks"]["stores"] == {"internal": True}


@pytest.mark.parametrize("name", SERVICES)
def test_compose_confines_every_container(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert set(service.get("cap_add", [])) <= {"CHOWN", "SETUID", "SETGID"}
    assert not {"privileged", "devices", "pid", "ipc"} & set(service)
    # Named volumes alone: nothing of the machine, a socket of its engine least of all.
    assert {each.split(":")[0] for each in service["volumes"]} <= set(COMPOSE["volumes"])


def test_compose_points_at_its_own_stores() -> None:
    ours = SERVICES["stonechat"]
    stores = {"STONECHAT_REDIS_URL": "valkey:6379", "STONECHAT_MONGO_URL": "mongo:27017"}
    stores |= {"STONECHAT_S3_URL": "s3:8333"}
    assert {address.split(":")[0] for address in stores.values()} == set(ours["depends_on"])
    for variable, address in stores.items():
        assert f"//{address}/" in ours["environment"][variable] + "/"
        assert SERVICES[address.split(":")[0]]["healthcheck"]


def test_compose_starts_again_what_ends_and_knows_what_is_well() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] == "CMD", name
    ours = COMPOSE["services"]["stonechat"]
    assert all(each["condition"] == "service_healthy" for each in ours["depends_on"].values())


def test_every_image_has_a_version() -> None:
    images = [each["image"] for each in SERVICES.values() if "image" in each]
    files = [*DOCKERFILES, chart.ROOT / "template/stonechat/Dockerfile"]
    for file in files:
        begun = re.findall(r"^FROM (\S+)", file.read_text(), re.M)
        assert set(begun) == {"${PYTHON}"}, file
        images += re.findall(r"^ARG PYTHON=(.+)$", file.read_text(), re.M)
    assert len(images) == 3 + len(files)
    for image in [*images, VALUES["router"]["image"]]:
        assert re.search(r":\d", image), image
        assert "minio" not in image
