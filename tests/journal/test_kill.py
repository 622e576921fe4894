"""The worker itself: a fresh interpreter on real rings, killed at random moments, and what it leaves in its file."""

import random
import time
from pathlib import Path

import msgspec
import pytest

from edge_agent.config import Config
from edge_agent.journal.reading import Journal
from edge_agent.records import Close, Open, encode
from edge_agent.ring.ring import LINE, W_HEAD, W_TAIL, deadline_in
from edge_agent.ring.station import Station
from edge_agent.supervisor import plan
from edge_agent.supervisor.building import Building
from edge_agent.supervisor.child import Child
from edge_agent.supervisor.models import OWN_MODEL_CHAT, ChosenModels

from .script import CLAUSES, TRANSCRIPTS, answered, closed, content, opened, write

ROW = next(row for row in plan.PROCESSES if row.name == "journal")
WRITERS = {TRANSCRIPTS: "asr", CLAUSES: "llm", "traces[0]": "frontend[0]", "traces[1]": "frontend[1]"}
PATIENCE_S = 40.0


class Rig:
    """The journal's worker, and this process in the place of everybody who writes to it."""

    def __init__(self, folder: Path, **tables) -> None:
        config = Config.model_validate({"house": {"state_dir": str(folder / "state"), "slots": 2}, **tables})
        self.path = config.state_dir / "journal.sqlite3"
        self.log = folder / "journal.log"
        self._building = Building(config, ChosenModels({}, OWN_MODEL_CHAT))
        names = self._building.names
        words = self._building.control.processes[names.index("journal")]
        self.child = Child(ROW, self._building.manifest("journal"), words, self.log)
        self._stations = [Station(self._writers_manifest(name)) for name in WRITERS.values()]
        self._outlets = {ring: station.outlets[ring] for ring, station in zip(WRITERS, self._stations, strict=True)}

    def _writers_manifest(self, name):
        """For a station in this process; notebooks are no business of this test."""
        return msgspec.structs.replace(self._building.local_manifest(name), notebook=None)

    def publish(self, records):
        for ring, record in records:
            self._outlets[ring].write(encode(record), deadline_ns=deadline_in(PATIENCE_S * 1000))

    @property
    def unread(self):
        """Bytes that the journal has not released."""
        tails = {one.name: W_TAIL + LINE * one.reader for one in self._building.manifest("journal").inlets}
        words = {ring: self._building.rings[ring].words for ring in tails}
        return sum(words[ring].load(W_HEAD) - words[ring].load(tail) for ring, tail in tails.items())

    def wait(self, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.002)

    def start(self):
        self.child.start()

    def kill(self):
        self.child.kill()
        assert self.child.reap(PATIENCE_S) == -9, self.log.read_text()

    def end(self):
        self.child.terminate()
        assert self.child.reap(PATIENCE_S) == 0, self.log.read_text()

    def close(self):
        if self.child.pid:
            self.kill()
        for station in self._stations:
            station.close()
        self._building.close()


@pytest.fixture
def rig(tmp_path):
    made = []

    def make(**tables):
        made.append(Rig(tmp_path, **tables))
        return made[-1]

    yield make
    for one in made:
        one.close()


def texts(path):
    """What a journal holds, without the wall-clock times."""
    timeless = {}
    for table, rows in content(path).items():
        drop = {"conversations": (4, 5), "turns": (3,), "clauses": (4,), "traces": (3,), "outages": ()}[table]
        timeless[table] = [tuple(value for place, value in enumerate(row) if place not in drop) for row in rows]
    return timeless


def test_nothing_is_missing_after_a_journal_was_killed_again_and_again(rig, tmp_path):
    chance = random.Random(20)
    records = [*opened("left", 0), *opened("right", 1)]
    for turn in range(1, 201):
        records += [*answered(turn, "left" if turn <= 100 else "next", 0), *answered(turn, "right", 1)]
        if turn == 100:
            records += [*closed(0), *opened("next", 0)]
    journal = rig()
    at = killed_at_work = 0
    kills = 14
    for number in range(kills):
        journal.start()
        until = len(records) * (number + 1) // kills
        if number % 5 != 4:
            journal.wait(lambda: journal.child.ready)
            journal.publish(records[at:until])
            time.sleep(chance.uniform(0, 0.03))
        else:  # while it is still starting
            journal.publish(records[at:until])
            time.sleep(chance.uniform(0, 0.5))
        at = until
        journal.kill()
        killed_at_work += journal.unread > 0
    journal.start()
    journal.wait(lambda: journal.child.ready and not journal.unread)
    journal.end()
    write(tmp_path / "expected", records)
    assert texts(journal.path) == texts(tmp_path / "expected")
    assert killed_at_work >= 2  # or the kills proved nothing


def test_a_journal_that_is_told_to_end_ends_in_good_order(rig):
    journal = rig()
    journal.start()
    journal.publish([*opened(), *answered(1), *closed()])
    journal.wait(lambda: journal.child.ready and not journal.unread)
    journal.end()
    assert sorted(entry.name for entry in journal.path.parent.iterdir()) == ["journal.sqlite3"]
    with Journal.open_read_only(journal.path) as found:
        assert [turn.transcript for turn in found.turns("name")] == ["question 1"]


def test_a_journal_that_is_switched_off_reads_everything_and_keeps_nothing(rig):
    journal = rig(journal={"enabled": False})
    journal.start()
    journal.publish([*opened(), *answered(1), *closed()])
    journal.wait(lambda: journal.child.ready and not journal.unread)
    journal.end()
    assert not journal.path.exists()


def test_what_was_kept_before_it_was_switched_off_is_still_deleted_in_time(rig):
    journal = rig(journal={"enabled": False, "keep_days": 1})
    write(journal.path, [*opened(), *answered(1), *closed()])  # years before or after today; either way not today
    journal.start()
    journal.publish([(TRANSCRIPTS, Open(0, "not kept")), (TRANSCRIPTS, Close(0))])
    journal.wait(lambda: journal.child.ready and not journal.unread)
    journal.end()
    with Journal.open_read_only(journal.path) as found:
        assert "not kept" not in [one.name for one in found.conversations()]


def test_a_journal_that_cannot_write_holds_nobody_up(rig, tmp_path):
    (tmp_path / "state").write_text("in the way of the folder")
    journal = rig()
    journal.start()
    journal.publish([*opened(), *(record for turn in range(1, 50) for record in answered(turn))])
    journal.wait(lambda: journal.child.ready and not journal.unread)
    assert "cannot be written" in journal.log.read_text()
    (tmp_path / "state").unlink()
    journal.wait(lambda: "0 records were lost" in journal.log.read_text())
    journal.end()
    with Journal.open_read_only(journal.path) as found:
        assert len(found.turns("name")) == 49
