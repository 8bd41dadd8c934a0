"""A function as it is to run, from a stack file, the gateway's API, or what was kept.

The shapes are OpenFaaS' own (`FunctionDeployment` and `FunctionStatus` of its API).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

NAMESPACE = "openfaas-fn"

# RFC 1123, as Kubernetes names services.
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class StackFileError(ValueError):
    """The stack file cannot be used. One line for people."""

    plain = True


class DeploymentError(ValueError):
    """The deployment makes no sense. One line for people."""

    plain = True


class Resources(BaseModel):
    memory: str = ""
    cpu: str = ""


class Deployment(BaseModel):
    """What `faas-cli` sends. What a process cannot honour (limits, say) is kept and shown."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    name: str = Field(alias="service")
    image: str = Field(min_length=1, max_length=500)
    namespace: str = NAMESPACE
    environment: dict[str, str] = Field(default_factory=dict, alias="envVars")
    secrets: list[str] = []
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    constraints: list[str] = []
    limits: Resources | None = None
    requests: Resources | None = None
    read_only: bool = Field(default=False, alias="readOnlyRootFilesystem")

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a name has a-z, 0-9 and dashes, 63 at most")
        return name

    @field_validator("namespace", mode="before")
    @classmethod
    def _ours(cls, namespace: str | None) -> str:
        if namespace not in (None, "", NAMESPACE):
            raise ValueError(f"there is one namespace, {NAMESPACE}")
        return NAMESPACE

    @field_validator(
        "environment", "secrets", "labels", "annotations", "constraints", mode="before"
    )
    @classmethod
    def _absent(cls, value: Any, info: Any) -> Any:
        if value is None:
            return [] if info.field_name in ("secrets", "constraints") else {}
        return value

    @property
    def version(self) -> str:
        """The tag of its image, empty where it has none."""
        return self.image.rpartition("/")[2].partition(":")[2]

    @property
    def methods(self) -> int:
        """How many it announces."""
        return len(list(filter(None, self.annotations.get("stonechat.methods", "").split(","))))

    def described(self) -> dict[str, Any]:
        """As the API shows it, but for what is known of its processes."""
        found = self.model_dump(by_alias=True, exclude={"name"}, exclude_none=True)
        return {"name": self.name, "envProcess": ""} | found


@dataclass(frozen=True)
class Packed:
    """A deployment and where its handler is."""

    deployment: Deployment
    folder: Path
    packages: Path | None = field(default=None)  # what its requirements.txt brought


def parse(value: object) -> Deployment:
    """The body of a deploy call. Raises `DeploymentError`."""
    try:
        return Deployment.model_validate(value)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(str(each) for each in first["loc"])
        raise DeploymentError(f"{where}: {first['msg']}") from None


def read_stack(file: Path, root: Path | None = None) -> list[Packed]:
    """The functions of a stack file, which run from their handlers' folders; those are relative to
    the root, else to the file's own. Raises `StackFileError`."""
    try:
        functions = yaml.safe_load(file.read_text())["functions"]
        return [_packed(name, root or file.parent, each) for name, each in functions.items()]
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError, DeploymentError) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise StackFileError(f"{file.name} cannot be used: {told}") from None


def _packed(name: str, root: Path, each: Mapping[str, Any]) -> Packed:
    folder = (root / each["handler"]).resolve()
    if not (folder / "handler.py").exists():
        raise StackFileError(f"function {name}: there is no handler.py in {folder}")

    def texts(key: str) -> dict[str, str]:
        return {name: str(value) for name, value in (each.get(key) or {}).items()}

    given = {
        "service": name,
        "image": each.get("image", name),
        "envVars": texts("environment"),
        "secrets": each.get("secrets"),
        "labels": texts("labels"),
        "annotations": texts("annotations"),
        "limits": each.get("limits"),
        "requests": each.get("requests"),
        "readOnlyRootFilesystem": each.get("readonly_root_filesystem", False),
    }
    return Packed(parse(given), folder)
