"""Files of every kind become the same 16 kHz frames, or a sentence."""

import numpy as np
import pytest
import soundfile

from edge_agent.audio.soundfile_source import SoundFileSource
from edge_agent.errors import AudioError

FRAME = 320


def tone(rate_hz: int, seconds: float = 1.0, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate_hz * seconds)) / rate_hz)
    return np.repeat(wave[:, None], channels, axis=1)


def read(path) -> np.ndarray:
    return np.concatenate(list(SoundFileSource(path).frames(FRAME)))


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels", "subtype"),
    [
        ("mono.wav", 16_000, 1, "PCM_16"),
        ("stereo.wav", 44_100, 2, "PCM_16"),
        ("eight_bit.wav", 8_000, 1, "PCM_U8"),
        ("wide.wav", 48_000, 1, "PCM_24"),
        ("float.wav", 22_050, 1, "FLOAT"),
        ("double.wav", 96_000, 6, "DOUBLE"),
        ("ulaw.wav", 8_000, 1, "ULAW"),
        ("lossless.flac", 48_000, 2, "PCM_24"),
        ("lossy.mp3", 44_100, 1, "MPEG_LAYER_III"),
        ("free.ogg", 48_000, 1, "VORBIS"),
    ],
)
def test_any_format_is_the_same_tone(tmp_path, name, rate_hz, channels, subtype):
    path = tmp_path / name
    soundfile.write(path, tone(rate_hz, channels=channels), rate_hz, subtype=subtype)
    pcm = read(path)
    assert len(pcm) % FRAME == 0
    assert abs(len(pcm) / 16_000 - 1.0) < 0.1  # MP3 pads
    middle = pcm[4_000:12_000].astype(float)
    loudest = np.argmax(np.abs(np.fft.rfft(middle))) * 16_000 / len(middle)
    assert abs(loudest - 440) < 4
    assert abs(np.abs(middle).max() / 32768 - 0.5) < 0.05


def test_a_long_file_is_read_in_pieces_that_join_without_a_seam(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, tone(44_100, seconds=5.3), 44_100)
    pcm = read(path).astype(float) / 32767
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(pcm)) / 16_000)
    inside = slice(800, int(5.2 * 16_000))
    assert np.abs(pcm[inside] - expected[inside]).max() < 0.01


def test_values_that_are_no_numbers_do_no_harm(tmp_path):
    path = tmp_path / "nan.wav"
    wave = tone(16_000)[:, 0].astype(np.float32)
    wave[100:200] = np.nan
    wave[300] = np.inf
    soundfile.write(path, wave, 16_000, subtype="FLOAT")
    pcm = read(path)
    assert pcm[100:200].max() == 0
    assert pcm[300] == 32767


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, "audio.missing", "There is no file"),
        (b"", "audio.empty", "0 bytes"),
        (b"this is not sound at all" * 20, "audio.unreadable", "cannot be read as sound"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio.unreadable", "cannot be read as sound"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence(tmp_path, content, code, words):
    path = tmp_path / "bad.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        SoundFileSource(path)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_a_header_without_samples_is_called_empty(tmp_path):
    path = tmp_path / "none.wav"
    soundfile.write(path, np.zeros(0), 16_000)
    with pytest.raises(AudioError, match="holds no samples"):
        SoundFileSource(path)


def test_a_folder_is_not_a_recording(tmp_path):
    with pytest.raises(AudioError, match="is a folder"):
        SoundFileSource(tmp_path)
