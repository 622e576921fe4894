import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from edge_agent.bench.answers import QUESTIONS, Answer, AnswersReport, Question, Tally, load, run_with_bar, show
from edge_agent.bench.language import is_foreign, normalised, numbers_in
from edge_agent.catalog.entries import Chat
from edge_agent.engines.llama import LlamaEngine
from edge_agent.errors import BenchError

ROOT = Path(__file__).parents[2]
CAPITAL = Question(ask="What is the capital of France?", accept=("paris",))
PRODUCT = Question(ask="What is seven times eight?", numbers=(56,))


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("Paris.", True),
        ("The capital of France is PARIS!", True),
        ("The capital is not Paris.", False),
        ("It isn't Paris, it's Lyon.", False),
        ("The Parisian suburbs.", False),
        ("The capital of France.", False),
        ("La capitale de la France est Paris.", False),
        ("", False),
    ],
)
def test_a_phrase_counts_as_whole_words_in_english(reply: str, right: bool) -> None:
    assert CAPITAL.is_right(reply) is right


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("56", True),
        ("Seven times eight is fifty-six.", True),
        ("7 times 8 is 56.", True),
        ("7 times 8 is 54, or 56.", False),
        ("It is 156.", False),
        ("It is 5.6.", False),
        ("Seven times eight.", False),
    ],
)
def test_a_number_counts_when_it_is_the_only_one(reply: str, right: bool) -> None:
    assert PRODUCT.is_right(reply) is right


def test_what_is_rejected_outweighs_what_is_accepted() -> None:
    name = Question(ask="What is my name?", accept=("anna",), reject=("my name is", "i am anna"))
    assert name.is_right("Your name is Anna.")
    assert not name.is_right("My name is Anna.")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("twenty-four hours", {24}),
        ("one of them", set()),
        ("one hundred and 1,000", {100, 1000}),
        ("two hundred", {200}),
        ("100°C (212°F)", {100, 212}),
        ("none at all", set()),
        ("forty two", {42}),
        ("365.25 days", set()),
    ],
)
def test_numbers_are_read_in_digits_and_words(text: str, numbers: set[int]) -> None:
    assert numbers_in(text) == numbers


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("Il capo di Roma, la Roma, e la Roma.", True),
        ("La capitale de la France est Paris.", True),
        ("El cielo es de color azul.", True),
        ("Das ist ein Hund.", True),
        ("東京です", True),
        ("Romeo and Juliet was written by William Shakespeare.", False),
        ("Leonardo da Vinci.", False),
        ("Don Quixote de la Mancha was written by Cervantes.", False),
        ("Paris.", False),
        ("", False),
    ],
)
def test_other_languages_are_seen(text: str, foreign: bool) -> None:
    assert is_foreign(text) is foreign


def test_case_and_punctuation_do_not_matter() -> None:
    assert normalised("  It's  H₂O, water_ice! ") == "it s h2o water ice"


def test_there_are_sixty_questions_in_three_conversations() -> None:
    conversations = load()
    assert [len(talk) for talk in conversations] == [20, 20, 20]
    asked = [question.ask for talk in conversations for question in talk]
    assert len(set(asked)) == 60


@pytest.mark.parametrize("question", [question for talk in load() for question in talk], ids=lambda each: each.ask)
def test_no_question_is_answered_by_an_evasion(question: Question) -> None:
    for evasion in ("I'm sorry, I don't know.", "The answer is unknown.", question.ask, f"{question.ask} Yes.", ""):
        assert not question.is_right(evasion)


@pytest.mark.parametrize(
    "text",
    [
        "conversations = 3",
        "not toml",
        '[[conversations]]\nquestions = [{ ask = "Why?" }]',
        '[[conversations]]\nquestions = [{ ask = "Is Paris big?", accept = ["paris"] }]',
        '[[conversations]]\nquestions = [{ ask = "And it?", accept = ["yes"], follows = true }]',
        '[[conversations]]\nquestions = [{ ask = "Why?", accept = ["("] }]',
        "conversations = []",
    ],
)
def test_a_questions_file_that_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "questions.toml"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"questions\.toml") as caught:
        load(path)
    assert caught.value.code == "bench.answers.questions"


def answer(reply: str, **found: bool) -> Answer:
    flags = {"right": False, "repeats": False, "foreign": False, "cut_off": False} | found
    return Answer(asked="Why?", reply=reply, first_token_ms=10.0, **flags)


def test_the_report_counts_and_serialises() -> None:
    report = AnswersReport(
        singly=(answer("Because.", right=True),), conversations=(answer("No no no.", repeats=True), answer("a b"))
    )
    assert report.tallies["conversations"] == Tally(2, 0, 1, 0, 0, 2.5, 3, 10.0)
    assert json.loads(json.dumps(report.to_json()))["tallies"]["singly"]["right"] == 1
    screen = io.StringIO()
    show(report, Console(file=screen, width=120))
    assert "1 of 1 (100%)" in screen.getvalue()
    assert "No no no." in screen.getvalue()


@pytest.mark.models
def test_the_model_is_asked_singly_and_in_conversation(tmp_path: Path) -> None:
    models = Path(os.environ.get("EDGE_AGENT_MODELS", ROOT / "models"))
    model = models / "smollm2-135m-instruct" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not model.is_file():
        pytest.fail(f"{model} is missing: run ./install.sh, or set EDGE_AGENT_MODELS to the folder with the models")
    chat = Chat(
        system="You are a helpful voice assistant. Answer in one short sentence.",
        temperature=0.0,
        top_p=1.0,
        top_k=0,
        repeat_penalty=1.0,
        max_tokens=24,
        history_exchanges=1,
        history_tokens=400,
        context_tokens=512,
    )
    lines = QUESTIONS.read_text().splitlines(keepends=True)
    start = lines.index("[[conversations]]\n")
    few = tmp_path / "questions.toml"
    few.write_text("".join(lines[start : start + 4]) + "]\n")
    with LlamaEngine(model, context_tokens=512, slots=1) as engine:
        report = run_with_bar(engine, chat, Console(file=io.StringIO()), questions=few)
        assert engine.tokens_in(0) == 0
    assert [each.asked for each in report.conversations] == [each.asked for each in report.singly]
    assert report.singly[0].right
    assert report.conversations[0].reply == report.singly[0].reply
    assert report.tallies["singly"].first_token_ms_p50 > 0
