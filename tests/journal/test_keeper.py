"""What the journal does when the disk does not do what it should."""

import logging
import os
import resource
import sqlite3
import stat
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest

from edge_agent.journal import keeper as keeper_module
from edge_agent.journal import schema
from edge_agent.journal.backlog import Backlog
from edge_agent.journal.entry import Entry
from edge_agent.journal.keeper import ASIDE_S, CHECKPOINT_S, RETRY_S, SLICE
from edge_agent.journal.reading import Journal
from edge_agent.records import Open, encode

from .script import LIFE, TRANSCRIPTS, WALL_MS, Hands, answered, closed, content, keeper, opened, query, said, write

DAY_S = 86_400


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "journal.sqlite3"


@pytest.fixture
def hands():
    return Hands()


def take(one, records):
    for ring, record in records:
        one.take(ring, record)


def settle(one):
    """Let it do all that can wait; how many slices that took."""
    slices = 0
    while one.tend():
        slices += 1
    return slices


def turns(path, name="name"):
    with Journal.open_read_only(path) as journal:
        return [turn.turn for turn in journal.turns(name)]


@contextmanager
def file_size_limit(size):
    """No file of this process may grow beyond `size` bytes: what a full disk is like."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def held_by_another(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(schema, "BUSY_S", 0.01)


# The file


def test_only_its_owner_may_read_the_journal(path):
    one = keeper(path)
    take(one, [*opened(), *answered(1)])
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in (path.parent, *path.parent.iterdir())}
    one.close()
    assert modes == {
        "state": 0o700,
        "journal.sqlite3": 0o600,
        "journal.sqlite3-wal": 0o600,
        "journal.sqlite3-shm": 0o600,
    }


def test_a_journal_that_others_could_read_no_longer_can_be(path):
    write(path, opened())
    path.chmod(0o644)
    write(path, closed())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_file_becomes_a_journal(path):
    path.parent.mkdir()
    path.touch()
    write(path, [*opened(), *answered(1)])
    assert turns(path) == [1]
    assert query(path, "PRAGMA user_version") == [(schema.VERSION,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


def test_an_older_journal_is_brought_up_to_date_and_keeps_what_it_has(path, monkeypatch):
    write(path, [*opened(), *answered(1)])
    later = "ALTER TABLE turns ADD COLUMN mood TEXT;\nUPDATE turns SET mood = 'fine'"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, later))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    write(path, answered(2))
    assert query(path, "SELECT turn, mood FROM turns ORDER BY turn") == [(1, "fine"), (2, None)]
    assert query(path, "PRAGMA user_version") == [(schema.VERSION,)]


def test_a_migration_that_fails_leaves_the_old_journal_as_it_was(path, monkeypatch, caplog):
    write(path, [*opened(), *answered(1)])
    before = content(path)
    broken = "ALTER TABLE turns ADD COLUMN mood TEXT;\nUPDATE nowhere SET mood = 'fine'"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    one = keeper(path)
    assert "no such table" in one.trouble
    one.close()
    assert content(path) == before
    assert query(path, "PRAGMA user_version") == [(schema.VERSION - 1,)]


def test_the_journal_of_a_newer_version_is_left_alone(path, caplog):
    write(path, [*opened(), *answered(1)])
    query(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    one = keeper(path)
    take(one, answered(2))
    one.close()
    assert path.read_bytes() == before
    assert "newer edge-agent" in caplog.text


# Damage


@pytest.mark.parametrize("damage", ["garbage", "cut short", "page"])
def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(path, hands, damage, caplog):
    write(path, [*opened("old"), *(one for turn in range(1, 40) for one in answered(turn, "old")), *closed()])
    size = path.stat().st_size
    with path.open("r+b") as file:
        if damage == "garbage":
            file.write(os.urandom(size))
        elif damage == "cut short":
            file.truncate(size // 2)
        else:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
    damaged = path.read_bytes()
    write(path, [*opened(), *answered(1), *closed()], hands)
    assert turns(path) == [1]
    (aside,) = path.parent.glob("journal.sqlite3.damaged-*")
    assert aside.name == f"journal.sqlite3.damaged-{datetime.fromtimestamp(WALL_MS / 1000, UTC):%Y%m%dT%H%M%SZ}"
    assert aside.read_bytes() == damaged
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]
    assert str(aside) in caplog.text


def test_damage_in_the_middle_of_a_conversation_costs_what_was_before_and_not_the_rest(path, hands):
    one = keeper(path, hands)
    take(one, [*opened("a"), *answered(1, "a"), *opened("b", 1), *answered(1, "b", 1)])
    one._drop_store()  # nothing of it is in memory any more
    for file in path.parent.iterdir():
        file.write_bytes(b"\xff" * file.stat().st_size)
    take(one, [*answered(2, "a"), *answered(2, "b", 1), *closed(1)])
    one.close()
    assert (turns(path, "a"), turns(path, "b")) == ([2], [2])
    assert [row[-1] for row in content(path)["conversations"]] == [None, "closed"]


def test_a_disk_that_damages_every_file_is_not_filled_with_damaged_files(path, hands, monkeypatch):
    def damaged(*_):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    one = keeper(path, hands)
    monkeypatch.setattr(keeper_module.Store, "write", damaged)
    for _ in range(20):
        one.take(TRANSCRIPTS, Open(0, "name"))
        hands.pass_s(RETRY_S)
    assert len(list(path.parent.glob("*.damaged-*"))) == 1
    assert "check the disk" in one.trouble
    monkeypatch.undo()
    hands.pass_s(ASIDE_S)
    settle(one)
    assert not one.trouble
    one.close()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_is_taken_away_is_begun_anew(path, how, caplog):
    one = keeper(path)
    take(one, [*opened(), *answered(1)])
    if how == "removed":
        for file in path.parent.iterdir():
            file.unlink()
    else:
        write(path.with_name("other"), opened("other"))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        path.with_name("other").replace(path)
    take(one, answered(2))
    one.close()
    assert turns(path) == [2]
    assert "was taken away" in caplog.text


# A disk that refuses


def test_a_full_disk_is_said_once_and_what_waited_is_written_when_there_is_room(path, hands, caplog):
    one = keeper(path, hands)
    take(one, [*opened(), *answered(1)])
    with file_size_limit(1024):
        for turn in range(2, 12):
            take(one, answered(turn))
            hands.pass_s(RETRY_S)
            settle(one)
        assert one.trouble
        assert len(caplog.records) == 1
        assert "cannot be written" in caplog.text
        assert "Make room" in caplog.text
    hands.pass_s(RETRY_S)
    settle(one)
    assert not one.trouble
    take(one, answered(12))
    one.close()
    assert turns(path) == list(range(1, 13))
    assert content(path)["outages"][0][1] == 0
    assert "0 records were lost" in caplog.text


def test_a_database_that_may_grow_no_further_is_a_full_disk(path, hands, monkeypatch, caplog):
    one = keeper(path, hands)
    take(one, opened())
    one._store._connection.execute(f"PRAGMA max_page_count = {query(path, 'PRAGMA page_count')[0][0]}")
    take(one, [(TRANSCRIPTS, said(1, "x" * 100_000))])
    assert one.trouble == "the disk is full"
    hands.pass_s(RETRY_S)
    settle(one)  # opened again, without the limit
    one.close()
    assert turns(path) == [1]


def test_it_is_not_tried_for_every_record(path, hands, monkeypatch):
    tried = []
    one = keeper(path, hands)
    with held_by_another(path):
        real = keeper_module.Store
        monkeypatch.setattr(keeper_module, "Store", lambda *given: tried.append(given) or real(*given))
        for turn in range(1, 100):
            take(one, answered(turn))
        assert tried == []
        for _ in range(3):
            hands.pass_s(RETRY_S)
            one.tend()
            one.tend()
        assert len(tried) == 3
    hands.pass_s(RETRY_S)
    settle(one)
    one.close()


def test_more_than_can_wait_is_lost_counted_and_written_down(path, hands, caplog):
    one = keeper(path, hands, backlog_bytes=2_000)
    take(one, [*opened("a"), *answered(1, "a")])
    with held_by_another(path):
        lost = [answered(turn, "a") for turn in range(2, 50)]
        for records in lost:
            take(one, records)
        take(one, [*closed(), *opened("b"), *opened("c", 1), *closed(1)])
        hands.pass_s(3_600)
    settle(one)
    take(one, [*answered(50, "b"), *closed()])
    one.close()
    kept = turns(path, "a")
    assert kept[:3] == [1, 2, 3]
    assert len(kept) < 10
    assert turns(path, "b") == [50]  # the openings that were lost are remembered all the same
    ((since_ms, until_ms, reason, number),) = query(path, "SELECT since_ms, until_ms, reason, lost FROM outages")
    assert (until_ms - since_ms, reason) == (3_600_000, "another process is writing it")
    assert f"{number} records were lost" in caplog.text
    written = sum(count for (count,) in query(path, "SELECT count(*) FROM traces"))
    assert number > 6 * (49 - written)
    found = {row[0]: row[-1] for row in content(path)["conversations"]}
    assert found["a"] == "replaced"
    assert found["b"] == "closed"


def test_a_conversation_whose_end_was_lost_is_ended(path, hands):
    one = keeper(path, hands, backlog_bytes=1)
    take(one, opened())
    with held_by_another(path):
        take(one, closed())
    hands.pass_s(RETRY_S)
    settle(one)
    one.close()
    assert content(path)["conversations"][0][-1] == "closed"


def test_what_waits_never_takes_more_room_than_it_may():
    backlog = Backlog(1_000)
    entry = Entry(TRANSCRIPTS, said(1, "x" * 100), WALL_MS, 0)
    size = len(encode(entry.record))
    for _ in range(50):
        backlog.add(entry)
    assert len(backlog) == 1_000 // size
    assert len(backlog) + backlog.lost == 50
    backlog.remove_first()
    backlog.add(entry)  # there would be room now, but the gap goes on until all before it is written
    assert len(backlog) + 1 == 1_000 // size


def test_a_long_backlog_is_written_in_slices(path, hands):
    one = keeper(path, hands)
    with held_by_another(path):
        take(one, [*opened(), *(record for turn in range(1, 51) for record in answered(turn))])
    hands.pass_s(RETRY_S)
    assert settle(one) == (2 + 50 * 6) // SLICE
    one.close()
    assert turns(path) == list(range(1, 51))


def test_a_house_that_starts_without_a_place_to_write_goes_on(tmp_path, hands, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    one = keeper(blocked / "journal.sqlite3", hands)
    take(one, [*opened(), *answered(1)])
    assert one.trouble
    blocked.unlink()
    hands.pass_s(RETRY_S)
    settle(one)
    one.close()
    assert turns(blocked / "journal.sqlite3") == [1]


def test_a_read_only_file_is_said_to_be_one(path, hands, monkeypatch, caplog):
    write(path, opened())

    def read_only(given):
        return sqlite3.connect(f"file:{given}?mode=ro", uri=True, isolation_level=None)

    with monkeypatch.context() as patched:
        patched.setattr("edge_agent.journal.store.connect", read_only)
        one = keeper(path, hands)
        take(one, answered(1))
        assert one.trouble == "it is read-only"
    hands.pass_s(RETRY_S)
    settle(one)
    one.close()
    assert turns(path) == [1]


def test_ending_in_trouble_says_what_was_never_written(path, hands, caplog):
    one = keeper(path, hands)
    with held_by_another(path):
        take(one, opened())
        one.close()
    assert "2 records never reached the journal" in caplog.text


def test_ending_when_there_is_room_again_writes_what_waited(path, hands):
    one = keeper(path, hands)
    with held_by_another(path):
        take(one, [*opened(), *(record for turn in range(1, 40) for record in answered(turn))])
    one.close()
    assert turns(path) == list(range(1, 40))


# Upkeep


def test_what_is_older_than_it_may_be_is_deleted_at_the_start(path, hands):
    write(path, [*opened("old"), (TRANSCRIPTS, said(1, "forget this")), *answered(2, "old"), *closed()], hands)
    hands.pass_s(31 * DAY_S)
    write(path, opened("new"), hands)
    assert turns(path, "old") == [1, 2]  # 0 is for ever
    one = keeper(path, hands, keep_days=30)
    settle(one)
    one.close()
    assert [row[0] for row in content(path)["conversations"]] == ["new"]
    assert query(path, "SELECT count(*) FROM turns, clauses, traces") == [(0,)]
    assert not any(b"forget this" in file.read_bytes() for file in path.parent.iterdir())


def test_what_is_young_enough_stays(path, hands):
    write(path, [*opened(), *answered(1), *closed()], hands)
    hands.pass_s(29 * DAY_S)
    before = content(path)
    one = keeper(path, hands, keep_days=30)
    settle(one)
    one.close()
    assert content(path) == before


def test_it_is_deleted_once_a_day_while_the_house_stands(path, hands):
    one = keeper(path, hands, keep_days=30)
    take(one, [*opened(), *answered(1)])
    settle(one)
    for _ in range(29):
        hands.pass_s(DAY_S)
        settle(one)
    assert turns(path) == [1]
    for _ in range(2):
        hands.pass_s(DAY_S)
        settle(one)
    assert turns(path) == []
    with Journal.open_read_only(path) as journal:
        assert [(found.name, found.ended) for found in journal.conversations()] == [("name", None)]  # it goes on
    take(one, answered(2))
    one.close()
    assert turns(path) == [2]


def test_deleting_goes_in_slices_and_gives_room_back(path, hands):
    many = [record for turn in range(1, 4 * SLICE + 1) for record in answered(turn)]
    write(path, [*opened(), *many, *closed()], hands)
    size = path.stat().st_size
    hands.pass_s(31 * DAY_S)
    one = keeper(path, hands, keep_days=30)
    assert settle(one) >= 4
    one.close()
    assert path.stat().st_size < size
    assert query(path, "PRAGMA freelist_count") == [(0,)]


def test_what_was_committed_reaches_the_disk_within_seconds(path, hands, monkeypatch):
    done = []
    one = keeper(path, hands)
    monkeypatch.setattr(one._store, "checkpoint", lambda **_: done.append(hands.wall_ms))
    for turn in range(1, 31):
        take(one, [*opened(), *answered(turn)])
        hands.pass_s(1)
        settle(one)
    assert len(done) == 30 // CHECKPOINT_S
    hands.pass_s(600)
    settle(one)
    settle(one)
    hands.pass_s(600)
    settle(one)
    assert len(done) == 30 // CHECKPOINT_S + 1  # nothing new, nothing to do
    monkeypatch.undo()
    one.close()


def test_a_journal_that_is_read_all_the_time_is_written_all_the_same(path):
    write(path, [*opened(), *answered(1)])
    with Journal.open_read_only(path) as journal:
        journal._connection.execute("BEGIN")
        assert len(journal.turns("name")) == 1
        write(path, answered(2))
        assert len(journal.turns("name")) == 1  # as it was when this reader began
        journal._connection.execute("COMMIT")
        assert len(journal.turns("name")) == 2


def test_two_lives_in_one_file_do_not_lock_each_other_out(path, hands):
    first, second = keeper(path, hands), keeper(path, hands, life=LIFE._replace(page=9))
    for turn in range(1, 20):
        take(second, [*opened("second"), *answered(turn, "second")])
        assert not second.trouble
    first.close()
    second.close()
    assert turns(path, "second") == list(range(1, 20))
