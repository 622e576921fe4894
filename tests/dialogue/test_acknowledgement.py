"""Acknowledgements: never the same twice in a row."""

import pytest

from edge_agent.dialogue.acknowledgement import PHRASES, acknowledgement


@pytest.mark.parametrize("language", PHRASES)
def test_successive_turns_get_different_phrases(language):
    said = [acknowledgement(language, turn) for turn in range(12)]
    assert all(said[at] != said[at + 1] for at in range(len(said) - 1))


def test_a_language_without_phrases_gets_none():
    assert acknowledgement("xx", 1) is None
