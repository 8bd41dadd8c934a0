"""The framework: a feature is a `Function` with methods, and `handle` is what OpenFaaS calls.

    poll = Function("poll")

    @poll.method("poll.create")
    def create(call: Call[Create]) -> dict[str, Any]: ...

    handle = poll.handle

A method takes a `Call` with validated params and returns the result, or raises `CallError`. Its
params model is read from the annotation. Where the params carry a `cid`, the first result is kept
and a repeated call gets it without running again.

`@fn.batch` registers a method that takes the calls of a batch at once, and returns a result or a
`CallError` for each, in order; a repeated `cid` is its own affair.

`@fn.event` registers a handler of domain events (see `events`), which takes those of a batch and
returns for each None, or a `CallError`: one that says to try again with a `retry_after` gets the
event again after that many seconds, any other after a back-off, and in the end the event is put
aside as dead. An event comes at least once and in any order. Nobody but the connectors reaches a
handler of events.

`@fn.before` registers a hook: it takes calls of another function's method (`Proposal`) before that
function gets them, and returns for each None, to let it pass, or the `CallError` that its caller is
told.

`@fn.raw` registers a handler of requests that come as they are, from anywhere, such as a webhook's.
Everything else a function executes was signed by a connector (see `signatures`).

Calls of one session keep their order; calls of different people in a batch may run side by side.
The answers to a batch are the answers to its calls one by one, whatever else is in it (`guarding`).
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pymongo.errors import PyMongoError

from shared import doors, guarding, signatures, startup, telemetry, tokens
from shared.call import Call
from shared.commands import expiring
from shared.doors import Event, Proposal, RawRequest, Received, Response
from shared.errors import CallError, Reason, invalid_params
from shared.events import Happened
from shared.ids import request_id as new_request_id
from shared.params import invalid_model
from shared.readiness import Readiness
from shared.settings import settings
from shared.subjects import about

F = TypeVar("F", bound=Callable[..., Any])
Handler = Callable[[Sequence[Happened]], Sequence[CallError | None]]
H = TypeVar("H", bound=Handler)
Hook = Callable[[Sequence[Proposal]], Sequence[CallError | None]]
K = TypeVar("K", bound=Hook)
Raw = Callable[[RawRequest], Response]
W = TypeVar("W", bound=Raw)

_RAW_BODY = 64 * 1024


class HttpEvent(Protocol):
    """What the OpenFaaS Python templates hand to `handle`."""

    body: bytes
    headers: Any
    method: str
    path: str
    query: Any


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    run: Callable[..., Any]
    params: TypeAdapter[Any]
    many: TypeAdapter[list[Any]]
    result: Any  # the shape, for the published reference
    public: bool
    reads: bool
    batched: bool


@dataclass(frozen=True, slots=True)
class RawRoute:
    run: Raw
    body_limit: int


class Function:
    """A deployable set of methods."""

    def __init__(self, name: str, *, secrets: Sequence[str] = ()) -> None:
        """`name` is the one that it is deployed under: batches are signed for it. `secrets` are
        those that it needs beside every function's own (`secretfiles`). Ends the process where
        its settings make no sense, and raises `ValueError` where the name is known to be
        another."""
        self.needs = startup.of_function(*secrets)
        self._readiness = Readiness()
        try:
            deployed = settings().function or name
        except ValidationError:
            startup.require(name, lambda config: self.needs)
            raise
        if deployed != name:
            raise ValueError(f"deployed as {deployed}, its handler says Function({name!r})")
        self.name = name
        self.methods: dict[str, Method] = {}
        self.events: dict[str, Handler] = {}
        self.hooks: dict[str, Hook] = {}
        self.raws: dict[str, RawRoute] = {}
        telemetry.configure(name, settings().log_level, quotes=settings().log_quotes)

    def method(
        self, name: str, *, result: Any = None, public: bool = False, reads: bool = False
    ) -> Callable[[F], F]:
        """Registers a method that takes one call. `result` is the shape of what it returns, for
        the published reference; a `public` one may be called without signing in; one that only
        `reads` may be repeated where its answer was lost."""
        return self._register(name, result, public=public, reads=reads, batched=False)

    def batch(
        self, name: str, *, result: Any = None, public: bool = False, reads: bool = False
    ) -> Callable[[F], F]:
        """Registers a method that takes a list of calls."""
        return self._register(name, result, public=public, reads=reads, batched=True)

    def event(self, type_: str) -> Callable[[H], H]:
        """Registers a handler of this type of event; it may have several."""

        def register(run: H) -> H:
            self.events[type_] = run
            return run

        return register

    def before(self, method: str) -> Callable[[K], K]:
        """Registers a hook that sees this method's calls first."""

        def register(run: K) -> K:
            self.hooks[method] = run
            return run

        return register

    def raw(self, path: str, *, body_limit: int = _RAW_BODY) -> Callable[[W], W]:
        """Registers a handler of the requests to this path (such as `/hook`) and below it, with a
        body of at most `body_limit` bytes. It checks by itself who sent them; a `CallError` that
        it raises is answered with its HTTP status. `stonechat.raw` is the path's annotation."""

        def register(run: W) -> W:
            self.raws[path.rstrip("/")] = RawRoute(run, body_limit)
            return run

        return register

    def handle(self, event: HttpEvent, context: object) -> Response:
        """Answers one HTTP request: a connector's batch, a raw route's, or `GET …/metrics`."""
        headers = {str(name).title(): value for name, value in event.headers.items()}
        try:
            if doors.is_batch(headers):
                received = doors.parse_batch(self.name, headers, event.body)
                return doors.batch_answer(received, self._batch(received))
        except Exception as failure:
            return doors.refusal(guarding.refusal(failure, "door"), new_request_id())
        return self._unsigned(event, headers)

    def answer(self, events: Sequence[Event]) -> list[Any]:
        """A result or a `CallError` for each event, in order."""
        telemetry.BATCH_CALLS.observe(len(events))
        answers: list[Any] = [CallError(Reason.UNKNOWN_METHOD)] * len(events)
        for name, indexes in self._stages(events):
            method = self.methods[name]
            calls = self._validated(method, events, indexes, answers)
            if not calls:
                continue
            started = time.perf_counter()
            found = self._run(method, [call for _, call in calls])
            telemetry.CALL_SECONDS.labels(name).observe(time.perf_counter() - started)
            for (index, _), answer in zip(calls, found, strict=True):
                answers[index] = answer
        outcomes = Counter(
            (
                event.method if event.method in self.methods else "unknown",
                answer.reason if isinstance(answer, CallError) else "ok",
            )
            for event, answer in zip(events, answers, strict=True)
        )
        for labels, count in outcomes.items():
            telemetry.CALLS.labels(*labels).inc(count)
        return answers

    def tell(self, happened: Sequence[Happened]) -> list[CallError | None]:
        """What became of each domain event, in order. A handler gets all of its events at once."""
        outcomes: list[CallError | None] = [CallError(Reason.UNKNOWN_METHOD)] * len(happened)
        batches: dict[Handler, list[int]] = {}
        for index, event in enumerate(happened):
            if event.type in self.events:
                batches.setdefault(self.events[event.type], []).append(index)
        for run, indexes in batches.items():
            batch = [happened[index] for index in indexes]
            found = guarding.together(batch, run, batch[0].type)
            for index, outcome in zip(indexes, found, strict=True):
                outcomes[index] = outcome
        for event, outcome in zip(happened, outcomes, strict=True):
            type_ = event.type if event.type in self.events else "unknown"
            telemetry.EVENTS.labels(type_, str(outcome.reason) if outcome else "ok").inc()
        return outcomes

    def judge(self, proposals: Sequence[Proposal]) -> list[CallError | None]:
        """Whether each of these calls of other functions may pass (None)."""
        verdicts: list[CallError | None] = [CallError(Reason.UNKNOWN_METHOD)] * len(proposals)
        batches: dict[str, list[int]] = {}
        for index, proposal in enumerate(proposals):
            if proposal.method in self.hooks:
                batches.setdefault(proposal.method, []).append(index)
        for method, indexes in batches.items():
            shown = [proposals[each] for each in indexes]
            found = guarding.together(shown, self.hooks[method], method)
            for index, verdict in zip(indexes, found, strict=True):
                verdicts[index] = verdict
        return verdicts

    def start(self) -> None:
        """What the template does before it serves: settings and secrets are looked at, and the
        process ends where they make no sense, with a line for each that does not."""
        startup.require(self.name, lambda config: self.needs)
        signatures.checker()

    def ready(self) -> bool:
        """Returns True, or raises `NotReadyError` that says in a line what is missing: a secret, or
        an answer of a store. The template's readiness asks it."""
        self._readiness.require(lambda config: self.needs)
        return True

    def _batch(self, received: Sequence[Received | CallError]) -> list[Any]:
        """The answers to whatever came, in its order."""
        kinds: dict[type, tuple[list[Any], Callable[[list[Any]], list[Any]]]] = {
            Event: ([], self.answer),
            Happened: ([], self.tell),
            Proposal: ([], self.judge),
            CallError: ([], lambda refusals: refusals),
        }
        for each in received:
            kinds[type(each)][0].append(each)
        answers = {kind: iter(run(items) if items else []) for kind, (items, run) in kinds.items()}
        return [next(answers[type(each)]) for each in received]

    def _unsigned(self, event: HttpEvent, headers: dict[str, str]) -> Response:
        query = {str(name): str(value) for name, value in dict(event.query).items()}
        id_ = new_request_id()
        request = RawRequest(event.method, event.path, query, headers, event.body, id_)
        with about((request,)):
            try:
                if event.method == "GET" and event.path.strip("/") == "metrics":
                    return self._metrics(headers)
                return self._raw(request)
            except Exception as failure:
                return doors.refusal(guarding.refusal(failure, "door"), id_)

    def _raw(self, request: RawRequest) -> Response:
        for path, route in self.raws.items():
            if request.path.rstrip("/") == path or request.path.startswith(path + "/"):
                if len(request.body) > route.body_limit:
                    raise CallError(Reason.TOO_LARGE, f"at most {route.body_limit} bytes")
                return route.run(request._replace(path=request.path.removeprefix(path)))
        raise CallError(Reason.UNAUTHENTICATED, "functions are called through a connector")

    def _register(
        self, name: str, result: Any, *, public: bool, reads: bool, batched: bool
    ) -> Callable[[F], F]:
        def register(run: F) -> F:
            model: Any = _params_model(run)
            one, many = TypeAdapter(model), TypeAdapter(list[model])
            self.methods[name] = Method(name, run, one, many, result, public, reads, batched)
            return run

        return register

    def _stages(self, events: Sequence[Event]) -> list[tuple[str, list[int]]]:
        """Groups the events by method, such that each session's calls keep their order."""
        stages: dict[tuple[int, str], list[int]] = {}
        latest: dict[str | None, tuple[int, str]] = {}
        for index, event in enumerate(events):
            if event.method not in self.methods:
                continue
            session = event.caller.session
            stage, method = latest.get(session, (0, event.method))
            place = (stage + (method != event.method), event.method)
            latest[session] = place
            stages.setdefault(place, []).append(index)
        return [(place[1], indexes) for place, indexes in sorted(stages.items())]

    def _validated(
        self, method: Method, events: Sequence[Event], indexes: list[int], answers: list[Any]
    ) -> list[tuple[int, Call[Any]]]:
        """The calls that fit the method, with their indexes; the others are answered."""
        allowed = []
        for index in indexes:
            if method.public or events[index].caller.uid is not None:
                allowed.append(index)
            else:
                answers[index] = CallError(Reason.UNAUTHENTICATED)
        asked = [events[index] for index in allowed]
        try:
            params = [event.params for event in asked]
            found: Sequence[Any] = method.many.validate_python(params, strict=True)
        except Exception:  # somebody's do not fit: whose, is found one by one
            found = guarding.each(asked, lambda event: _fitted(method, event.params), method.name)
        calls = []
        for index, fitted in zip(allowed, found, strict=True):
            event = events[index]
            try:
                if isinstance(fitted, CallError):
                    raise fitted
                cid = None if method.public else _cid(event.params)
                call = Call(method.name, fitted, event.caller, cid, event.request_id)
                calls.append((index, call))
            except CallError as refusal:
                answers[index] = refusal
        return calls

    def _run(self, method: Method, calls: Sequence[Call[Any]]) -> list[Any]:
        """People side by side and each one's calls in order, where a method takes one: who calls
        often waits for themselves."""
        if method.batched:
            return guarding.together(calls, method.run, method.name)
        return guarding.side_by_side(
            calls,
            lambda call: call.caller.uid or call.caller.session or id(call),
            lambda call: self._run_one(method, call),
            method.name,
        )

    def _run_one(self, method: Method, call: Call[Any]) -> Any:
        if call.cid is None or call.caller.uid is None:
            return method.run(call)
        return self._run_once(method, call)

    def _run_once(self, method: Method, call: Call[Any]) -> Any:
        key = call.key
        mine, result = expiring().claim(key)
        if not mine:
            return result
        try:
            result = method.run(call)
            expiring().keep(key, result)
        except Exception:
            with suppress(PyMongoError):
                expiring().release(key)
            raise
        return result

    def _metrics(self, headers: dict[str, str]) -> Response:
        if not tokens.is_metrics_token(tokens.bearer(headers.get("Authorization"))):
            raise CallError(Reason.UNAUTHENTICATED, "not the metrics token")
        return generate_latest(), 200, {"Content-Type": CONTENT_TYPE_LATEST}


def _fitted(method: Method, params: dict[str, Any]) -> Any:
    try:
        return method.params.validate_python(params, strict=True)
    except ValidationError as invalid:
        raise invalid_model(invalid) from None


def _cid(params: dict[str, Any]) -> str | None:
    """The client's id of this command. A method need not declare it to have its calls replayed."""
    cid = params.get("cid")
    if cid is not None and not (isinstance(cid, str) and 1 <= len(cid) <= 64):
        raise invalid_params(["cid"], "a cid is a string of 1 to 64 characters", "cid")
    return cid


def _params_model(run: Callable[..., Any]) -> type[BaseModel]:
    """The model in `Call[Model]`, which the first parameter is annotated with, or a list of."""
    annotation = next(iter(get_type_hints(run).values()))
    (inner,) = get_args(annotation)
    model = inner if isinstance(inner, type) else get_args(inner)[0]
    if not issubclass(model, BaseModel):
        raise TypeError(f"{run.__name__}: params must be a pydantic model")
    return model
