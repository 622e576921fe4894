import os
import subprocess
import sys

import msgspec
import pytest

from edge_agent.config import Config
from edge_agent.errors import RingError
from edge_agent.ring.control import ProcessWord, SessionWord, Turn
from edge_agent.ring.memory import SharedMemory
from edge_agent.ring.ring import Reader, deadline_in
from edge_agent.ring.station import Manifest, Station
from edge_agent.supervisor import plan
from edge_agent.supervisor.building import Building
from edge_agent.supervisor.models import OWN_MODEL_CHAT, ChosenModels

SLOTS = 2


@pytest.fixture
def building():
    config = Config.model_validate({"house": {"slots": SLOTS}})
    made = Building(config, ChosenModels({"asr": "/models/asr"}, OWN_MODEL_CHAT))
    yield made
    made.close()


@pytest.fixture
def station(building):
    """Makes stations in this process, with descriptors of their own, and closes them."""
    made = []

    def make(name):
        manifest = building.local_manifest(name)
        if manifest.notebook is not None:
            manifest = msgspec.structs.replace(manifest, notebook=os.dup(manifest.notebook))
        made.append(Station(manifest))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_station_has_the_rings_that_the_plan_gives_it(station):
    journal = station("journal")
    assert list(journal.inlets) == ["transcripts", "clauses", "traces[0]", "traces[1]"]
    assert list(journal.outlets) == []
    frontend = station("frontend[1]")
    assert list(frontend.inlets) == ["playback[1]"]
    assert list(frontend.outlets) == ["capture[1]", "traces[1]"]


def test_every_reader_of_a_ring_has_a_place_of_its_own(building):
    places = {}
    for name in building.names:
        for entry in building.manifest(name).inlets:
            places.setdefault(entry.name, []).append(entry.reader)
    for row in plan.rings(SLOTS):
        assert sorted(places[row.name]) == list(range(len(row.readers)))


def test_what_one_writes_each_of_its_readers_reads(station):
    asr, llm, journal = (station(name) for name in ("asr", "llm", "journal"))
    asr.outlets["transcripts"].write(b"said", deadline_ns=deadline_in(100))
    assert llm.inlets["transcripts"].read() == b"said"
    assert journal.inlets["transcripts"].read() == b"said"


def test_a_record_that_was_not_released_is_there_for_the_successor(building, station):
    asr, journal = station("asr"), station("journal")
    for text in (b"one", b"two"):
        asr.outlets["transcripts"].write(text, deadline_ns=deadline_in(100))
    inlet = journal.inlets["transcripts"]
    assert inlet.read() == b"one"
    inlet.release()
    assert inlet.read() == b"two"
    assert station("journal").inlets["transcripts"].read() == b"two"


def test_a_reader_is_woken_only_while_it_sleeps(station):
    asr, journal = station("asr"), station("journal")
    asr.outlets["transcripts"].write(b"nobody sleeps", deadline_ns=deadline_in(100))
    assert journal.sleeper.sleep(0) == []
    journal.sleeper.prepare()
    asr.outlets["transcripts"].write(b"wake up", deadline_ns=deadline_in(100))
    assert journal.sleeper.sleep(5_000) == [journal.manifest.bell]


def test_a_writer_that_comes_rings_in_case_its_predecessor_could_not(station):
    journal = station("journal")
    journal.sleeper.prepare()
    station("asr")
    assert journal.sleeper.sleep(5_000) == [journal.manifest.bell]


def test_words_are_shared_and_each_process_has_its_own(station):
    ears, llm = station("ears"), station("llm")
    ears.sessions[1].store(SessionWord.COMMITTED, Turn(7, 2).pack())
    assert llm.sessions[1].committed == Turn(7, 2)
    assert llm.sessions[0].committed == Turn(0, 0)
    llm.process.store(ProcessWord.TYPICAL_NS, 5)
    assert ears.of("llm").load(ProcessWord.TYPICAL_NS) == 5
    assert ears.process.load(ProcessWord.TYPICAL_NS) == 0
    assert ears.of("ears").load(ProcessWord.TYPICAL_NS) == 0


def test_a_notebook_outlives_its_station(building):
    def make():
        manifest = building.local_manifest("llm")
        return Station(msgspec.structs.replace(manifest, notebook=os.dup(manifest.notebook)))

    first = make()
    first.notebook(list).add(b"remember")
    first.close()
    second = make()
    assert second.notebook(list).notes() == [b"remember"]
    second.close()


def test_who_has_no_notebook_is_told_so(station):
    with pytest.raises(RingError) as caught:
        station("tts").notebook(list)
    assert caught.value.code == "ring.notebook"
    assert "tts" in str(caught.value)


def test_a_station_gives_back_every_descriptor_that_it_owns(building):
    def descriptors():
        return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = descriptors()
    for _ in range(3):
        Station(building.local_manifest("frontend[0]")).close()
    assert descriptors() == before


def test_closing_twice_is_harmless(building):
    one = Station(building.local_manifest("frontend[0]"))
    one.close()
    one.close()


def test_the_manifest_survives_its_way_to_another_process(building):
    manifest = building.manifest("llm")
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest


def test_a_manifest_names_every_descriptor_that_it_holds_once(building):
    for name in building.names:
        manifest = building.manifest(name)
        fds = manifest.descriptors()
        assert fds == sorted(set(fds))
        rings = [entry.fd for entry in (*manifest.inlets, *manifest.outlets)]
        single = [manifest.control, manifest.bell, manifest.lifeline, *manifest.bells.values(), *rings]
        assert set(fds) == {*single, *([manifest.notebook] if manifest.notebook is not None else [])}
        assert -1 not in fds


def test_no_station_inherits_more_than_it_needs(building):
    """A process that holds no end of a ring cannot touch it."""
    tts = set(building.manifest("tts").descriptors())
    for name in ("capture[0]", "speech", "transcripts", "traces[0]"):
        assert building.rings[name].fd not in tts


CHILD = """
import sys, msgspec
from edge_agent.ring.station import Manifest, Station
manifest = msgspec.json.decode(sys.argv[1], type=Manifest)
station = Station(manifest)
station.inlets["transcripts"].read()
print(station.orphaned([]), station.orphaned([manifest.lifeline]), flush=True)
station.sleeper.prepare()
stirred = station.sleeper.sleep(20_000)
print(station.orphaned(stirred), flush=True)
"""


def test_a_process_notices_that_its_supervisor_is_gone():
    building = Building(Config.model_validate({"house": {"slots": 1}}), ChosenModels({}, OWN_MODEL_CHAT))
    manifest = building.manifest("journal")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, msgspec.json.encode(manifest).decode()],
        pass_fds=manifest.descriptors(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout.readline() == "False True\n"
        building.close()  # the lifeline's other end with it
        assert child.stdout.readline() == "True\n"


def test_a_station_of_the_supervisors_own_process_is_never_orphaned(station):
    assert not station("frontend[0]").orphaned([])


def test_a_descriptor_that_is_no_memory_of_a_house_is_refused(building):
    manifest = building.local_manifest("frontend[0]")
    read_end, write_end = os.pipe()
    with pytest.raises(RingError) as caught:
        Station(msgspec.structs.replace(manifest, control=read_end))
    assert caught.value.code == "ring.attach"
    for fd in (read_end, write_end, manifest.control, *(one.fd for one in (*manifest.inlets, *manifest.outlets))):
        os.close(fd)


def test_memory_that_holds_no_ring_is_refused():
    memory = SharedMemory.create("no ring", 8192)
    with pytest.raises(RingError) as caught:
        Reader(memory, 0)
    assert caught.value.code == "ring.attach"
    memory.close()
