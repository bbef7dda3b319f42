"""`trackbridge ui`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackbridge.cli.selection import open_root

DEFAULT_PORT = 7077


def ui(
    root: Annotated[
        Path | None,
        typer.Argument(metavar="[ROOT]", help="The folder of all projects.", show_default="trackbridge-runs"),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; anywhere but on this machine, a token is asked for.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes any free one.")
    ] = DEFAULT_PORT,
    token: Annotated[
        str | None, typer.Option("--token", help="What a browser has to show; made up where one is needed.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Show the runs on a web page, served by this machine to itself."""
    from trackbridge.web.serving import serve

    store = open_root(root)
    serve(store, host=host, port=port, token=token, opens_browser=not no_browser, announce=_announce)


def _announce(url: str) -> None:
    typer.echo(f"trackbridge ui: {url} (Ctrl-C ends it)")
