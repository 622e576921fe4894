"""What was said so far, as the language model is shown it.

Everything that shapes the prompt stands in `History`:

- the fixed part (system prompt, example exchanges) is never dropped;
- an exchange is what the user said and what the user *heard* of the reply, which is not what was generated;
- a reply that nobody heard did not happen: the next thing the user says is joined to the previous one;
- old exchanges go whole, and several at a time. The model keeps the prompt in its KV cache and evaluates only what
  follows the longest common prefix (`edge_agent.engines.llama.LlamaEngine.prefill`), so dropping one exchange a turn
  would cost a whole evaluation every turn. They are dropped in `heard`, when the reply is over, so the worker can
  evaluate `messages()` while nobody waits and the next turn finds it in the cache.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]

INTERRUPTED = "..."
"""Put after the words that were heard of a reply that was cut off."""

MESSAGE_TOKENS = 6
"""Room for what a chat template puts around one message (ChatML: 5 tokens)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a chat prompt."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the user said and what they heard in reply; the record from which a restarted worker rebuilds.

    Attributes:
        turn: the turn it belongs to; the last one when several were joined.
        user: the user's words.
        assistant: the words of the reply that were heard; empty when none was (yet).
        complete: whether the reply was heard to its end.
    """

    turn: int
    user: str
    assistant: str = ""
    complete: bool = False

    def messages(self) -> list[Message]:
        """The exchange as the model is shown it: one message, or two when something was heard."""
        said = [Message("user", self.user)]
        if self.assistant:
            shown = self.assistant if self.complete else self.assistant.rstrip(" .,;:-") + INTERRUPTED
            said.append(Message("assistant", shown))
        return said


class History:
    """A conversation bounded in exchanges and in tokens.

    Args:
        system: the system prompt; empty for none.
        max_exchanges: most exchanges with a reply that are shown; 0 shows only what the user says now.
        max_tokens: most tokens of a prompt, by `count` plus `MESSAGE_TOKENS` for each message.
        count: tokens in a text.
        examples: (user, assistant) pairs shown after the system prompt in every prompt.

    Raises:
        ValueError: a bound is negative, or the fixed part leaves no room for a question.
    """

    def __init__(
        self,
        system: str,
        *,
        max_exchanges: int,
        max_tokens: int,
        count: Callable[[str], int],
        examples: Sequence[tuple[str, str]] = (),
    ) -> None:
        if max_exchanges < 0:
            raise ValueError(f"max_exchanges is {max_exchanges}; expected 0 or more")
        self._count = count
        self._max_exchanges = max_exchanges
        self._fixed = [Message("system", system)] if system else []
        for user, assistant in examples:
            self._fixed += [Message("user", user), Message("assistant", assistant)]
        # What the exchanges may take; the generation prompt counts as a message.
        self._room_tokens = max_tokens - self._tokens(self._fixed) - MESSAGE_TOKENS
        if self._room_tokens <= MESSAGE_TOKENS:
            raise ValueError(f"the fixed prompt leaves no room for a question in {max_tokens} tokens")
        self._exchanges: list[Exchange] = []

    def prompt(self, user_text: str) -> list[Message]:
        """The messages if the user's turn were `user_text`; changes nothing, so it serves speculation."""
        return self._shown(self._bounded(self._with(user_text, turn=0)))

    def begin(self, user_text: str, *, turn: int | None = None) -> None:
        """The user has said `user_text`; joined to the previous text when its reply was not heard.

        Args:
            user_text: what the user said.
            turn: number of the turn; one more than the last when left out.
        """
        number = turn if turn is not None else (self._exchanges[-1].turn + 1 if self._exchanges else 1)
        self._exchanges = self._bounded(self._with(user_text, number))

    def heard(self, text: str, complete: bool) -> bool:
        """The user heard `text` of the reply to the last turn; a later report replaces an earlier one.

        Args:
            text: the words that were played, empty when the reply was cut before its first word.
            complete: the reply was played to its end.

        Returns:
            False when there is no turn that the reply could belong to: nothing changed.
        """
        if not self._exchanges:
            return False
        last = self._exchanges[-1]
        words = " ".join(text.split())
        answered = Exchange(last.turn, last.user, words, complete and bool(words))
        self._exchanges = self._bounded([*self._exchanges[:-1], answered])
        return True

    def messages(self) -> list[Message]:
        """The conversation as it stands: what can be evaluated before the user speaks again."""
        return self._shown(self._exchanges)

    def records(self) -> tuple[Exchange, ...]:
        """The exchanges kept, oldest first; `restore` takes them back."""
        return tuple(self._exchanges)

    def restore(self, records: Iterable[Exchange]) -> None:
        """Replace the conversation by these exchanges, oldest first, within this history's bounds."""
        self._exchanges = []
        for record in records:
            self.begin(record.user, turn=record.turn)
            self.heard(record.assistant, record.complete)

    def clear(self) -> None:
        """Forget the conversation; the fixed part stays."""
        self._exchanges = []

    def _with(self, user_text: str, turn: int) -> list[Exchange]:
        words = " ".join(user_text.split())
        if self._exchanges and not self._exchanges[-1].assistant:
            return [*self._exchanges[:-1], Exchange(turn, f"{self._exchanges[-1].user} {words}".strip())]
        return [*self._exchanges, Exchange(turn, words)]

    def _bounded(self, exchanges: Sequence[Exchange]) -> list[Exchange]:
        """What is kept of them: all, or about half of what the bounds allow, newest last."""
        waiting = [self._shortened(exchange) for exchange in exchanges if not exchange.assistant]
        answered = [exchange for exchange in exchanges if exchange.assistant]
        left_tokens = self._room_tokens - self._cost(waiting)
        if len(answered) <= self._max_exchanges and self._cost(answered) <= left_tokens:
            return answered + waiting
        most = -(-self._max_exchanges // 2)
        wanted_tokens = min(left_tokens, self._room_tokens // 2)
        kept: list[Exchange] = []
        for exchange in reversed(answered):
            wanted_tokens -= self._cost([exchange])
            if wanted_tokens < 0 or len(kept) == most:
                break
            kept.insert(0, exchange)
        return kept + waiting

    def _shortened(self, exchange: Exchange) -> Exchange:
        """The same, its user text cut at the front until it fits alone: a question usually stands at the end."""
        low, high = 0, len(exchange.user)
        while low < high:
            middle = (low + high) // 2
            if self._count(exchange.user[middle:]) + MESSAGE_TOKENS <= self._room_tokens:
                high = middle
            else:
                low = middle + 1
        whole_words = exchange.user[low:].partition(" ")[2] if low else exchange.user
        return Exchange(exchange.turn, whole_words or exchange.user[low:])

    def _shown(self, exchanges: Iterable[Exchange]) -> list[Message]:
        return self._fixed + [message for exchange in exchanges for message in exchange.messages()]

    def _cost(self, exchanges: Iterable[Exchange]) -> int:
        return self._tokens(message for exchange in exchanges for message in exchange.messages())

    def _tokens(self, messages: Iterable[Message]) -> int:
        return sum(self._count(message.content) + MESSAGE_TOKENS for message in messages)
