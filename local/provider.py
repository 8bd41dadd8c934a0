"""The functions behind the gateway front: deployed, rolled over, scaled, removed, kept alive.

What `stack.yml` names runs from the folders there, so that an edit is there at the next start. What
is deployed later runs from an image (`images`) and is kept in the layout's folder, so that it is
there again after a restart; only a function of `stack.yml` is that of `stack.yml` again.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import structlog

from local import images, journal, output
from local.deployment import Deployment, DeploymentError, Packed, parse
from local.processes import Forks, FunctionFailedError, Process, Watchdogs
from local.replica import Replica

logger = structlog.get_logger(__name__)

REPLICAS_LIMIT = 5  # as OpenFaaS CE
WATCHDOG_LABEL = "com.stonechat.watchdog"
_RETIRE_SECONDS = 60.0

# Where the stores and the secrets are is this machine's affair, whatever a deployment says.
_OURS = ("STONECHAT_REDIS_URL", "STONECHAT_MONGO_URL", "STONECHAT_S3_URL", "STONECHAT_GATEWAY_URL")


class UnknownFunctionError(LookupError):
    """No such function is deployed."""


class Function:
    """A deployed function and its replicas."""

    def __init__(self, packed: Packed, replicas: list[Replica]) -> None:
        self.packed = packed
        self.replicas = replicas
        self.invocations = 0
        self.created = datetime.now(UTC)
        self._turn = itertools.count()

    def pick(self) -> Replica | None:
        """The replica with the fewest calls, in turns, so that one that stands still is left
        alone; None where there is none just now."""
        ready = [each for each in self.replicas if each.url is not None]
        if not ready:
            return None
        first = next(self._turn) % len(ready)
        return min([*ready[first:], *ready[:first]], key=lambda each: each.calls)

    def described(self) -> dict[str, Any]:
        """As the gateway's API shows it; `processes` is our own."""
        running = [each.pid for each in self.replicas if each.pid is not None]
        return self.packed.deployment.described() | {
            "replicas": len(self.replicas),
            "availableReplicas": len(running),
            "invocationCount": self.invocations,
            "createdAt": self.created.isoformat(),
            "processes": running,
        }


