import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.dialogue.history import INTERRUPTED, MESSAGE_TOKENS, Exchange, History, Message

SYSTEM = "Be brief."


def words(text: str) -> int:
    return len(text.split())


def talk(**changes: object) -> History:
    options = {"max_exchanges": 4, "max_tokens": 400, "count": words} | changes
    return History(SYSTEM, **options)


def hold(history: History, *texts: str) -> None:
    for text in texts:
        history.begin(text)
        history.heard(f"Re {text}", True)


def contents(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


def test_the_prompt_is_system_then_the_exchanges_then_the_question() -> None:
    history = talk()
    hold(history, "one", "two")
    assert history.prompt("three") == [
        Message("system", SYSTEM),
        Message("user", "one"),
        Message("assistant", "Re one"),
        Message("user", "two"),
        Message("assistant", "Re two"),
        Message("user", "three"),
    ]


def test_speculation_leaves_no_trace() -> None:
    history = talk()
    hold(history, "one")
    before = history.records()
    history.prompt("never said")
    assert history.records() == before


def test_what_was_speculated_is_what_begins() -> None:
    history = talk()
    hold(history, "one")
    expected = history.prompt("two")
    history.begin("two")
    assert history.messages() == expected


def test_examples_stay_in_every_prompt() -> None:
    history = talk(max_exchanges=0, examples=[("Hi", "Hello!")])
    hold(history, "one", "two")
    assert contents(history.prompt("three")) == [SYSTEM, "Hi", "Hello!", "three"]


def test_an_interrupted_reply_is_cut_and_marked() -> None:
    history = talk()
    history.begin("one")
    history.heard("The answer,", complete=False)
    assert history.messages()[-1] == Message("assistant", f"The answer{INTERRUPTED}")
    assert history.records()[-1] == Exchange(1, "one", "The answer,", complete=False)


def test_a_reply_nobody_heard_joins_the_next_text() -> None:
    history = talk()
    history.begin("What is", turn=7)
    assert history.heard("", complete=False)
    history.begin("the capital of France?", turn=9)
    assert history.records() == (Exchange(9, "What is the capital of France?"),)


def test_a_later_report_replaces_an_earlier_one() -> None:
    history = talk()
    history.begin("one")
    history.heard("The", complete=False)
    history.heard("The answer.", complete=True)
    assert history.records() == (Exchange(1, "one", "The answer.", complete=True),)


def test_a_reply_without_a_turn_changes_nothing() -> None:
    history = talk()
    assert not history.heard("Hello.", complete=True)
    assert history.messages() == [Message("system", SYSTEM)]


def test_an_empty_reply_is_never_complete() -> None:
    history = talk()
    history.begin("one")
    history.heard(" ", complete=True)
    assert history.records() == (Exchange(1, "one"),)


def test_exchanges_are_dropped_in_batches_so_that_prefixes_last() -> None:
    history = talk(max_exchanges=4)
    broken = 0
    for number in range(40):
        before = contents(history.messages())
        hold(history, f"turn {number}")
        broken += contents(history.messages())[: len(before)] != before
    assert broken == 12  # from 5 exchanges to 2: once in three turns
    assert len(history.records()) <= 4


def test_dropping_happens_when_the_reply_is_over_not_when_the_user_speaks() -> None:
    history = talk(max_exchanges=3)
    for number in range(10):
        before = history.messages()
        assert history.prompt(f"turn {number}")[: len(before)] == before
        hold(history, f"turn {number}")


def test_a_text_that_is_too_long_keeps_its_end() -> None:
    history = talk(max_tokens=30)
    prompt = history.prompt(" ".join(f"w{number}" for number in range(500)))
    assert prompt[0].content == SYSTEM
    assert prompt[1].content.endswith("w498 w499")
    assert words(prompt[1].content) == 30 - words(SYSTEM) - 3 * MESSAGE_TOKENS


def test_a_text_without_spaces_is_cut_too() -> None:
    history = talk(max_tokens=60, count=len)
    assert history.prompt("日" * 100)[1].content == "日" * (60 - len(SYSTEM) - 3 * MESSAGE_TOKENS)


def test_a_new_history_takes_the_records_of_an_old_one() -> None:
    history = talk()
    hold(history, "one", "two")
    history.begin("three", turn=12)
    stored = json.dumps([asdict(record) for record in history.records()])
    restored = talk()
    restored.restore(Exchange(**record) for record in json.loads(stored))
    assert restored.records() == history.records()
    assert restored.messages() == history.messages()


def test_clear_keeps_the_fixed_part() -> None:
    history = talk()
    hold(history, "one")
    history.clear()
    assert history.messages() == [Message("system", SYSTEM)]


def test_no_system_prompt_is_no_message() -> None:
    history = History("", max_exchanges=1, max_tokens=100, count=words)
    assert history.prompt("one") == [Message("user", "one")]


@pytest.mark.parametrize("bounds", [{"max_exchanges": -1}, {"max_tokens": 10}])
def test_bounds_that_cannot_hold_a_question_are_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"max_exchanges|no room"):
        talk(**bounds)


TEXTS = st.text(alphabet="ab .é日", max_size=60)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), TEXTS),
        st.tuples(st.just("heard"), TEXTS, st.booleans()),
        st.tuples(st.just("prompt"), TEXTS),
    ),
    max_size=40,
)


@given(EVENTS, st.integers(0, 5), st.integers(60, 200))
def test_bounds_hold_whatever_happens(events: list[tuple], max_exchanges: int, max_tokens: int) -> None:
    history = talk(max_exchanges=max_exchanges, max_tokens=max_tokens, count=len, examples=[("a", "b")])
    for event in events:
        messages = history.messages()
        if event[0] == "begin":
            history.begin(event[1])
            messages = history.messages()
        elif event[0] == "heard":
            history.heard(event[1], event[2])
            messages = history.messages()
        else:
            messages = history.prompt(event[1])
        assert contents(messages)[:3] == [SYSTEM, "a", "b"]
        assert sum(len(message.content) + MESSAGE_TOKENS for message in messages) + MESSAGE_TOKENS <= max_tokens
        assert sum(message.role == "assistant" for message in messages) - 1 <= max_exchanges
        assert len(history.records()) <= max_exchanges + 1


@given(EVENTS)
def test_a_restored_history_is_the_same(events: list[tuple]) -> None:
    history, restored = talk(), talk()
    for event in events:
        if event[0] == "begin":
            history.begin(event[1])
        elif event[0] == "heard":
            history.heard(event[1], event[2])
    restored.restore(history.records())
    assert restored.records() == history.records()
    assert restored.prompt("and now?") == history.prompt("and now?")
