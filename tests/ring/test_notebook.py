from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import RingError
from edge_agent.ring import notebook as notebook_module
from edge_agent.ring.notebook import Notebook
from edge_agent.ring.ring import Writer, create

CAPACITY = 4096


class Death(BaseException):
    """Stands for SIGKILL: a record is published with one store, so dying between two records is all there is."""


class Mortal(Writer):
    """Dies before its n-th record."""

    left = 10**9

    def try_write(self, payload):
        if Mortal.left == 0:
            raise Death
        Mortal.left -= 1
        return super().try_write(payload)


@pytest.fixture(autouse=True)
def mortal(monkeypatch):
    monkeypatch.setattr(notebook_module, "Writer", Mortal)
    Mortal.left = 10**9


@contextmanager
def held(memory, keep):
    notebook = Notebook(memory, keep)
    try:
        yield notebook
    finally:
        notebook.close()


@contextmanager
def memory_of(capacity=CAPACITY):
    memory = create("notebook", capacity)
    try:
        yield memory
    finally:
        memory.close()


def last(count):
    return lambda notes: notes[len(notes) - min(count, len(notes)) :]


def note(number, size=60):
    return b"%06d" % number + b"." * (size - 6)


def test_notes_come_back_in_order_to_whoever_comes_next():
    with memory_of() as memory:
        with held(memory, list) as notebook:
            for number in range(5):
                notebook.add(note(number))
        with held(memory, list) as successor:
            assert successor.notes() == [note(number) for number in range(5)]
            assert successor.notes() == [note(number) for number in range(5)]  # reading lets go of nothing


def test_an_empty_notebook_has_no_notes():
    with memory_of() as memory, held(memory, list) as notebook:
        assert notebook.notes() == []
        notebook.add(b"")
        assert notebook.notes() == [b""]


def test_what_matters_is_there_however_much_is_noted():
    with memory_of() as memory, held(memory, last(5)) as notebook:
        for number in range(2_000):
            notebook.add(note(number))
            found = notebook.notes()
            assert found[-5:] == [note(one) for one in range(max(0, number - 4), number + 1)]
            assert found == sorted(set(found))


@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 30)), max_size=60), st.integers(0, 5))
def test_a_death_at_any_moment_loses_no_note_and_shows_none_twice(plan, count):
    """Each note is added by a worker that may die before its n-th write; its successor adds it again if need be."""
    with memory_of() as memory:
        added = []
        for number, (body, left) in enumerate(plan):
            one = b"%d:" % number + body
            with held(memory, last(count)) as notebook:
                Mortal.left = left
                try:
                    notebook.add(one)
                except Death:
                    Mortal.left = 10**9
                    found = notebook.notes()
                    if one not in found[-1:]:
                        notebook.add(one)
                Mortal.left = 10**9
            added.append(one)
            with held(memory, last(count)) as successor:
                found = successor.notes()
            assert found == added[len(added) - len(found) :]
            assert len(found) >= min(len(added), count + 1)


def test_dying_at_every_single_write_of_a_tidying_up():
    for deaths in range(12):
        with memory_of() as memory, held(memory, last(8)) as notebook:
            number = 0
            while notebook._writer.used + 60 <= CAPACITY // 3:
                notebook.add(note(number))
                number += 1
            before = notebook.notes()
            Mortal.left = deaths
            try:
                notebook.add(note(number))
                died = False
            except Death:
                died = True
            Mortal.left = 10**9
            after = notebook.notes()
            if not died:
                assert after == [*before[-8:], note(number)]
            else:
                assert after in (before, before[-8:])  # all of the old ones, or those that matter: never a mixture
            assert died == (deaths < 10)  # eight copies, the mark, the note itself


def test_copies_that_a_death_cut_short_are_forgotten_when_more_is_noted():
    with memory_of() as memory, held(memory, last(8)) as notebook:
        number = 0
        while notebook._writer.used + 60 <= CAPACITY // 3:
            notebook.add(note(number))
            number += 1
        Mortal.left = 4
        with pytest.raises(Death):
            notebook.add(note(number))
        Mortal.left = 10**9
        for _ in range(300):
            notebook.add(note(number))
            found = notebook.notes()
            assert found[-9:] == [note(one) for one in range(number - 8, number + 1)]
            number += 1


def test_what_must_be_kept_and_does_not_fit_is_said():
    with memory_of() as memory, held(memory, list) as notebook, pytest.raises(RingError) as caught:
        for number in range(200):
            notebook.add(note(number))
    assert caught.value.code == "ring.full"


def test_a_note_as_long_as_a_third_of_the_ring_goes_in_again_and_again():
    with memory_of() as memory, held(memory, last(0)) as notebook:
        for number in range(50):
            notebook.add(note(number, CAPACITY // 3 - 64))
        assert notebook.notes()[-1] == note(49, CAPACITY // 3 - 64)


def test_a_note_longer_than_any_record_is_refused():
    with memory_of() as memory, held(memory, last(1)) as notebook:
        notebook.add(b"kept")
        with pytest.raises(RingError) as caught:
            notebook.add(bytes(CAPACITY))
        assert caught.value.code == "ring.record"
        assert notebook.notes() == [b"kept"]


def test_when_choosing_what_matters_fails_nothing_is_lost():
    def broken(notes):
        raise ValueError("no idea")

    with memory_of() as memory:
        with held(memory, broken) as notebook, pytest.raises(ValueError, match="no idea"):
            for number in range(200):
                notebook.add(note(number))
        with held(memory, list) as successor:
            found = successor.notes()
            assert found == [note(number) for number in range(len(found))]
            assert len(found) > 10
