"""What the records of a conversation become."""

from datetime import UTC, datetime

import pytest

from edge_agent.errors import JournalError
from edge_agent.journal.life import Life
from edge_agent.journal.reading import Conversation, Journal
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.records import Close, Drop, Heard, Open, Trace, Transcript

from .script import (
    CLAUSES,
    LIFE,
    NOW_NS,
    TRANSCRIPTS,
    WALL_MS,
    Hands,
    answered,
    clause,
    closed,
    commit,
    content,
    drop,
    keeper,
    opened,
    query,
    said,
    trace,
    watch,
    write,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite3"


def read(path, name="name"):
    with Journal.open_read_only(path) as journal:
        return journal.turns(name)


def conversations(path):
    with Journal.open_read_only(path) as journal:
        return {one.name: one for one in journal.conversations()}


def test_a_turn_with_all_that_belongs_to_it(path):
    write(path, [*opened(), *answered(1), *closed()])
    (turn,) = read(path)
    assert (turn.turn, turn.revision, turn.transcript, turn.language, turn.confidence) == (
        1,
        0,
        "question 1",
        "en",
        0.5,
    )
    assert (turn.reply, turn.heard, turn.complete, turn.committed) == (
        "Answer 1, and more.",
        "Answer 1, and",
        False,
        True,
    )
    assert turn.stages_ms == {"first_audio": 100.0, "first_answer": 200.0}
    assert (turn.first_audio_ms, turn.first_answer_ms, turn.budget_ms) == (100.0, 200.0, 800)
    assert (turn.breach, turn.cancelled, turn.rungs) == (None, None, ())


def test_wall_clock_times_are_taken_from_the_stamps(path):
    write(path, [*opened(), *answered(1)])
    spoken_ms = WALL_MS - (NOW_NS - watch(1).stamps[Stamp.SPEECH_END]) // 1_000_000
    assert read(path)[0].said == datetime.fromtimestamp(spoken_ms / 1000, UTC)


def test_a_conversation_from_open_to_close(path):
    hands = Hands()
    one = keeper(path, hands)
    for ring, record in [*opened(), *answered(1)]:
        one.take(ring, record)
    hands.pass_s(60)
    for ring, record in closed():
        one.take(ring, record)
    one.close()
    beginning, end = (datetime.fromtimestamp(WALL_MS / 1000 + seconds, UTC) for seconds in (0, 60))
    assert conversations(path) == {"name": Conversation("name", 0, "en", beginning, end, "closed", 1, 0)}


def test_settings_that_change_in_the_middle_are_no_new_conversation(path):
    write(path, [*opened(), *answered(1), (TRANSCRIPTS, Open(0, "name", "de", None)), *answered(2)])
    assert [turn.turn for turn in read(path)] == [1, 2]
    assert conversations(path)["name"].language == "de"
    assert conversations(path)["name"].ended is None


def test_the_next_conversation_in_a_slot_replaces_the_one_before(path):
    write(path, [*opened("a"), *answered(1, "a"), *opened("b"), *answered(2, "b")])
    assert [turn.turn for turn in read(path, "a")] == [1]
    assert [turn.turn for turn in read(path, "b")] == [2]
    found = conversations(path)
    assert (found["a"].ended_by, found["b"].ended_by) == ("replaced", None)


def test_newest_conversations_come_first_and_no_more_than_asked_for(path):
    hands = Hands()
    one = keeper(path, hands)
    for number in range(5):
        one.take(TRANSCRIPTS, Open(0, str(number)))
        hands.pass_s(1)
    with Journal.open_read_only(path) as journal:  # while it is being written
        assert [one.name for one in journal.conversations(3)] == ["4", "3", "2"]
    one.close()


def test_slots_do_not_mix(path):
    left, right = answered(1, "left", 0), answered(1, "right", 1)
    records = [
        *opened("left", 0),
        *opened("right", 1),
        *(one for pair in zip(left, right, strict=True) for one in pair),
    ]
    write(path, [*records, *closed(0)])
    assert len(read(path, "left")) == len(read(path, "right")) == 1
    assert conversations(path)["right"].ended is None


def test_a_higher_revision_replaces_a_lower_one_and_its_answer(path):
    records = [
        *opened(),
        (TRANSCRIPTS, said(1, "what is")),
        (CLAUSES, clause(1, 0, "Speculation ")),
        (CLAUSES, clause(1, 1, "of two clauses.")),
        (TRANSCRIPTS, said(1, "what is it", 1)),
        (TRANSCRIPTS, commit(1, 1)),
        (CLAUSES, clause(1, 0, "This.", 1, last=True)),
    ]
    write(path, records)
    (turn,) = read(path)
    assert (turn.revision, turn.transcript, turn.reply, turn.committed) == (1, "what is it", "This.", True)


def test_what_was_answered_in_advance_to_less_than_was_said_is_no_reply(path):
    write(path, [*opened(), (TRANSCRIPTS, said(1, "it", 1)), (CLAUSES, clause(1, 0, "Speculation.")), *closed()])
    assert read(path)[0].reply == ""


def test_an_acknowledgement_is_no_reply(path):
    records = [*opened(), *answered(1), (CLAUSES, clause(1, 0, "Well. ", answer=False))]
    write(path, records)
    assert read(path)[0].reply == "and more."
    assert query(path, "SELECT count(*) FROM clauses") == [(2,)]


def test_a_turn_without_words_is_a_false_start_and_no_turn(path):
    nothing = drop(1, "asr: no words", words=False)
    records = [
        *opened(),
        (TRANSCRIPTS, said(1, "")),
        (TRANSCRIPTS, nothing),
        (CLAUSES, nothing),
        ("traces[0]", trace(1, "name", cancelled="asr: no words", words=False)),
        *answered(2),
    ]
    write(path, records)
    assert [turn.turn for turn in read(path)] == [2]
    assert (conversations(path)["name"].turns, conversations(path)["name"].false_starts) == (1, 1)
    assert query(path, "SELECT turn, words, rank, cancelled FROM traces ORDER BY turn") == [
        (1, 0, 2, "asr: no words"),
        (2, 1, 2, None),
    ]


def test_words_that_turned_out_to_be_none_are_forgotten(path):
    """The speculative text of a turn that is dropped without words was never said for good."""
    records = [
        *opened(),
        (TRANSCRIPTS, said(1, "private")),
        (CLAUSES, clause(1, 0, "Answer.")),
        (TRANSCRIPTS, drop(1, "ears: the conversation was closed", words=False)),
        (CLAUSES, clause(1, 1, "Late.")),
        (TRANSCRIPTS, Heard(0, 1, "Late.", True)),
    ]
    write(path, records)
    assert read(path) == []
    assert content(path)["clauses"] == []
    assert b"private" not in path.read_bytes()


def test_a_recognizer_that_was_killed_and_then_hears_less_takes_nothing_back(path):
    records = [
        *opened(),
        *answered(1),
        (TRANSCRIPTS, said(1, "")),
        (TRANSCRIPTS, drop(1, "asr: no words", words=False)),
    ]
    write(path, records)
    assert read(path)[0].transcript == "question 1"


def test_a_turn_that_was_cancelled_says_where(path):
    records = [
        *opened(),
        (TRANSCRIPTS, said(1, "hello")),
        (TRANSCRIPTS, commit(1)),
        (CLAUSES, drop(1, "llm: engine.decode")),
    ]
    write(path, records)
    (turn,) = read(path)
    assert (turn.cancelled, turn.heard, turn.first_answer_ms) == ("llm: engine.decode", None, None)
    assert turn.stages_ms == {"pause": 100.0}


def test_the_frontends_trace_replaces_what_was_concluded_from_a_drop(path):
    """Interrupted in the middle of an audible reply: the drop says that it was cut, the trace that it was heard."""
    records = [*opened(), (CLAUSES, drop(1, "llm: interrupted")), *answered(1), (CLAUSES, drop(1, "llm: interrupted"))]
    write(path, records)
    (turn,) = read(path)
    assert (turn.cancelled, turn.first_answer_ms) == (None, 200.0)


def test_rungs_and_breach(path):
    write(path, [*opened(), *answered(1)[:4], ("traces[0]", trace(1, "name", rungs=["llm: greedy"], breach="asr"))])
    assert (read(path)[0].rungs, read(path)[0].breach) == (("llm: greedy",), "asr")


def test_a_trace_without_the_end_of_speech_has_no_durations(path):
    write(path, [*opened(), *answered(1)[:4], ("traces[0]", Trace(0, "name", 1, 0, [], 800, [], None, "x", True))])
    assert read(path)[0].stages_ms == {}


def test_a_record_for_a_slot_that_nobody_opened_is_passed_over_and_counted(path, caplog):
    one = keeper(path)
    one.take(TRANSCRIPTS, said(1, "to whom"))
    one.take(CLAUSES, clause(1, 0, "It may concern."))
    one.tend()
    one.close()
    assert query(path, "SELECT sum(lost) FROM outages") == [(2,)]
    assert "no conversation was opened" in caplog.text


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_that_no_journal_can_hold_costs_that_record_alone(path, number, caplog):
    odd = Transcript(0, number, 0, "odd", "en", 0.5, watch(1))
    write(path, [*opened(), (TRANSCRIPTS, odd), *answered(2)])
    assert [turn.turn for turn in read(path)] == [2]
    assert "is not kept" in caplog.text


def test_any_text_comes_back(path):
    text = "Grüße, 你好 \U0001f600 \x00 '; DROP TABLE turns; --"
    write(path, [*opened("n'ame"), (TRANSCRIPTS, said(1, text)), (TRANSCRIPTS, Heard(0, 1, text, True))])
    assert (read(path, "n'ame")[0].transcript, read(path, "n'ame")[0].heard) == (text, text)


# Lives of the house


def test_a_journal_that_is_restarted_goes_on_in_the_same_conversation(path):
    write(path, [*opened(), *answered(1)[:3]])
    write(path, [*answered(1)[3:], *answered(2), *closed()])
    assert [turn.reply for turn in read(path)] == ["Answer 1, and more.", "Answer 2, and more."]
    assert conversations(path)["name"].ended_by == "closed"


def test_conversations_of_an_earlier_house_ended_with_it(path):
    hands = Hands()
    write(path, [*opened("a"), *answered(1, "a"), *opened("b", 1), *closed(1)], hands)
    hands.pass_s(3600)
    write(path, opened("c"), hands, life=LIFE._replace(page=4))
    found = conversations(path)
    assert [found[name].ended_by for name in "abc"] == ["house", "closed", None]
    assert found["a"].ended == found["a"].opened  # its last sign of life, not when the next house found out


def test_turn_numbers_and_slots_begin_anew_with_the_house(path):
    write(path, [*opened("a"), *answered(1, "a")])
    write(path, [*opened("b"), *answered(1, "b")], life=LIFE._replace(page=4))
    assert len(read(path, "a")) == len(read(path, "b")) == 1


def test_a_late_record_of_an_earlier_house_is_not_taken_for_one_of_the_next(path):
    write(path, [*opened("a"), *answered(1, "a")])
    write(path, [(TRANSCRIPTS, said(2, "nobody"))], life=LIFE._replace(page=4))
    assert [turn.turn for turn in read(path, "a")] == [1]


def test_another_house_that_is_still_alive_is_left_alone(path):
    """A service, and somebody who tries something out beside it, in the same journal."""
    import os

    memory = [os.memfd_create("page") for _ in range(2)]
    service, trial = Life.current(os.getppid(), memory[0]), Life.current(os.getpid(), memory[1])
    one = keeper(path, life=service)
    for ring, record in [*opened("service"), *answered(1, "service")]:
        one.take(ring, record)
    write(path, [*opened("trial"), *answered(1, "trial"), *closed()], life=trial)
    for ring, record in [*answered(2, "service"), *closed()]:
        one.take(ring, record)
    one.close()
    assert [turn.turn for turn in read(path, "service")] == [1, 2]
    assert {name: one.ended_by for name, one in conversations(path).items()} == {"service": "closed", "trial": "closed"}
    for fd in memory:
        os.close(fd)


def test_a_life_is_known_by_its_name():
    assert Life.parse(str(LIFE)) == LIFE
    assert Life.parse("") is None
    assert Life.parse("a/b/c/d") is None


# Reading


def test_there_is_no_journal(path):
    with pytest.raises(JournalError) as caught:
        Journal.open_read_only(path)
    assert caught.value.code == "journal.missing"
    assert not path.exists()


def test_reading_changes_nothing(path):
    write(path, [*opened(), *answered(1), *closed()])
    before = path.read_bytes()
    assert len(read(path)) == 1
    assert path.read_bytes() == before


def test_a_file_that_is_no_journal_is_said_to_be_unreadable(path):
    path.write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(JournalError) as caught:
        Journal.open_read_only(path)
    assert caught.value.code == "journal.unreadable"


@pytest.mark.parametrize(("version", "code"), [(99, "journal.newer"), (0, "journal.older")])
def test_a_journal_of_another_version_is_not_misread(path, version, code):
    write(path, opened())
    query(path, f"PRAGMA user_version = {version}")
    with pytest.raises(JournalError) as caught:
        Journal.open_read_only(path)
    assert caught.value.code == code


def test_a_conversation_that_is_not_known_has_no_turns(path):
    write(path, opened())
    assert read(path, "nobody") == []


def test_drops_carry_the_budget_that_was_left_to_them(path):
    late = Stopwatch.start(10**12, 650)
    write(
        path,
        [*opened(), *answered(1)[:2], (CLAUSES, Drop(0, 1, 0, "llm: interrupted", True, late)), (CLAUSES, Close(0))],
    )
    assert read(path)[0].budget_ms == 650
