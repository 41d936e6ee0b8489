"""The web server's answers: a page without data, and data for those who have a key."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from motoko.cli.render import run_actions
from motoko.cli.render.web import page_data
from motoko.cli.render.web.guard import Guard, refusal
from motoko.config import WorkflowConfig
from motoko.errors import MotokoError
from motoko.reports.run_pages import RunQuery, run_page
from motoko.runs.references import Reference, reference
from motoko.views.feed import Feed

PAUSE_S = 0.4  # between two messages to a page: a change has to be there within 1 s
BEAT_S = 5.0  # between two messages while nothing changes
PAGE_MAX = 500  # runs
_STATIC = {"app.js": "text/javascript", "style.css": "text/css"}
# The page loads and runs nothing but its own files: not even markup that got in could.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Answer = Callable[[Request], Awaitable[Response]]
_ACTIONS = {"cancel": run_actions.cancel, "retry": run_actions.retry}


class Site:
    """A workflow's web site.

    Args:
        config: the workflow.
        guard: whom it answers.
        has_control: whether runs may be cancelled and retried.

    Attributes:
        feed: what it shows.
    """

    def __init__(self, config: WorkflowConfig, guard: Guard, *, has_control: bool) -> None:
        self.feed = Feed(config, self._changed)
        self._config, self._guard, self._has_control = config, guard, has_control
        self._waiting: set[asyncio.Event] = set()
        self._closing = False

    def close(self) -> None:
        """Let all streams end."""
        self._closing = True
        self._changed()

    def _changed(self) -> None:
        for event in self._waiting:
            event.set()

    @property
    def application(self) -> Starlette:
        """The ASGI application."""
        get, post = ["GET"], ["POST"]
        return Starlette(
            routes=[
                Route("/", _checked(self._page), methods=get),
                Route("/{name}.{suffix}", _checked(self._file), methods=get),
                Route("/api/session", _checked(self._session), methods=post),
                Route("/api/stream", self._private(self._stream), methods=get),
                Route("/api/runs", self._private(self._runs), methods=get),
                Route("/api/run/{run}", self._private(self._run), methods=get),
                Route("/api/{action}/{run}", self._private(self._act), methods=post),
            ],
            exception_handlers={MotokoError: _wrong_question},
        )

    def _private(self, answer: Answer) -> Answer:
        async def keyed(request: Request) -> Response:
            if not self._guard.knows(request.headers.get("authorization", "")):
                return _error(401, "this needs the address that `motoko web` has printed")
            return await answer(request)

        return _checked(keyed)

    async def _page(self, request: Request) -> Response:
        return Response(_static("index.html"), media_type="text/html")

    async def _file(self, request: Request) -> Response:
        name = f"{request.path_params['name']}.{request.path_params['suffix']}"
        if name not in _STATIC:
            return _error(404, "there is no such page")
        return Response(_static(name), media_type=_STATIC[name])

    async def _session(self, request: Request) -> Response:
        token = (await request.body()).decode(errors="replace")
        key = self._guard.exchange(token)
        if key is None:
            return _error(401, "this address was used already: take the newest that is printed")
        return JSONResponse({"key": key})

    async def _stream(self, request: Request) -> Response:
        return StreamingResponse(self._messages(), media_type="text/event-stream")

    async def _messages(self) -> AsyncIterator[str]:
        """The workflow, again whenever it has changed."""
        news, seen = asyncio.Event(), None
        self._waiting.add(news)
        try:
            while not self._closing:
                news.clear()
                now = time.time()
                data = page_data.workflow(
                    self.feed.view, self._config, now, has_control=self._has_control, seen=seen
                )
                seen = self.feed.view.event_count
                yield f"data: {json.dumps(data, default=str)}\n\n"
                await asyncio.sleep(PAUSE_S)
                with contextlib.suppress(TimeoutError):  # then only the time is new
                    await asyncio.wait_for(news.wait(), BEAT_S)
        finally:
            self._waiting.discard(news)

    async def _runs(self, request: Request) -> Response:
        asked = request.query_params
        study = self._config.studies.get(asked.get("study", ""))
        if study is None:
            return _error(404, f"there is no study {asked.get('study')!r}")
        sort = asked.get("sort", "")
        query = RunQuery(
            asked.get("column", ""),
            asked.get("constraints", ""),
            sort.removeprefix("-"),
            sort.startswith("-"),
        )
        first, count = (_number(asked.get(name), 0) for name in ("first", "count"))
        page = await self.feed.of_mirrors(
            lambda: run_page(self._config, study, query, first, min(count or 100, PAGE_MAX))
        )
        return _json(page_data.runs(page))

    async def _run(self, request: Request) -> Response:
        run = self._named(request)
        if run is None:
            return _error(404, f"there is no run {request.path_params['run']!r}")
        return _json(
            await self.feed.of_bases(lambda: page_data.run(self._config, run.study, run.run_id))
        )

    async def _act(self, request: Request) -> Response:
        run, action = self._named(request), _ACTIONS.get(request.path_params["action"])
        if action is None or run is None:
            return _error(404, "there is no such run, or no such action")
        if not self._has_control:
            return _error(403, "this page only shows: `motoko web --control` may change runs")
        return _json({"done": await self.feed.of_bases(lambda: action(self._config, run))})

    def _named(self, request: Request) -> Reference | None:
        named = reference(request.path_params["run"])
        return named if named is not None and named.study in self._config.studies else None


def _checked(answer: Answer) -> Answer:
    """The answer to requests that a page of this server may make, with headers for browsers."""

    async def checked(request: Request) -> Response:
        why = refusal(request.method, dict(request.headers))
        response = await answer(request) if why is None else _error(403, why)
        response.headers.update(_HEADERS)
        return response

    return checked


async def _wrong_question(request: Request, error: Exception) -> Response:
    """What a user has asked wrongly is an answer like any other: browsers log failed requests."""
    hint = getattr(error, "hint", None)
    response = _error(200, f"{error}" + (f"; {hint}" if hint else ""))
    response.headers.update(_HEADERS)
    return response


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)


def _json(content: Any) -> Response:
    return Response(json.dumps(content, default=str), media_type="application/json")


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 12 else otherwise


def _static(name: str) -> bytes:
    return (files(__package__) / "static" / name).read_bytes()
