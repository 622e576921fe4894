"""`edge-agent demo`: two spoken questions, made on the spot, and what becomes of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge_agent.cli.converse import converse
from edge_agent.config import load
from edge_agent.supervisor.models import choose

QUESTIONS = (("What is the capital of France?", 1.0), ("And how many days are there in a week?", 1.25))


def demo(
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML).")] = None,
) -> None:
    """Ask two questions, spoken by Piper at different speeds, and show each turn's latency."""
    import soundfile

    from edge_agent.engines.piper import PiperEngine

    settings = load(config)
    voice = PiperEngine(Path(choose(settings).opens["tts"]), device="cpu")
    with tempfile.TemporaryDirectory(prefix="edge-agent-demo-") as folder:
        paths = []
        for number, (question, scale) in enumerate(QUESTIONS, 1):
            spoken = voice.synthesize(question, length_scale=scale)
            path = Path(folder) / f"question-{number}.wav"
            soundfile.write(path, spoken.pcm, spoken.rate_hz)
            paths.append(path)
        del voice
        Console(highlight=False).print("Two spoken questions, one conversation:\n")
        converse(paths, config=config)
