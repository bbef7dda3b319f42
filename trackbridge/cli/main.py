"""
The command `trackbridge`: the table of commands, and what becomes of an error.

Commands import what they need when they run, so that `--help` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from trackbridge import __version__
from trackbridge.cli import (
    checking,
    comparing,
    delivering,
    findings,
    finetune,
    following,
    gate,
    importance,
    importing,
    listing,
    removing,
    report,
    seeds,
    viewing,
)
from trackbridge.cli.exits import FOUND_PROBLEMS, INTERRUPTED, MISUSE, OK, READER_GONE, exit_code
from trackbridge.errors import TrackbridgeError

# Old typer uses click, new typer has it inside: only this subclass of the wanted error is public in both.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="trackbridge",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Track, keep and compare fine-tuning runs, in your own files.",
)
app.command("demo", rich_help_panel="Train")(finetune.demo)
app.command("finetune", rich_help_panel="Train")(finetune.finetune)
app.command("ls", rich_help_panel="Look")(listing.list_runs)
app.command("show", rich_help_panel="Look")(listing.show)
app.command("tail", rich_help_panel="Look")(following.tail)
app.command("ui", rich_help_panel="Look")(viewing.ui)
app.command("diff", rich_help_panel="Compare")(comparing.diff)
app.command("compare", rich_help_panel="Compare")(comparing.compare)
app.command("findings", rich_help_panel="Compare")(findings.findings)
app.command("importance", rich_help_panel="Compare")(importance.importance)
app.command("seeds", rich_help_panel="Compare")(seeds.seeds)
app.command("report", rich_help_panel="Compare")(report.report)
app.command("check", rich_help_panel="Compare")(gate.check)
app.command("sync", rich_help_panel="Deliver")(delivering.sync)
app.command("status", rich_help_panel="Deliver")(delivering.status)
app.command("import", rich_help_panel="Keep")(importing.import_runs)
app.command("doctor", rich_help_panel="Keep")(checking.doctor)
app.command("rm", rich_help_panel="Keep")(removing.remove)
app.command("gc", rich_help_panel="Keep")(removing.collect_garbage)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trackbridge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and exit: an error trackbridge raises on purpose is one line and an exit code."""
    _write_what_the_terminal_can()
    try:
        code = _call(arguments)
        # There is none where the caller closed it: `trackbridge ls >&-`.
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        _write_nowhere()
        code = READER_GONE
    sys.exit(code)


def _call(arguments: list[str] | None) -> int:
    try:
        code = app(arguments, prog_name="trackbridge", standalone_mode=False)
    except SystemExit as stop:
        # Click and rich both turn a pipe that nobody reads into an exit with code 1.
        if isinstance(stop.__context__, BrokenPipeError):
            raise stop.__context__ from None
        raise
    except TrackbridgeError as error:
        from trackbridge.report.text import printable

        typer.echo(f"trackbridge: {printable(str(error))}", err=True)
        return exit_code(error)
    except _UsageError as error:
        error.show()
        return MISUSE
    except typer.Abort as abort:
        # Ctrl-C arrives as the cause; without it, a question met the end of its input.
        return INTERRUPTED if isinstance(abort.__cause__, KeyboardInterrupt) else FOUND_PROBLEMS
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else OK


def _write_nowhere() -> None:
    # What is left in the buffers would be told as an error when the interpreter flushes them at its end.
    with open(os.devnull, "wb") as nowhere:
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)


def _write_what_the_terminal_can() -> None:
    # A console that is not UTF-8 would otherwise end a command at the first name it cannot spell.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
