import time
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.dialogue.turns import FRAME_MS, TABLE, Action, Event, State, Timing, TurnMachine

OPEN, ANNOUNCE, REVISE, COMMIT = Action.OPEN, Action.ANNOUNCE, Action.REVISE, Action.COMMIT
TIMING = Timing(onset_frames=3, lapse_frames=3, pause_frames=3)  # whatever the defaults are
MINUTE = 60_000 // FRAME_MS

timings = st.builds(
    Timing,
    onset_frames=st.integers(1, 15),
    lapse_frames=st.integers(1, 6),
    pause_frames=st.integers(1, 15),
    limit_frames=st.integers(156, 400),
)
# Runs of voiced and unvoiced frames: single frames would hardly ever make a turn.
runs = st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=40)


def frames(*counts):
    """Voiced frames, then silent ones, then voiced ones, and so on."""
    return [index % 2 == 0 for index, count in enumerate(counts) for _ in range(count)]


def play(machine, sequence, end_frames=13):
    """(index of the frame, action) of everything that is to be done; the endpoint policy asks for `end_frames`."""
    done = []
    for index, voiced in enumerate(sequence):
        for action in machine.step(voiced):
            done.append((index, action))
            if action is ANNOUNCE:
                machine.end_frames = end_frames
    return done


def actions(sequence, end_frames=13, timing=None):
    return [action for _, action in play(TurnMachine(timing or TIMING), sequence, end_frames)]


@given(timings, runs, st.integers(1, 60))
def test_every_pair_that_can_be_reached_is_in_the_table(timing, voicing, end_frames):
    machine = TurnMachine(timing)
    play(machine, [voiced for voiced, count in voicing for _ in range(count)], end_frames)  # a gap is a KeyError


def test_every_pair_in_the_table_can_be_reached():
    reached = set()

    class Watched(TurnMachine):
        def _event(self, voiced):
            event = super()._event(voiced)
            reached.add((self.state, event))
            return event

    for onset_frames in (1, 3):
        timing = replace(TIMING, onset_frames=onset_frames, limit_frames=40)
        play(Watched(timing), frames(2, 1, 2, 4, 1, 20, 5, 5, 5, 20, 50, 20), end_frames=13)
        play(Watched(timing), frames(40), end_frames=13)
        play(Watched(timing), frames(34, 20), end_frames=13)
        play(Watched(timing), frames(0, 4, 1, 4))
    assert reached == set(TABLE)


def test_what_is_to_be_done_is_always_open_announce_then_revise_or_commit():
    """Of every action, which one may come before it."""
    before = {OPEN: {None, COMMIT}, ANNOUNCE: {OPEN, REVISE}, REVISE: {ANNOUNCE}, COMMIT: {ANNOUNCE}}

    @given(timings, runs, st.integers(1, 60))
    def check(timing, voicing, end_frames):
        last = None
        for action in actions([voiced for voiced, count in voicing for _ in range(count)], end_frames, timing):
            assert last in before[action]
            last = action

    check()


@given(timings, runs, st.integers(1, 60))
def test_the_state_says_whether_a_turn_is_open(timing, voicing, end_frames):
    machine = TurnMachine(timing)
    is_open = paused = False
    for voiced in [voiced for voiced, count in voicing for _ in range(count)]:
        for action in machine.step(voiced):
            is_open = (is_open or action is OPEN) and action is not COMMIT
            paused = (paused or action is ANNOUNCE) and action not in (REVISE, COMMIT)
        assert (machine.state in (State.SPEAKING, State.PAUSED)) == is_open
        assert (machine.state is State.PAUSED) == paused
        if paused and machine.silent_frames == timing.pause_frames:
            machine.end_frames = end_frames


@given(timings, runs, st.integers(1, 60))
def test_nobody_holds_the_floor_for_ever(timing, voicing, end_frames):
    """However the frames fall, a turn is committed within the limit."""
    opened = None
    machine = TurnMachine(timing)
    sequence = [voiced for voiced, count in voicing for _ in range(count)]
    for index, action in play(machine, sequence + [True] * timing.limit_frames, end_frames):
        if action is OPEN:
            opened = index
        elif action is COMMIT:
            assert index - opened < timing.limit_frames
            opened = None
    assert opened is None or machine.frames < timing.limit_frames


