"""The server: which address answers what. Nothing it answers changes anything."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from trackbridge.errors import MisuseError, NotFoundError, TrackbridgeError
from trackbridge.report.html import page_css
from trackbridge.report.picture import chart_css
from trackbridge.report.text import printable
from trackbridge.store.store import Store
from trackbridge.web.asked import chart_asked, comparison_asked, table_asked
from trackbridge.web.catalogue import Catalogue
from trackbridge.web.charts import chart, reading
from trackbridge.web.guard import Access, Guard
from trackbridge.web.live import Live
from trackbridge.web.pages import message_page, run_page, runs_page
from trackbridge.web.panels import comparison_panel, differences_panel, importance_panel, seeds_panel
from trackbridge.web.parameters import parallel_panel, scatter_panel
from trackbridge.web.rows import run_table
from trackbridge.web.run_media import media_bytes, media_panel

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def create_app(store: Store, access: Access) -> Starlette:
    """The application that shows the runs of a store, to those whom `access` lets in."""
    catalogue = Catalogue(store)
    live = Live(catalogue)
    routes = [
        Route("/", _page(lambda request: runs_page(store.root))),
        Route("/run/{run_id}", _page(lambda request: run_page(catalogue, request.path_params["run_id"]))),
        Route("/run/{run_id}/media", _data(lambda request: media_panel(catalogue, **_of_run(request)))),
        Route("/run/{run_id}/file/{index:int}", _file(catalogue)),
        Route("/data/runs", _data(lambda request: run_table(catalogue, table_asked(request.query_params)))),
        Route("/data/chart", _data(lambda request: chart(catalogue, chart_asked(request.query_params)))),
        Route(
            "/data/reading", _data(lambda request: reading(catalogue, chart_asked(request.query_params), _at(request)))
        ),
        Route("/data/comparison", _data(_panel(catalogue, comparison_panel))),
        Route("/data/differences", _data(_panel(catalogue, differences_panel))),
        Route("/data/importance", _data(_panel(catalogue, importance_panel))),
        Route("/data/seeds", _data(_panel(catalogue, seeds_panel))),
        Route("/data/parallel", _data(_panel(catalogue, parallel_panel))),
        Route("/data/scatter", _data(_panel(catalogue, scatter_panel))),
        Route("/data/changes", live.answer),
        Route("/static/{name}", _static),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={TrackbridgeError: _told, 404: _no_page},
    )
    app.state.catalogue, app.state.live = catalogue, live
    return app


def _page(make: Callable[[Request], str]) -> Answer:
    async def answer(request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(make, request))

    return answer


def _data(make: Callable[[Request], dict[str, Any]]) -> Answer:
    async def answer(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(make, request))

    return answer


def _file(catalogue: Catalogue) -> Answer:
    async def answer(request: Request) -> Response:
        path = request.path_params
        content, media_type = await run_in_threadpool(media_bytes, catalogue, path["run_id"], path["index"])
        # A picture somebody logged may be an SVG: opened by itself, it is nothing but a picture.
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
        return Response(content, media_type=media_type, headers={"Content-Security-Policy": policy})

    return answer


def _panel(catalogue: Catalogue, make: Callable[..., dict[str, Any]]) -> Callable[[Request], dict[str, Any]]:
    return lambda request: make(catalogue, comparison_asked(request.query_params), request.query_params)


def _of_run(request: Request) -> dict[str, str]:
    return {
        "run_id": request.path_params["run_id"],
        "name": request.query_params.get("name", ""),
        "step": request.query_params.get("step", ""),
    }


def _at(request: Request) -> float:
    try:
        return float(request.query_params["at"])
    except (KeyError, ValueError):
        raise MisuseError(f"at is {request.query_params.get('at')!r}; expected a place on the axis") from None


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    content = _static_files().get(name)
    if content is None:
        raise NotFoundError(f"there is no file {name!r}")
    media_type = _TYPES[name.rpartition(".")[2]]
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})


@functools.cache
def _static_files() -> dict[str, bytes]:
    """Every file of the page by name, and the rules it shares with reports and charts."""
    folder = files("trackbridge.web").joinpath("static")
    found = {one.name: one.read_bytes() for one in folder.iterdir() if one.name.rpartition(".")[2] in _TYPES}
    return found | {"report.css": (page_css() + chart_css()).encode()}


async def _told(request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, NotFoundError) else 400
    if request.url.path.startswith("/data/"):
        # A filter that is half typed is no failure, which a browser would note as an error on its console.
        return JSONResponse({"error": printable(str(error))})
    return HTMLResponse(message_page(printable(str(error))), status)


async def _no_page(request: Request, error: Exception) -> Response:
    return HTMLResponse(message_page("There is no such page."), 404)
