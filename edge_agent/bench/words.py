"""Word errors of recognition: substitutions, deletions and insertions over the words that were said (WER).

Both sides are written out and freed of case and punctuation first: "7" and "seven" are the same word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from edge_agent.bench.language import normalised
from edge_agent.dialogue.spoken import spoken
from edge_agent.errors import BenchError


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Counts over some utterances.

    Attributes:
        words: that were said, at least one.
        substitutions: of them that were taken for others.
        deletions: of them that were missed.
        insertions: that were not said.
    """

    words: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def rate(self) -> float:
        """Errors for each word that was said; above 1 when more is invented than was said."""
        return round((self.substitutions + self.deletions + self.insertions) / self.words, 4)

    def to_json(self) -> dict[str, object]:
        """The counts as a JSON object."""
        return {
            "wer": self.rate,
            "words": self.words,
            "substitutions": self.substitutions,
            "deletions": self.deletions,
            "insertions": self.insertions,
        }


def can_be_counted() -> bool:
    """Whether jiwer, which aligns the words, is installed."""
    return find_spec("jiwer") is not None


def word_errors(pairs: Iterable[tuple[str, str]], language: str = "en") -> WordErrors | None:
    """Count them over (what was said, what was recognized); None when nothing was said.

    Args:
        pairs: texts as people write them.
        language: in which figures are written out.

    Raises:
        BenchError: `bench.words`, when jiwer is not installed.
    """
    try:
        import jiwer  # installed for benchmarks only
    except ImportError as error:
        message = "Word errors need jiwer, which is not installed; run `pip install edge-agent[bench]`."
        raise BenchError("words", message) from error
    plain = [(normalised(spoken(one, language)), normalised(spoken(other, language))) for one, other in pairs]
    said = [(reference, recognized) for reference, recognized in plain if reference]
    if not said:
        return None
    found = jiwer.process_words([one for one, _ in said], [other for _, other in said])
    return WordErrors(
        words=found.hits + found.substitutions + found.deletions,
        substitutions=found.substitutions,
        deletions=found.deletions,
        insertions=found.insertions,
    )
