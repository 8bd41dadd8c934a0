"""The command line: `up` runs a stack; the others operate on one that runs, whose folder says
where its gateway and its connectors are."""

import asyncio
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import structlog
import typer

from local import annotations, control, doors, folder
from local.deploy import DeployFailedError, Front
from local.deployment import Packed, StackFileError, read_stack
from local.layout import ROOT, Layout, from_environment, settings_file
from local.room import MEGABYTES
from local.terminal import standard
from local.up import up as run
from shared import secretfiles, startup

app = typer.Typer(add_completion=False, no_args_is_help=True)
secret = typer.Typer(no_args_is_help=True, help="Secrets that functions may name.")
app.add_typer(secret, name="secret")

_STACK_FILE = Path("stack.yml")
_SHIPPED = ROOT / "functions"
_DURATION = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

StackName = Annotated[
    str | None, typer.Option("--stack", help="a stack beside the first one, by a word of yours")
]
Directory = Annotated[
    Path | None, typer.Option(help="where data and logs are kept: .local, or .local-STACK")
]
File = Annotated[Path | None, typer.Option("--from-file", "-f", help="standard input without it")]


class CommandError(RuntimeError):
    """It cannot be done. One line for people."""


class Restarted(StrEnum):
    FUNCTIONS = "functions"
    CONNECTORS = "connectors"


@app.callback()
def _commands() -> None:
    """Stonechat on one machine."""
    # What connectors would say of annotations is said by these commands themselves.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@app.command()
def up(
    connectors: Annotated[int, typer.Option(min=1, max=16)] = 1,
    stack: StackName = None,
    gateway_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="8080 for the first stack")
    ] = None,
    directory: Directory = None,
    room: Annotated[
        int, typer.Option(min=1, help="MB: while fewer are free, the stores write nothing")
    ] = MEGABYTES,
) -> None:
    """Starts everything and shows its log."""
    with _told():
        layout = _layout(_folder(stack, directory), connectors, gateway_port)
    terminal = standard()
    code = asyncio.run(run(layout, room, terminal, sys.stdout.isatty()))
    terminal.close()
    raise typer.Exit(code)


@app.command()
def deploy(
    file: Annotated[Path, typer.Option("--file", "-f", help="the stack file")] = _STACK_FILE,
    only: Annotated[str, typer.Option("--filter", help="names with * and ?")] = "*",
    stack: StackName = None,
    directory: Directory = None,
) -> None:
    """Deploys functions of a stack file to what runs: clients can call them at once."""
    with _told():
        running, front = _front(stack, directory)
        for packed in _chosen(file, only):
            _deploy(packed, front, running.doors)


@app.command("list")
def list_(stack: StackName = None, directory: Directory = None) -> None:
    """The functions that are deployed: processes, calls so far, methods."""
    with _told():
        _, front = _front(stack, directory)
        found = front.functions()
        for each in found:
            count = f"{each['availableReplicas']}/{each['replicas']}"
            methods = " ".join(annotations.methods(each["annotations"])) or "no methods"
            typer.echo(f"{each['name']:<16} {count}  {each['invocationCount']:>7}  {methods}")
        if not found:
            typer.echo("no function is deployed")


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument()],
    force: Annotated[bool, typer.Option(help="those that Stonechat ships, too")] = False,
    stack: StackName = None,
    directory: Directory = None,
) -> None:
    """Takes functions away: calls that they have are answered, their methods are unknown then."""
    with _told():
        running, front = _front(stack, directory)
        deployed = {each["name"]: each["annotations"] for each in front.functions()}
        for name in names:
            _require(name, deployed)
            if (_SHIPPED / name).is_dir() and not force:
                raise CommandError(f"{name} is Stonechat's own: nothing is removed without --force")
        for name in names:
            front.remove(name)
            doors.until_unknown(running.doors, annotations.methods(deployed[name]))
            again = "; the next start has it again, as stack.yml names it" * _named(name)
            typer.echo(f"removed {name}{again}")


@app.command()
def logs(
    name: str,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="until Ctrl-C")] = False,
    since: Annotated[str, typer.Option(help="such as 10m, 2h, 3d, or a time: ISO 8601")] = "",
    stack: StackName = None,
    directory: Directory = None,
) -> None:
    """What a function printed."""
    with _told():
        _, front = _front(stack, directory)
        _require(name, [each["name"] for each in front.functions()])
        for line in front.logs(name, _since(since), follow=follow):
            typer.echo(line)


@app.command()
def restart(what: Restarted, stack: StackName = None, directory: Directory = None) -> None:
    """Restarts functions or connectors of what runs, so that they read their secrets again. Calls
    that they have are answered."""
    with _told():
        control.ask(_folder(stack, directory), what)
        typer.echo(f"{what} restarted")


