"""All commands in one tree."""

from __future__ import annotations

import typer

from edge_agent.cli import bench, converse, demo, models

app = typer.Typer(
    name="edge-agent",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="A voice agent that lives in one box: Whisper hears, a local language model thinks, Piper speaks.",
)
app.command("converse")(converse.converse)
app.command("demo")(demo.demo)
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")