def test_a_question_is_opened_announced_and_committed_once():
    assert play(TurnMachine(TIMING), frames(30, 40)) == [(2, OPEN), (32, ANNOUNCE), (42, COMMIT)]


def test_an_hour_of_silence_changes_nothing():
    machine, fresh = TurnMachine(TIMING), TurnMachine(TIMING)
    assert play(machine, [False] * (60 * MINUTE)) == []
    assert machine.state is State.QUIET
    assert play(machine, frames(30, 40)) == play(fresh, frames(30, 40))


def test_a_click_opens_no_turn():
    assert actions(frames(2, 40)) == []
    assert actions(frames(1, 1, 1, 40)) == []


def test_clicks_far_apart_never_add_up():
    assert actions(frames(*[2, 3] * 200)) == []
    assert actions(frames(*[1, 10] * 200)) == []


def test_speech_with_holes_in_its_onset_opens_one_turn():
    assert actions(frames(1, 2, 1, 1, 20, 40)) == [OPEN, ANNOUNCE, COMMIT]


def test_the_frames_of_the_onset_are_counted_for_the_pre_roll():
    machine = TurnMachine(TIMING)
    for voiced in frames(0, 50, 1, 2, 1, 1, 1):
        opened = OPEN in machine.step(voiced)
    assert opened
    assert machine.frames == 6


def test_the_first_frame_may_be_enough():
    assert play(TurnMachine(replace(TIMING, onset_frames=1)), frames(1, 20))[0] == (0, OPEN)


def test_a_pause_is_announced_once_however_long_it_is():
    assert actions(frames(30, 500), end_frames=600) == [OPEN, ANNOUNCE]


def test_a_shorter_silence_is_no_pause():
    assert actions(frames(30, 2, 30, 2, 30)) == [OPEN]


def test_going_on_raises_the_revision_each_time():
    assert actions(frames(30, 5, 10, 5, 10, 40)) == [OPEN, ANNOUNCE, REVISE, ANNOUNCE, REVISE, ANNOUNCE, COMMIT]


def test_going_on_in_the_last_moment_is_no_end():
    assert actions(frames(30, 12, 10)) == [OPEN, ANNOUNCE, REVISE]
    assert actions(frames(30, 13, 10)) == [OPEN, ANNOUNCE, COMMIT, OPEN]


def test_the_policy_may_shorten_the_wait_below_what_has_passed():
    machine = TurnMachine(TIMING)
    assert [action for _, action in play(machine, frames(30, 20), end_frames=38)] == [OPEN, ANNOUNCE]
    machine.end_frames = 13
    assert machine.step(False) == (COMMIT,)


def test_whoever_never_stops_is_answered_at_the_limit():
    limit = TIMING.limit_frames
    done = play(TurnMachine(TIMING), [True] * (limit + 3))
    assert done == [(2, OPEN), (limit - 1, ANNOUNCE), (limit - 1, COMMIT), (limit + 2, OPEN)]


def test_the_limit_in_a_pause_does_not_announce_it_again():
    timing = replace(TIMING, limit_frames=36)
    assert play(TurnMachine(timing), frames(30, 40)) == [(2, OPEN), (32, ANNOUNCE), (35, COMMIT)]
    assert play(TurnMachine(timing), frames(30, 5, 20))[:3] == [(2, OPEN), (32, ANNOUNCE), (35, COMMIT)]


def test_the_table_names_every_state_and_event():
    assert {state for state, _ in TABLE} == set(State)
    assert {event for _, event in TABLE} == set(Event)


def test_a_minute_of_speech_takes_milliseconds():
    machine, sequence = TurnMachine(TIMING), frames(*[20, 5] * (MINUTE // 25))
    best = 1.0
    for _ in range(5):
        began = time.perf_counter()
        play(machine, sequence)
        best = min(best, time.perf_counter() - began)
    assert best < 0.05
