"""`edge-agent bench`: what this box does, measured the way a user meets it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge_agent.bench.corpus import Corpus, spoken
from edge_agent.bench.corpus import load as load_corpus
from edge_agent.cli.house_progress import HouseProgress
from edge_agent.config import Config, load
from edge_agent.errors import BenchError
from edge_agent.supervisor.models import choose

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Measure this box: how soon it answers, how well, and how fast the rings between its processes are.",
)

JsonFile = Annotated[Path | None, typer.Option("--json", help="Write everything that was found to this file.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Configuration file (TOML).")]


@app.command()
def v2v(
    corpus: Annotated[
        Path | None, typer.Option(help="Folder of recordings [default: 30 questions, spoken by the installed voice].")
    ] = None,
    turns: Annotated[int | None, typer.Option(min=1, max=10_000, help="How many to say [default: each once].")] = None,
    enforce: Annotated[bool, typer.Option("--enforce", help="Exit with 1 when p95 is over the budget.")] = False,
    margin_ms: Annotated[
        float, typer.Option(min=0, max=60_000, help="How much over the budget --enforce allows on a noisy machine.")
    ] = 0.0,
    json_file: JsonFile = None,
    png: Annotated[Path | None, typer.Option(help="Draw every turn's waterfall into this PNG.")] = None,
    record: Annotated[
        Path | None, typer.Option(help="Keep the conversation: a stereo WAV, left you, right it.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """How soon the agent answers: from your last word to its first, in real time.

    One conversation is held with the models and settings that you use; it takes about 8 seconds a turn. Every latency
    is taken twice: from the traces, and by ear from a recording of both sides. A NAME.txt beside NAME.wav holds what
    is said in it; then recognition is scored as well. Examples:

    - `edge-agent bench v2v` says thirty questions and prints where the time went

    - `edge-agent bench v2v --turns 5` is a first look

    - `edge-agent bench v2v --corpus ~/recordings --png turns.png` uses your own voice, and draws the turns

    - `edge-agent bench v2v --enforce --margin-ms 200 --json v2v.json` is for a continuous integration job

    Exit status: 0, or 1 when `--enforce` finds p95 over the budget, or 2 when something is wrong with what was given.
    """
    from edge_agent.bench import v2v as bench  # the judge's model and the sound libraries
    from edge_agent.latency.plot import plot

    settings = load(config)
    _check_outputs(json_file, record, png)
    if png is not None and find_spec("matplotlib") is None:
        message = "A picture needs matplotlib, which is not installed; run `pip install edge-agent[bench]`."
        raise BenchError("plot", message)
    console = Console(highlight=False)
    said = _corpus(corpus, settings, console)
    bar = _bar(console)
    task = bar.add_task("")
    try:
        with HouseProgress(console) as loading:

            def told(number: int, of: int, lines: Sequence[Mapping[str, object]]) -> None:
                loading.done()
                bar.start()
                last = f"last {_answers(lines)}" if lines else ""
                bar.update(task, completed=number, total=of, description=f"turn {min(number + 1, of)} of {of} {last}")
                if number and not console.is_terminal:
                    console.print(f"turn {number} of {of}: {_answers(lines)}", markup=False)

            result = bench.run(settings, said, turns=turns, record=record, loading=loading, told=told)
    finally:
        bar.stop()
    bench.show(result, console)
    sentence = result.enforce(margin_ms)
    verdict = {"enforced": enforce, "margin_ms": margin_ms, "over_budget": sentence}
    _write(json_file, result.to_json() | verdict)
    if png is not None:
        plot(result.held.lines, png, result.budget.total_ms)
    if enforce and sentence is not None:
        typer.echo(f"edge-agent: {sentence}", err=True)
        raise typer.Exit(1)


@app.command()
def answers(json_file: JsonFile = None, config: ConfigFile = None) -> None:
    """How well the language model answers sixty everyday questions: text only, no sound.

    Each is asked in a fresh conversation, and then all in three conversations of twenty, where small models begin to
    repeat themselves. Model, prompt and sampling are those of your conversations. Examples:

    - `edge-agent bench answers` prints how many were right, and every wrong answer

    - `edge-agent bench answers --config big.toml --json big.json` does so for another model
    """
    from edge_agent.bench import answers as bench  # llama.cpp, needed by no other command
    from edge_agent.bench.machine import Machine
    from edge_agent.engines.llama import LlamaEngine

    settings = load(config)
    _check_outputs(json_file)
    models = choose(settings)
    chat = models.chat
    if settings.persona.instructions:
        chat = chat.model_copy(update={"system": settings.persona.instructions})
    console = Console(highlight=False)
    machine = Machine.here(settings)
    with LlamaEngine(
        Path(models.opens["llm"]),
        context_tokens=chat.context_tokens,
        slots=1,
        threads=settings.threads.llm,
        device=settings.devices.llm,
    ) as engine:
        engine.warm_up()
        report = bench.run_with_bar(engine, chat, console)
    console.print(str(machine), markup=False)
    bench.show(report, console)
    _write(json_file, {"benchmark": "answers", "machine": asdict(machine)} | report.to_json())


@app.command()
def ring(
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of everything, for a first look.")] = False,
    json_file: JsonFile = None,
) -> None:
    """How fast and how sound the shared-memory rings are, beside pipes, queues and iceoryx2.

    Then ten million records go through one ring whose readers are killed forty times: none may be lost, doubled or
    torn. Examples:

    - `edge-agent bench ring --quick` takes about a minute

    - `edge-agent bench ring --json ring.json` takes about ten

    Exit status: 1 when a record was lost, doubled, reordered or torn.
    """
    from edge_agent.bench import ring as bench
    from edge_agent.bench.machine import Machine

    _check_outputs(json_file)
    console = Console(highlight=False)
    machine = Machine.here(Config())
    report = bench.run(quick=quick, console=console if console.is_terminal else None)
    bench.print_report(report, console)
    _write(json_file, {"benchmark": "ring", "machine": asdict(machine)} | json.loads(report.to_json()))
    if not report.integrity.sound:
        raise typer.Exit(1)


def _corpus(folder: Path | None, settings: Config, console: Console) -> Corpus:
    """The recordings of a folder, or the questions spoken by the configured voice."""
    if folder is not None:
        return load_corpus(folder)
    voice = Path(choose(settings).opens["tts"])
    with _bar(console) as bar:
        task = bar.add_task("speaking the questions", visible=False)  # they may have been spoken before
        return spoken(voice, progress=lambda number, of: bar.update(task, completed=number, total=of, visible=True))


def _bar(console: Console) -> Progress:
    """A bar that disappears when it is done. It is drawn seldom: what is measured runs in the same process."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, refresh_per_second=2, disable=not console.is_terminal)


def _answers(lines: Sequence[Mapping[str, object]]) -> str:
    """When the answers to one recording were heard."""
    taken = [line.get("first_answer_ms") for line in lines]
    return ", ".join(f"{ms:.0f} ms" if isinstance(ms, float | int) else "no answer" for ms in taken)


def _check_outputs(json_file: Path | None, *others: Path | None) -> None:
    """Find out before minutes are spent whether the results can be written.

    Raises:
        BenchError: `bench.output`.
    """
    for path in (json_file, *others):
        if path is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
            message = f"{path} cannot be written; name a file in a folder that exists and that you may write to."
            raise BenchError("output", message)


def _write(path: Path | None, found: dict[str, object]) -> None:
    if path is None:
        return
    try:
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise BenchError("output", f"{path} cannot be written ({error.strerror}); free some space there.") from error
