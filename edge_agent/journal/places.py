"""Which conversation a turn belongs to, and when conversations begin and end.

Records name a session slot, not a conversation, and rings that carry the same `Open` are read at different times: so
each ring has places of its own. Turn numbers of a slot only rise as long as the house lives, so a conversation owns the
turns above the highest that its ring had shown when it was opened. That holds for records that come again, too, when a
stage was killed and its successor repeats everything since a moment at which another conversation was in the slot.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from edge_agent.journal.entry import Entry
from edge_agent.journal.life import Life
from edge_agent.records import Close, Open

TRANSCRIPTS = "transcripts"  # the ring in which conversations begin and end; the others follow it
_BEFORE_FIRST = -1  # below every turn number


class Places:
    """The tables `conversations` and `places`, as one life of the house writes them.

    Args:
        connection: in a transaction, whenever a method is called.
        life: of this house.
    """

    def __init__(self, connection: sqlite3.Connection, life: Life) -> None:
        self._connection = connection
        self._life = life
        self._name = str(life)

    def end_older_lives(self, wall_ms: int) -> None:
        """A conversation that no living house holds ended with its house, when its last turn was said."""
        lives = "SELECT life FROM conversations WHERE ended_ms IS NULL UNION SELECT life FROM places"
        for (name,) in self._connection.execute(lives).fetchall():
            life = Life.parse(name)
            if life is not None and not life.ended_before(self._life):
                continue
            self._connection.execute(
                "UPDATE conversations SET ended_by = 'house', ended_ms = min(?, max(opened_ms, coalesce("
                "(SELECT max(said_ms) FROM turns WHERE conversation = conversations.id), 0)))"
                " WHERE life = ? AND ended_ms IS NULL",
                (wall_ms, name),
            )
            self._connection.execute("DELETE FROM places WHERE life = ?", (name,))

    def conversation(self, name: str, slot: int, wall_ms: int) -> int:
        """The row of a conversation, made when it was not known yet."""
        query = "SELECT id FROM conversations WHERE name = ?"
        found = self._connection.execute(query, (name,)).fetchone()
        if found is not None:
            return int(found[0])
        cursor = self._connection.execute(
            "INSERT INTO conversations (name, life, slot, opened_ms) VALUES (?, ?, ?, ?)",
            (name, self._name, slot, wall_ms),
        )
        return int(cursor.lastrowid or 0)

    def open(self, entry: Entry, record: Open) -> None:
        """A conversation begins in a slot, goes on with other settings, or begins once more after a death."""
        conversation = self.conversation(record.conversation, record.session, entry.wall_ms)
        place = (self._name, entry.ring, record.session)
        if entry.ring == TRANSCRIPTS:
            self._end_current(place, entry.wall_ms, "replaced", but=conversation)
            self._connection.execute(
                "UPDATE conversations SET life = ?, slot = ?, language = ?, instructions = ?,"
                " opened_ms = min(opened_ms, ?), ended_ms = NULL, ended_by = NULL WHERE id = ?",
                (self._name, record.session, record.language, record.instructions, entry.wall_ms, conversation),
            )
        query = "SELECT max(last_turn) FROM places WHERE (life, ring, slot) = (?, ?, ?)"
        (highest,) = self._connection.execute(query, place).fetchone()
        after = _BEFORE_FIRST if highest is None else highest
        self._connection.execute("UPDATE places SET current = 0 WHERE (life, ring, slot) = (?, ?, ?)", place)
        self._connection.execute(
            "INSERT INTO places (life, ring, slot, conversation, after_turn, last_turn, current)"
            " VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (life, ring, slot, conversation) DO UPDATE SET current = 1",
            (*place, conversation, after, after),
        )

    def close(self, entry: Entry, record: Close) -> None:
        """The conversation in a slot is over."""
        if entry.ring == TRANSCRIPTS:
            self._end_current((self._name, entry.ring, record.session), entry.wall_ms, "closed")

    def _end_current(self, place: tuple[str, str, int], wall_ms: int, how: str, *, but: int | None = None) -> None:
        self._connection.execute(
            "UPDATE conversations SET ended_ms = ?, ended_by = ? WHERE ended_ms IS NULL AND id IS NOT ? AND id IN"
            " (SELECT conversation FROM places WHERE (life, ring, slot, current) = (?, ?, ?, 1))",
            (wall_ms, how, but, *place),
        )

    def owner(self, ring: str, slot: int, turn: int) -> int | None:
        """The conversation of a turn, as far as one ring has shown; None when none was opened in the slot."""
        found = self._connection.execute(
            "SELECT id, conversation, last_turn FROM places WHERE (life, ring, slot) = (?, ?, ?) AND after_turn < ?"
            " ORDER BY after_turn DESC, id DESC LIMIT 1",
            (self._name, ring, slot, turn),
        ).fetchone()
        if found is None:
            return None
        row, conversation, last_turn = found
        if turn > last_turn:
            self._connection.execute("UPDATE places SET last_turn = ? WHERE id = ?", (turn, row))
        return int(conversation)

    def opened(self) -> list[tuple[str, Open]]:
        """The conversation that each ring of this life is in, by ring."""
        rows = self._connection.execute(
            "SELECT ring, places.slot, name, language, instructions FROM places"
            " JOIN conversations ON conversations.id = conversation"
            " WHERE places.life = ? AND current = 1 AND ended_ms IS NULL ORDER BY places.id",
            (self._name,),
        )
        return [(ring, Open(slot, name, language, instructions)) for ring, slot, name, language, instructions in rows]

    def close_all_but(self, names: Sequence[str], wall_ms: int) -> None:
        """End the conversations of this life that are over without our having been able to note it."""
        self._connection.execute(
            "UPDATE conversations SET ended_ms = ?, ended_by = 'closed' WHERE life = ? AND ended_ms IS NULL"
            " AND name NOT IN (SELECT value FROM json_each(?))",
            (wall_ms, self._name, json.dumps(list(names))),
        )
