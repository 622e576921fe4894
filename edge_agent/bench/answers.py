"""`edge-agent bench answers`: does the language model answer everyday questions, and keep doing so?

Text only: history, chat template, sampling and model as a conversation uses them, no sound. Sixty questions with
checkable answers (`questions.toml`) are asked singly, each in a fresh conversation, and then as three
conversations of twenty, where small models fall into repeating themselves.

The checker is strict: whole words, no number besides the right one, no answer that the question itself would
satisfy, no denial of the right answer ("not Paris"), and a reply in another language is wrong whatever it contains.
"""

from __future__ import annotations

import difflib
import re
import statistics
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from edge_agent.bench.language import is_foreign, normalised, numbers_in
from edge_agent.catalog.entries import Chat
from edge_agent.dialogue.history import History
from edge_agent.engines.llama import LlamaEngine, Sampling
from edge_agent.errors import BenchError

QUESTIONS = Path(__file__).with_name("questions.toml")
SAME_REPLY = 0.9
"""Two replies are the same when `difflib` finds them this similar."""


class Question(BaseModel):
    """A question and what makes a reply right; the fields are explained in questions.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ask: str
    accept: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    follows: bool = False

    @model_validator(mode="after")
    def _can_be_checked(self) -> Question:
        for phrase in (*self.accept, *self.reject):
            try:
                re.compile(phrase)
            except re.error as error:
                raise ValueError(f"{phrase!r} is no regular expression: {error}") from error
        if bool(self.accept) == bool(self.numbers):
            raise ValueError(f"{self.ask!r} needs either accept or numbers")
        if _stands_in(self.accept, normalised(self.ask)) or set(self.numbers[:1]) & numbers_in(self.ask):
            raise ValueError(f"{self.ask!r} contains its own answer")
        return self

    def is_right(self, reply: str) -> bool:
        """Whether the reply answers the question, judged strictly."""
        text = normalised(reply)
        if is_foreign(reply) or _stands_in(self.reject, text):
            return False
        if self.numbers:
            found = numbers_in(reply)
            return self.numbers[0] in found and found <= {*self.numbers, *numbers_in(self.ask)}
        denied = tuple(rf"(?:not|isn t|never|no longer)(?: \w+)? (?:{phrase})" for phrase in self.accept)
        return _stands_in(self.accept, text) and not _stands_in(denied, text)


class _Conversation(BaseModel):
    model_config = ConfigDict(extra="forbid")
    questions: tuple[Question, ...]


class _Questions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    conversations: tuple[_Conversation, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply and what was found about it.

    Attributes:
        asked: the question.
        reply: what the model said.
        right: by `Question.is_right`.
        repeats: wrong, and the same as the reply before it.
        foreign: not in English.
        cut_off: stopped by max_tokens.
        first_token_ms: from the question's text to the first token, the conversation before it being in the cache.
    """

    asked: str
    reply: str
    right: bool
    repeats: bool
    foreign: bool
    cut_off: bool
    first_token_ms: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over some answers; lengths in words, time in milliseconds."""

    asked: int
    right: int
    repeats: int
    foreign: int
    cut_off: int
    words_p50: float
    words_max: int
    first_token_ms_p50: float

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> Tally:
        """Count them; at least one."""
        lengths = [len(answer.reply.split()) for answer in answers]
        return cls(
            asked=len(answers),
            right=sum(answer.right for answer in answers),
            repeats=sum(answer.repeats for answer in answers),
            foreign=sum(answer.foreign for answer in answers),
            cut_off=sum(answer.cut_off for answer in answers),
            words_p50=statistics.median(lengths),
            words_max=max(lengths),
            first_token_ms_p50=round(statistics.median(answer.first_token_ms for answer in answers), 1),
        )


@dataclass(frozen=True, slots=True)
class AnswersReport:
    """All answers, singly and in conversation."""

    singly: tuple[Answer, ...]
    conversations: tuple[Answer, ...]
    tallies: dict[str, Tally] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "tallies", {"singly": Tally.of(self.singly), "conversations": Tally.of(self.conversations)}
        )

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for `json.dumps`."""
        return asdict(self)


def load(path: Path = QUESTIONS) -> tuple[tuple[Question, ...], ...]:
    """The conversations in a questions file.

    Raises:
        BenchError: `answers.questions` when the file is missing, malformed, or holds a question that scores itself.
    """
    try:
        conversations = _Questions.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).conversations
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise BenchError(
            "answers.questions", f"{path} cannot be used: {error}; expected the form of {QUESTIONS.name}"
        ) from error
    if not conversations or any(not talk.questions or talk.questions[0].follows for talk in conversations):
        raise BenchError("answers.questions", f"{path}: a conversation starts with a question that follows nothing")
    return tuple(talk.questions for talk in conversations)