@secret.command("list")
def list_secrets(stack: StackName = None, directory: Directory = None) -> None:
    """Their names."""
    with _told():
        _, front = _front(stack, directory)
        for name in front.secrets():
            typer.echo(name)


@secret.command("create")
def create_secret(
    name: str, file: File = None, stack: StackName = None, directory: Directory = None
) -> None:
    """Makes one, of what a file or standard input says."""
    with _told():
        _, front = _front(stack, directory)
        front.create_secret(name, _text(file))
        typer.echo(f"created {name}: functions that name it can be deployed")


@secret.command("update")
def update_secret(
    name: str, file: File = None, stack: StackName = None, directory: Directory = None
) -> None:
    """Changes one; functions read it when they start."""
    with _told():
        _, front = _front(stack, directory)
        front.update_secret(name, _text(file))
        typer.echo(f"updated {name}: functions read it after `python -m local restart functions`")


@secret.command("remove")
def remove_secret(name: str, stack: StackName = None, directory: Directory = None) -> None:
    """Takes one away."""
    with _told():
        _, front = _front(stack, directory)
        front.remove_secret(name)
        typer.echo(f"removed {name}")


def _deploy(packed: Packed, front: Front, connectors: list[str]) -> None:
    name, given = packed.deployment.name, packed.deployment.annotations
    others = {each["name"]: each["annotations"] for each in front.functions()}
    if found := annotations.complaints(name, given, others):
        raise CommandError(f"{name} is not deployed: {'; '.join(found)}")
    front.up(packed)
    public = annotations.public(given)
    methods = annotations.methods(given)
    doors.until_known(connectors, [each for each in methods if each not in public])
    typer.echo(f"deployed {name}: {' '.join(methods) or 'no methods'}")


def _chosen(file: Path, only: str) -> list[Packed]:
    """The functions whose names match. Raises `CommandError` where none does."""
    found = read_stack(file, Path.cwd())
    chosen = [each for each in found if fnmatch(each.deployment.name, only)]
    if not chosen:
        names = ", ".join(sorted(each.deployment.name for each in found)) or "nothing"
        raise CommandError(f"no function of {file} matches {only!r}; it has {names}")
    return chosen


def _named(name: str) -> bool:
    """Whether the stack file that `up` starts from has it."""
    try:
        return any(each.deployment.name == name for each in read_stack(ROOT / _STACK_FILE))
    except StackFileError:
        return False


def _require(name: str, deployed: dict[str, dict[str, str]] | list[str]) -> None:
    if name not in deployed:
        raise CommandError(f"no function {name} is deployed; there are {', '.join(deployed)}")


def _since(text: str) -> str:
    if found := _DURATION.fullmatch(text):
        return (datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})).isoformat()
    try:
        return datetime.fromisoformat(text).isoformat() if text else ""
    except ValueError:
        raise CommandError(f"--since is 10m, 2h, 3d or a time as ISO 8601, not {text!r}") from None


def _text(file: Path | None) -> str:
    try:
        text = (sys.stdin.read() if file is None else file.read_text()).strip()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    if not text:
        raise CommandError("the secret is empty")
    return text


def _folder(stack: str | None, directory: Path | None) -> Path:
    if directory is not None and stack is not None:
        raise CommandError("--stack and --directory both say which folder: give one of them")
    return directory.resolve() if directory else folder.of_stack(stack, Path.cwd())


def _layout(directory: Path, connectors: int, gateway_port: int | None) -> Layout:
    """Ends the process, with a line for each, where settings or secrets make no sense."""
    file = settings_file()
    _, found = startup.read(str(file) if file else None)
    startup.tell(found)
    layout = from_environment(directory, connectors, gateway_port)
    startup.tell(startup.examine_secrets(layout.secrets, ()))
    return layout


def _front(stack: str | None, directory: Path | None) -> tuple[folder.Running, Front]:
    place = _folder(stack, directory)
    running = folder.running(place)
    secrets = Path(running.secrets)
    user, password = (
        secretfiles.read(secrets, name)
        for name in (secretfiles.GATEWAY_USER, secretfiles.GATEWAY_PASSWORD)
    )
    return running, Front(running.gateway, user, password)


@contextmanager
def _told() -> Iterator[None]:
    """What went wrong is said in one line, and the exit code is 1."""
    try:
        yield
    except (
        CommandError,
        DeployFailedError,
        StackFileError,
        control.ControlError,
        doors.DoorError,
        folder.FolderError,
        secretfiles.SecretMissingError,
        UnicodeDecodeError,
    ) as error:
        typer.echo(f"failed: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