class Provider:
    """Starts, watches and stops the functions' processes."""

    def __init__(
        self,
        directory: Path,
        secrets: Path,
        environment: Mapping[str, str],
        tell: Callable[[str, str], None],
        watchdog: Path | None = None,
    ) -> None:
        """What function NAME prints goes to `directory/log/NAME.log`, and by line to
        `tell(NAME, line)`. Those with the label `com.stonechat.watchdog` run below the watchdog."""
        self.functions: dict[str, Function] = {}
        self.images = images.Images(directory / "images")
        self._kept = directory / "deployments"
        self._mounts = directory / "mounts"
        self._logs = directory / "log"
        self._secrets = secrets
        self._environment = {name: environment[name] for name in _OURS if name in environment}
        self._tell = tell
        self._forks = Forks()
        self._watchdogs = Watchdogs(watchdog, directory / "watchdog") if watchdog else None
        self._changing = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Makes it able to start functions. Raises `FunctionFailedError`."""
        await self._forks.open()

    async def start(self, given: list[Packed]) -> None:
        """Starts these functions, and those that were deployed before. Raises
        `FunctionFailedError` where one of those given does not start."""
        await _all(self._roll(each, 1) for each in given)
        for packed in self._remembered():
            if packed.deployment.name not in self.functions:
                replica = self._replica(packed)
                replica.keep()  # a function of a team's own must not hold up the others
                self.functions[packed.deployment.name] = Function(packed, [replica])
        self.images.sweep(each.packed.folder.parent for each in self.functions.values())

    async def lost(self) -> None:
        """Returns when no function can be started any more, which is not repaired here."""
        await self._forks.lost()

    async def stop(self) -> None:
        """Stops all functions."""
        replicas = [replica for each in self.functions.values() for replica in each.replicas]
        await asyncio.gather(*(replica.end() for replica in replicas))
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._forks.close()

    async def deploy(self, deployment: Deployment, context: Path) -> None:
        """Returns when the function runs its image, or the build context where there is a newer
        one; calls that an older one has are answered by that. Raises `FunctionFailedError` and
        `images.ImageError`, and all stays as it was."""
        async with self._changing:
            if self.images.is_newer(context, deployment.image):
                image = await self.images.take(deployment.image, context)
            else:
                image = self.images.find(deployment.image)
            packed = Packed(deployment, image / "function", images.packages(image))
            before = self.functions.get(deployment.name)
            await self._roll(packed, max(1, len(before.replicas)) if before else 1)
            self._remember(packed)
        logger.info(
            "function_deployed",
            function=deployment.name,
            version=deployment.version,
            methods=deployment.methods,
        )

    async def restart(self) -> None:
        """All functions anew, as they are: secrets and settings are read again. Raises
        `FunctionFailedError` where one does not start, which goes on as it was."""
        async with self._changing:
            functions = list(self.functions.values())
            await _all(self._roll(each.packed, len(each.replicas)) for each in functions)

    async def remove(self, name: str) -> None:
        """From now on there is no such function; calls it has are answered. Raises
        `UnknownFunctionError`."""
        async with self._changing:
            function = self._of(name)
            del self.functions[name]
            (self._kept / f"{name}.json").unlink(missing_ok=True)
            self._retire(function.replicas)

    async def scale(self, name: str, count: int) -> None:
        """Raises `UnknownFunctionError`, `DeploymentError` and `FunctionFailedError`."""
        if not 0 <= count <= REPLICAS_LIMIT:
            raise DeploymentError(f"a function has 0 to {REPLICAS_LIMIT} replicas")
        async with self._changing:
            function = self._of(name)
            more = await self._started(function.packed, count - len(function.replicas))
            kept, surplus = function.replicas[:count], function.replicas[count:]
            function.replicas = [*kept, *more]
            self._retire(surplus)

    def log(self, name: str) -> Path:
        """What the function printed. Raises `UnknownFunctionError`."""
        return self._log(self._of(name).packed)

    def _of(self, name: str) -> Function:
        if name not in self.functions:
            raise UnknownFunctionError(name)
        return self.functions[name]

    async def _roll(self, packed: Packed, count: int) -> None:
        """The new one takes the calls when it is healthy; then the old one finishes its own."""
        replicas = await self._started(packed, count)
        before = self.functions.get(packed.deployment.name)
        self.functions[packed.deployment.name] = Function(packed, replicas)
        if before is not None:
            self._retire(before.replicas)

    async def _started(self, packed: Packed, count: int) -> list[Replica]:
        replicas = [self._replica(packed) for _ in range(count)]
        try:
            await _all(replica.start() for replica in replicas)
        except BaseException:
            await asyncio.gather(*(replica.end() for replica in replicas))
            raise
        return replicas

    def _retire(self, replicas: list[Replica]) -> None:
        for replica in replicas:
            task = asyncio.create_task(replica.retire(_RETIRE_SECONDS))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _replica(self, packed: Packed) -> Replica:
        log = self._log(packed)

        async def launch() -> Process:
            return await self._launch(packed, log)

        return Replica(packed.deployment.name, launch, lambda: journal.plain(output.last_line(log)))

    async def _launch(self, packed: Packed, log: Path) -> Process:
        name = packed.deployment.name
        environment = packed.deployment.environment | self._environment
        environment["STONECHAT_SECRETS_DIR"] = str(self._mounted(packed.deployment))
        environment["STONECHAT_FUNCTION"] = name
        output.rotate(log)
        starter: Forks | Watchdogs = self._forks
        if packed.deployment.labels.get(WATCHDOG_LABEL) == "true":
            if self._watchdogs is None:
                raise FunctionFailedError(f"function {name} wants a watchdog, and there is none")
            starter = self._watchdogs
        return await starter.start(packed, environment, log, lambda line: self._tell(name, line))

    def _mounted(self, deployment: Deployment) -> Path:
        """A folder with the function's secrets, and no others."""
        folder = self._mounts / deployment.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in folder.iterdir():
            if each.name not in deployment.secrets:
                each.unlink()
        for name in deployment.secrets:
            secret, link = self._secrets / name, folder / name
            if "/" in name or not secret.is_file():
                raise FunctionFailedError(f"function {deployment.name}: there is no secret {name}")
            with suppress(FileExistsError):
                link.symlink_to(secret)
        return folder

    def _log(self, packed: Packed) -> Path:
        return self._logs / f"{packed.deployment.name}.log"

    def _remember(self, packed: Packed) -> None:
        self._kept.mkdir(parents=True, exist_ok=True)
        name = packed.deployment.name
        value = {
            "deployment": packed.deployment.model_dump(by_alias=True),
            "context": str(packed.folder.parent),
        }
        temporary = self._kept / f".{name}"
        temporary.write_bytes(orjson.dumps(value))
        temporary.rename(self._kept / f"{name}.json")

    def _remembered(self) -> Iterator[Packed]:
        for file in sorted(self._kept.glob("*.json")):
            try:
                value = orjson.loads(file.read_bytes())
                context = Path(value["context"])
                deployment = parse(value["deployment"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.error("deployment_unreadable", file=file.name, error=error)
                continue
            yield Packed(deployment, context / "function", images.packages(context))


async def _all(works: Iterator[Coroutine[Any, Any, None]]) -> None:
    """Waits for all, then raises what the first that failed raised."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
