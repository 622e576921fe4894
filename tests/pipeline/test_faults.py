"""Workers that die or hang in the middle of a turn: the conversation goes on."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from edge_agent.records import Transcript, decode
from edge_agent.supervisor.house import House
from tests.conftest import Person, configuration, open_descriptors

RECOVERY_S = {"ears": 5.0, "asr": 5.0, "tts": 5.0, "llm": 10.0, "journal": 10.0}


def remembered(house) -> list[str]:
    """What the language model's notebook holds of the user's words."""
    notes = [decode(note) for note in house.building.notes("llm")]
    return [note.text.lower() for note in notes if isinstance(note, Transcript)]


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
@pytest.mark.parametrize("worker", ["ears", "asr", "llm", "tts", "journal"])
def test_a_worker_that_fails_in_the_middle_of_a_turn_costs_at_most_that_turn(house, person, voice, worker, fault):
    person.ask(voice("My favourite colour is green."))
    child = house.children[worker]
    victim = child.pid
    question = voice("What is the capital of Spain?")
    person.say(question[: len(question) // 2])
    os.kill(victim, fault)
    failed_at = time.monotonic()
    person.say(question[len(question) // 2 :])
    assert person.wait(lambda: child.pid not in (0, victim) and child.ready, 30.0)
    recovered_s = time.monotonic() - failed_at
    person.hear()
    line = person.ask(voice("What is the capital of Italy?"))
    assert "italy" in line["transcript"].lower()
    assert line["heard"]
    assert recovered_s < RECOVERY_S[worker] * slowness(), f"{recovered_s:.1f} s"
    assert any("green" in words for words in remembered(house))


def slowness() -> float:
    """How much slower than alone this machine is now: its runnable processes for each core."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) + 0.5


def test_the_turn_in_the_middle_of_which_a_worker_died_is_still_answered(house, person, voice):
    """Nothing that was heard is lost: the successor finds the turn in its ring."""
    for worker in ("asr", "llm"):
        question = voice("What is the capital of Spain?")
        person.say(question)
        house.children[worker].kill()
        lines = person.hear()
        assert any("spain" in line["transcript"].lower() and line["heard"] for line in lines), (worker, lines)


def test_a_worker_that_never_stays_alive_ends_the_house_with_its_last_words(tmp_path):
    from edge_agent.errors import SupervisorError

    config = configuration(tmp_path, devices={"tts": "cuda"})
    with pytest.raises(SupervisorError, match="tts ended 5 times in a row") as caught, House(config):
        pass
    assert "cuda" in str(caught.value)


def test_a_missing_model_names_the_command_that_gets_it(tmp_path):
    from edge_agent.errors import CatalogError

    config = configuration(tmp_path, models={"dir": str(tmp_path / "nowhere")})
    with pytest.raises(CatalogError, match="edge-agent models pull"), House(config):
        pass


def test_a_truncated_model_is_found_before_a_worker_starts(tmp_path, config):
    from edge_agent.errors import CatalogError
    from edge_agent.supervisor.models import choose

    models = tmp_path / "models"
    for role, opened in choose(config).opens.items():
        source = Path(opened) if Path(opened).is_dir() else Path(opened).parent
        (models / source.name).mkdir(parents=True)
        for file in source.iterdir():
            if file.is_file() and not file.name.startswith("."):
                (models / source.name / file.name).symlink_to(file.resolve())
        if role == "tts":
            broken = models / source.name / Path(opened).name
            whole = broken.read_bytes()
            broken.unlink()
            broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CatalogError, match="broken"):
        choose(configuration(tmp_path / "state", models={"dir": str(models)}))


def test_a_house_leaves_nothing_behind(tmp_path, voice):
    """Starts, faults and the end of a house: no process, descriptor, memfd or zombie remains."""
    before = sorted(open_descriptors())
    children_before = {child.pid for child in psutil.Process().children(recursive=True)}
    with House(configuration(tmp_path)) as house:
        someone = Person(house)
        for worker, fault in (("asr", signal.SIGKILL), ("llm", signal.SIGKILL), ("ears", signal.SIGSTOP)):
            victim = house.children[worker].pid
            os.kill(victim, fault)
            assert house.idle_until(lambda w=worker, v=victim: house.children[w].pid not in (0, v), 40)
            assert house.idle_until(lambda w=worker: house.children[w].ready, 60)
        someone.ask(voice("What is the capital of France?"))
        someone.close()
    left = {child.pid for child in psutil.Process().children(recursive=True)}
    assert left <= children_before
    assert sorted(open_descriptors()) == before
