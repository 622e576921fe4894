"""Playout without a device: what is heard, when, and how much of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.audio.playout import Playout, heard_text
from edge_agent.latency.stopwatch import Stopwatch
from edge_agent.records import Playback
from edge_agent.ring.control import Turn

RATE_HZ = 24_000
BLOCK = 240


def clause(
    index, *, turn=1, epoch=1, samples=2_400, text=" one two", last=False, loud=True, answer=True, rate_hz=RATE_HZ
):
    pcm = np.full(samples, 8_000 if loud else 0, np.int16)
    pcm[::2] *= -1
    words = [(samples // 2, 4), (samples, 8)]
    watch = Stopwatch.start(1, 800)
    return Playback(0, turn, 0, epoch, index, rate_hz, pcm.tobytes(), text, words, answer, last, watch)


FIRST = Turn(1, 0)


def play(playout, blocks, committed=FIRST, epoch=1):
    return [playout.block(committed, epoch) for _ in range(blocks)]


def test_nothing_is_heard_before_it_is_committed():
    playout = Playout(RATE_HZ)
    playout.offer(clause(0))
    for block in play(playout, 5, committed=Turn(0, 0)):
        assert not block.pcm.any()
        assert block.first_audio is None
    (block,) = play(playout, 1)
    assert block.pcm.any()
    assert (block.first_audio, block.first_answer) == (0, 0)


def test_a_reply_is_played_whole_and_ends_once():
    playout = Playout(RATE_HZ)
    playout.offer(clause(0))
    playout.offer(clause(1, text=" three", last=True))
    blocks = play(playout, 25)
    pcm = np.concatenate([block.pcm for block in blocks])
    assert np.count_nonzero(pcm) == 4_800
    (finished,) = [block for block in blocks if block.finished]
    assert not finished.cut
    assert heard_text(finished.finished) == "one two three"
    assert sum(block.first_audio is not None for block in blocks) == 1


def test_a_new_epoch_fades_out_within_one_block_and_keeps_whole_words():
    playout = Playout(RATE_HZ)
    playout.offer(clause(0, last=True))
    play(playout, 6)  # 1,440 of 2,400 samples: the first word ended at 1,200
    (block,) = play(playout, 1, epoch=2)
    assert block.cut
    edge = np.abs(block.pcm.astype(int))
    assert edge[:24].max() > 7_000
    assert edge[-24:].max() < 1_000
    assert heard_text(block.finished) == "one"
    assert not play(playout, 1, epoch=2)[0].pcm.any()


def test_a_reply_that_was_superseded_before_it_was_audible_ends_unheard():
    playout = Playout(RATE_HZ)
    playout.offer(clause(0))
    (block,) = play(playout, 1, epoch=2)
    assert block.cut
    assert not block.pcm.any()
    assert heard_text(block.finished) == ""


def test_what_is_offered_again_is_passed_over():
    playout = Playout(RATE_HZ)
    for index in (0, 0, 1, 0, 1):
        playout.offer(clause(index, last=index == 1))
    pcm = np.concatenate([block.pcm for block in play(playout, 40)])
    assert np.count_nonzero(pcm) == 4_800


def test_an_older_reply_never_replaces_a_newer_one():
    playout = Playout(RATE_HZ)
    playout.offer(clause(0, turn=2, epoch=2))
    assert playout.offer(clause(0, turn=1, epoch=1)) is None
    assert playout.reply.turn == Turn(2, 0)


def test_waiting_for_the_next_clause_is_counted():
    playout = Playout(RATE_HZ)
    playout.offer(clause(0))
    play(playout, 13)
    assert playout.reply.underrun_blocks == 3
    playout.offer(clause(1, last=True))
    assert play(playout, 1)[0].pcm.any()


def test_leading_silence_counts_against_us():
    playout = Playout(RATE_HZ)
    playout.offer(clause(0, loud=False))
    playout.offer(clause(1, last=True))
    blocks = play(playout, 25)
    (first,) = [number for number, block in enumerate(blocks) if block.first_audio is not None]
    assert first == 10


def test_an_acknowledgement_is_audio_but_no_answer():
    playout = Playout(RATE_HZ)
    playout.offer(clause(0, answer=False, text="One moment."))
    playout.offer(clause(1, text="Paris.", last=True))
    blocks = play(playout, 25)
    audio = [n for n, block in enumerate(blocks) if block.first_audio is not None]
    answer = [n for n, block in enumerate(blocks) if block.first_answer is not None]
    assert (audio, answer) == ([0], [10])
    (finished,) = [block.finished for block in blocks if block.finished]
    assert heard_text(finished) == "Paris."


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 48_000])
def test_a_voice_of_another_rate_keeps_its_length_and_words(rate_hz):
    playout = Playout(RATE_HZ)
    playout.offer(clause(0, samples=rate_hz, rate_hz=rate_hz, last=True))
    blocks = play(playout, 100)
    assert blocks[99].finished is not None or play(playout, 2)[0].finished is not None


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=6))
def test_no_sample_is_lost_or_added_whatever_the_lengths(lengths):
    playout = Playout(RATE_HZ)
    for index, samples in enumerate(lengths):
        playout.offer(clause(index, samples=samples, last=index == len(lengths) - 1))
    blocks = play(playout, sum(lengths) // BLOCK + 2)
    assert sum(np.count_nonzero(block.pcm) for block in blocks) == sum(lengths)
    assert sum(block.finished is not None for block in blocks) == 1
