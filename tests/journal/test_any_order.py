"""Records of different rings in any order, and coming again, make the same journal."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.records import Heard

from .script import (
    CLAUSES,
    TRANSCRIPTS,
    answered,
    clause,
    closed,
    commit,
    content,
    drop,
    opened,
    said,
    trace,
    write,
)


def plain(turn, name, slot):
    return answered(turn, name, slot)


def revised(turn, name, slot):
    return [
        (TRANSCRIPTS, said(turn, "what is", slot=slot)),
        (CLAUSES, clause(turn, 0, "Speculation that nobody hears.", slot=slot)),
        (TRANSCRIPTS, said(turn, "what is the time", 1, slot)),
        (TRANSCRIPTS, commit(turn, 1, slot)),
        (CLAUSES, clause(turn, 0, "One moment. ", 1, slot, answer=False)),
        (CLAUSES, clause(turn, 1, "Noon.", 1, slot, last=True)),
        (f"traces[{slot}]", trace(turn, name, 1, slot, rungs=["llm: acknowledgement"], breach="llm")),
        (TRANSCRIPTS, Heard(slot, turn, "Noon.", True)),
    ]


def coughed(turn, name, slot):
    nothing = drop(turn, "asr: no words", slot=slot, words=False)
    return [
        (TRANSCRIPTS, said(turn, "", slot=slot)),
        (TRANSCRIPTS, nothing),
        (CLAUSES, nothing),
        (f"traces[{slot}]", trace(turn, name, slot=slot, cancelled="asr: no words", words=False)),
    ]


def faded(turn, name, slot):
    """At first there seemed to be words; the whole of it had none."""
    nothing = drop(turn, "asr: no words", 1, slot, words=False)
    return [
        (TRANSCRIPTS, said(turn, "thank you", slot=slot)),
        (CLAUSES, clause(turn, 0, "You are welcome.", slot=slot)),
        (TRANSCRIPTS, said(turn, "", 1, slot)),
        (TRANSCRIPTS, nothing),
        (CLAUSES, nothing),
        (f"traces[{slot}]", trace(turn, name, 1, slot, cancelled="asr: no words", words=False)),
    ]


def mumbled(turn, name, slot):
    """At first there were no words."""
    return [(TRANSCRIPTS, said(turn, "", slot=slot)), *revised(turn, name, slot)[2:]]


def interrupted(turn, name, slot):
    return [
        (TRANSCRIPTS, said(turn, "tell me a story", slot=slot)),
        (TRANSCRIPTS, commit(turn, slot=slot)),
        (CLAUSES, clause(turn, 0, "Once upon a time, ", slot=slot)),
        (f"traces[{slot}]", trace(turn, name, slot=slot)),
        (CLAUSES, drop(turn, "llm: interrupted", slot=slot)),
        (TRANSCRIPTS, Heard(slot, turn, "Once", False)),
    ]


def unanswered(turn, name, slot):
    given_up = drop(turn, "llm: engine.decode", slot=slot)
    return [
        (TRANSCRIPTS, said(turn, "hello", slot=slot)),
        (TRANSCRIPTS, commit(turn, slot=slot)),
        (CLAUSES, given_up),
        (f"traces[{slot}]", trace(turn, name, slot=slot, cancelled="llm: engine.decode")),
    ]


def overtaken(turn, name, slot):
    """What had been answered in advance was not all that the user said, and then the answer failed."""
    return [*revised(turn, name, slot)[:4], (CLAUSES, drop(turn, "llm: engine.decode", 1, slot))]


def restarted(turn, name, slot):
    """The language model was killed in the middle of the reply; its successor's is shorter."""
    first = [(CLAUSES, clause(turn, index, f"First {index}. ", slot=slot)) for index in range(3)]
    second = [(CLAUSES, clause(turn, index, f"Second {index}. ", slot=slot, last=index == 1)) for index in range(2)]
    before = [one for one in answered(turn, name, slot) if one[0] != CLAUSES]
    return [*before[:2], *first, *second, *before[2:]]


def untraced(turn, name, slot):
    """The frontend died before it could write the trace."""
    return unanswered(turn, name, slot)[:-1]


def left(turn, name, slot):
    """Still waiting to see whether the user goes on."""
    return [(TRANSCRIPTS, said(turn, "and then", slot=slot))]


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # hundreds of files that are synchronized
KINDS = (plain, revised, coughed, faded, mumbled, interrupted, unanswered, overtaken, untraced, left)

kinds = st.lists(st.sampled_from(KINDS), max_size=5)
houses = st.lists(
    st.lists(st.lists(st.sampled_from((*KINDS, restarted)), max_size=5), min_size=1, max_size=3), min_size=1, max_size=2
)  # slots, conversations, turns


def play(house):
    """All records in the order in which they are made: slot after slot, or rather, side by side by turn."""
    made = []
    for slot, conversations in enumerate(house):
        turn = 0
        for number, turns in enumerate(conversations):
            name = f"conversation {slot}.{number}"
            made += opened(name, slot)
            for kind in turns:
                turn += 1
                made += kind(turn, name, slot)
            made += closed(slot) if number % 2 == 0 else []  # the others are replaced, or still going on
    return made


def by_ring(records):
    rings = {}
    for ring, record in records:
        rings.setdefault(ring, []).append(record)
    return rings


def stutter(data, ring):
    """What is read of a ring whose writer was killed now and then: everything since some record comes again."""
    read = list(ring)
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(read)))
        since = data.draw(st.integers(0, at))
        read = [*read[:at], *read[since:at], *read[at:]]
    return read


def shuffle(data, rings):
    """One order of reading: each ring's own order is kept."""
    left_over = {name: list(ring) for name, ring in rings.items() if ring}
    read = []
    while left_over:
        name = data.draw(st.sampled_from(sorted(left_over)))
        count = data.draw(st.integers(1, 6))
        read += [(name, record) for record in left_over[name][:count]]
        left_over[name] = left_over[name][count:]
        if not left_over[name]:
            del left_over[name]
    return read


def same_journal(first, second):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        for name, records in (("first", first), ("second", second)):
            write(Path(folder) / name, records)
        assert content(Path(folder) / "second") == content(Path(folder) / "first")


relaxed = settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(houses, st.data())
def test_the_order_between_rings_and_what_comes_again_make_no_difference(house, data):
    made = play(house)
    rings = {name: stutter(data, ring) for name, ring in by_ring(made).items()}
    same_journal(made, shuffle(data, rings))


@relaxed
@given(kinds, st.data())
def test_single_records_of_a_conversation_may_come_again_at_any_later_time(turns, data):
    made = play([[turns]])
    again = list(made)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(made) - 1))
        if made[at] not in (*opened("conversation 0.0"), *closed()):  # after which the slot is another's
            again.insert(data.draw(st.integers(again.index(made[at]) + 1, len(again))), made[at])
    same_journal(made, again)


@relaxed
@given(houses, st.data())
def test_every_record_twice_in_a_row(house, data):
    made = play(house)
    same_journal(made, [one for one in made for _ in range(2)])