def run(
    engine: LlamaEngine,
    chat: Chat,
    *,
    questions: Path = QUESTIONS,
    progress: Callable[[float], None] = lambda _: None,
) -> AnswersReport:
    """Ask every question singly and in conversation.

    Args:
        engine: the model; slot 0 is used, and emptied at the end.
        chat: prompt, sampling and history, as the model's catalog entry has them.
        questions: a file like questions.toml.
        progress: called with the share done, 0 to 1.
    """
    conversations = load(questions)
    total = 2 * sum(len(talk) for talk in conversations)
    answers: dict[bool, list[Answer]] = {True: [], False: []}
    for singly in (True, False):
        for talk in conversations:
            for answer in (_single if singly else _talk)(engine, chat, talk):
                answers[singly].append(answer)
                progress(sum(map(len, answers.values())) / total)
    engine.forget(0)
    return AnswersReport(tuple(answers[True]), tuple(answers[False]))


def run_with_bar(
    engine: LlamaEngine,
    chat: Chat,
    console: Console,
    *,
    questions: Path = QUESTIONS,
) -> AnswersReport:
    """`run` with a progress bar on the console."""
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Asking", total=1.0)
        return run(
            engine,
            chat,
            questions=questions,
            progress=lambda share: bar.update(task, completed=share),
        )


def show(report: AnswersReport, console: Console) -> None:
    """Print the tallies as a table, and the wrong answers below it."""
    table = Table(title="Answers")
    for heading in ("asked", "right", "repeats", "other language", "cut off", "words p50 (max)", "first token p50"):
        table.add_column(heading, justify="left" if heading == "asked" else "right")
    for name, tally in report.tallies.items():
        table.add_row(
            name,
            f"{tally.right} of {tally.asked} ({tally.right / tally.asked:.0%})",
            str(tally.repeats),
            str(tally.foreign),
            str(tally.cut_off),
            f"{tally.words_p50:g} ({tally.words_max})",
            f"{tally.first_token_ms_p50:.0f} ms",
        )
    console.print(table)
    for name, answers in (("singly", report.singly), ("conversations", report.conversations)):
        for answer in answers:
            if not answer.right:
                console.print(f"[dim]{name}[/dim] {answer.asked} [red]{answer.reply}[/red]", highlight=False)


def _single(engine: LlamaEngine, chat: Chat, talk: Sequence[Question]) -> Iterator[Answer]:
    for at, question in enumerate(talk):
        start = at
        while talk[start].follows:
            start -= 1
        *_, answer = _talk(engine, chat, (*talk[start:at], question))
        yield answer


def _talk(engine: LlamaEngine, chat: Chat, talk: Sequence[Question]) -> Iterator[Answer]:
    history = History(
        chat.system,
        max_exchanges=chat.history_exchanges,
        max_tokens=chat.history_tokens,
        count=engine.count,
        examples=chat.examples,
    )
    sampling = Sampling(chat.temperature, chat.top_p, chat.top_k, chat.repeat_penalty)
    before = ""
    for question in talk:
        # What a worker does while nobody speaks.
        engine.prefill(0, engine.render(history.messages(), add_generation_prompt=False))
        start = time.perf_counter()
        engine.prefill(0, engine.render(history.prompt(question.ask)))
        reply = engine.begin(0, sampling, max_tokens=chat.max_tokens)
        engine.step([reply])
        first_token_ms = 1e3 * (time.perf_counter() - start)
        text = reply.delta
        while not reply.finish:
            engine.step([reply])
            text += reply.delta
        text = text.strip()
        history.begin(question.ask)
        history.heard(text, complete=True)
        right = question.is_right(text)
        yield Answer(
            asked=question.ask,
            reply=text,
            right=right,
            repeats=not right and _is_same(text, before),
            foreign=is_foreign(text),
            cut_off=reply.finish == "length",
            first_token_ms=first_token_ms,
        )
        before = text


def _is_same(reply: str, other: str) -> bool:
    one, two = normalised(reply), normalised(other)
    return bool(one) and difflib.SequenceMatcher(None, one, two, autojunk=False).ratio() >= SAME_REPLY


def _stands_in(phrases: Sequence[str], text: str) -> bool:
    return any(re.search(rf"\b(?:{phrase})\b", text) for phrase in phrases)
