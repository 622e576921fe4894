"""Text that was rewritten and still knows where each of its characters came from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]]
"""What to look for, and what to say instead; None leaves the match as it is."""


@dataclass(frozen=True, slots=True)
class TracedText:
    """A text, and for each character the index in the original just after what it came from."""

    text: str
    ends: list[int]

    @classmethod
    def of(cls, text: str) -> TracedText:
        """The original itself."""
        return cls(text, list(range(1, len(text) + 1)))

    def translate(self, table: dict[int, str]) -> TracedText:
        """Replaces single characters by single characters."""
        return TracedText(self.text.translate(table), self.ends)

    def rewrite(self, pattern: re.Pattern[str], say: Callable[[re.Match[str]], str | None]) -> TracedText:
        """Replaces every match by what `say` returns; all of that comes from the end of the match.

        Where nothing is left of a match, the word in front of it takes its place: a closing mark belongs to its word.
        """
        if pattern.search(self.text) is None:
            return self
        pieces: list[str] = []
        ends: list[int] = []
        done = 0
        for match in pattern.finditer(self.text):
            said = say(match)
            if said is None or match.start() == match.end():
                continue
            pieces.append(self.text[done : match.start()])
            ends += self.ends[done : match.start()]
            end = self.ends[match.end() - 1]
            if not said and ends and match.start() > 0 and not self.text[match.start() - 1].isspace():
                ends[-1] = end
            pieces.append(said)
            ends += [end] * len(said)
            done = match.end()
        pieces.append(self.text[done:])
        ends += self.ends[done:]
        return TracedText("".join(pieces), ends)

    def unwrap(self, pattern: re.Pattern[str]) -> TracedText:
        """Keeps of every match only group 1, each character where it came from, the last one up to the match's end."""
        if pattern.search(self.text) is None:
            return self
        pieces: list[str] = []
        ends: list[int] = []
        done = 0
        for match in pattern.finditer(self.text):
            start, stop = match.span(1)
            pieces += (self.text[done : match.start()], self.text[start:stop])
            ends += self.ends[done : match.start()]
            ends += self.ends[start:stop]
            if stop > start:
                ends[-1] = self.ends[match.end() - 1]
            done = match.end()
        pieces.append(self.text[done:])
        ends += self.ends[done:]
        return TracedText("".join(pieces), ends)

    def apply(self, rules: tuple[Rule, ...]) -> TracedText:
        """Rewrites with each rule in turn."""
        traced = self
        for pattern, say in rules:
            traced = traced.rewrite(pattern, say)
        return traced
