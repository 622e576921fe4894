"""The map of the house: every process and every ring, declared once.

`frontend` stands for one process per session slot: whoever holds the slot's microphone and loudspeaker. Today that is
the WAV-file frontend (`edge-agent converse`). The next ones take the same place, and nothing else here changes:

| frontend | command | for |
| --- | --- | --- |
| frontends/wavfile.py | converse | recorded speech, tests, benchmarks |
| frontends/local.py | talk, kiosk | the box's own microphone and loudspeaker |
| frontends/lan.py | serve | browsers and realtime clients on the LAN, one slot each |
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
FRONTEND = "frontend"


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One worker.

    Attributes:
        name: as in every manifest, log and trace.
        module: what the fresh interpreter runs: its `Stage` class is the worker.
        stale_ms: a heartbeat older than this, outside a step that asked for more patience, means that it hangs.
        loading_s: how long it may take to load its models.
        notebook: bytes for what it must still know after it was killed; 0 for nothing.
        nice: how far it stands back for the others, as nice(2).
    """

    name: str
    module: str
    stale_ms: int
    loading_s: int
    notebook: int
    nice: int = 0


@dataclass(frozen=True, slots=True)
class RingRow:
    """One ring, or one for each session slot.

    Attributes:
        name: with `[k]` appended for slot k when `per_session`.
        writer: the one process that writes it.
        readers: reliable readers, which the writer waits for; anybody may observe.
        capacity: bytes, a power of two.
        per_session: whether each slot has its own.
    """

    name: str
    writer: str
    readers: tuple[str, ...]
    capacity: int
    per_session: bool = False


PROCESSES = (
    ProcessRow("ears", "edge_agent.workers.ears", stale_ms=1_200, loading_s=60, notebook=0),
    ProcessRow("asr", "edge_agent.workers.asr", stale_ms=1_200, loading_s=120, notebook=64 * KIB),
    ProcessRow("llm", "edge_agent.workers.llm", stale_ms=1_500, loading_s=300, notebook=MIB),
    ProcessRow("tts", "edge_agent.workers.tts", stale_ms=1_200, loading_s=120, notebook=0),
    ProcessRow("journal", "edge_agent.workers.journal", stale_ms=5_000, loading_s=30, notebook=0, nice=10),
)

RINGS = (
    RingRow("capture", FRONTEND, ("ears",), 2 * MIB, per_session=True),
    RingRow("speech", "ears", ("asr",), 4 * MIB),
    RingRow("transcripts", "asr", ("llm", "journal"), MIB),
    RingRow("clauses", "llm", ("tts", "journal"), MIB),
    RingRow("playback", "tts", (FRONTEND,), 4 * MIB, per_session=True),
    RingRow("traces", FRONTEND, ("journal",), 64 * KIB, per_session=True),
)


def frontend_name(slot: int) -> str:
    """The process name of the frontend that holds a session slot."""
    return f"{FRONTEND}[{slot}]"


def process_names(slots: int) -> list[str]:
    """Every process, in the order of their words on the control page."""
    return [row.name for row in PROCESSES] + [frontend_name(slot) for slot in range(slots)]


def rings(slots: int) -> list[RingRow]:
    """Every single ring: rows for each session spelt out, with the slot's frontend as writer or reader."""
    spelt: list[RingRow] = []
    for row in RINGS:
        if not row.per_session:
            spelt.append(row)
            continue
        for slot in range(slots):
            here = frontend_name(slot)
            writer = here if row.writer == FRONTEND else row.writer
            readers = tuple(here if reader == FRONTEND else reader for reader in row.readers)
            spelt.append(RingRow(f"{row.name}[{slot}]", writer, readers, row.capacity))
    return spelt
