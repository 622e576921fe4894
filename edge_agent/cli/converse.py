"""`edge-agent converse`: a conversation from recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from edge_agent.audio.soundfile_source import SoundFileSource
from edge_agent.cli.house_progress import HouseProgress
from edge_agent.config import load
from edge_agent.errors import FrontendError
from edge_agent.latency.waterfall import turn_card
from edge_agent.supervisor.conversation import Conversation
from edge_agent.supervisor.house import House


def converse(
    files: Annotated[
        list[Path], typer.Argument(help="Recordings, in the order in which they are said.", metavar="IN.wav")
    ],
    record: Annotated[Path | None, typer.Option(help="Write both sides to this stereo WAV, on one clock.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write one JSON object a turn to this file.")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Hold a conversation in which the user's side comes from recordings.

    Each file is played in real time, as if a person spoke it into a microphone; the next begins when the answer has
    been played. WAV, FLAC, OGG, MP3 and AIFF of any rate and width will do.

    Examples:
        edge-agent converse question.wav

        edge-agent converse one.wav two.wav --record both.wav --trace turns.jsonl

    Exit status: 0 when every turn was answered, 1 when one was not, 2 when something is wrong with what was given.
    """
    settings = load(config)
    sources = [SoundFileSource(path) for path in files]
    console = Console(quiet=quiet, highlight=False)
    lines = _open(trace)

    def show(line: dict[str, object]) -> None:
        console.print(turn_card(line, settings.budget.total_ms, agent=settings.persona.name))
        console.print()
        if lines is not None:
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            lines.flush()

    answered = True
    try:
        with HouseProgress(console) as progress, House(settings, progress) as house:
            progress.done()
            with Conversation(house, recording=record, on_turn=show) as conversation:
                for outcome in conversation.hold(sources):
                    answered = answered and outcome.answered
                    if outcome.timed_out:
                        print_error(
                            f"{outcome.path}: no answer came; the workers' logs are in {settings.state_dir}/logs"
                        )
                    elif not outcome.turns:
                        print_error(f"{outcome.path}: no speech was heard in it, so there was nothing to answer")
    finally:
        if lines is not None:
            lines.close()
    raise typer.Exit(0 if answered else 1)


def print_error(sentence: str) -> None:
    """One sentence on standard error."""
    typer.echo(f"edge-agent: {sentence}", err=True)


def _open(path: Path | None) -> TextIO | None:
    if path is None:
        return None
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise FrontendError("trace", f"The trace {path} cannot be written ({error.strerror}).") from error
