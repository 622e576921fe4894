from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from edge_agent.bench import ring, ring_peer
from edge_agent.bench.ring import SIZES, TRANSPORTS, WARM_UP, Figures, RingReport, print_report
from edge_agent.bench.ring_integrity import Integrity
from edge_agent.errors import BenchError

SOUND = Integrity(1000, 2, 0, 0, 0, 0, 0, 900, 100, 0.5)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_transport_carries_every_record(transport: str) -> None:
    taken = ring._latencies(transport, SIZES[0], WARM_UP + 20)
    assert len(taken) == 20
    assert all(0 < nanoseconds < 10e9 for nanoseconds in taken)
    assert ring._throughput(transport, SIZES[1], 3000) > 0  # more than it holds at once


def test_a_receiver_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BenchError) as error:
        ring._received("pipe", 64, ring_peer.latencies, 1, lambda send: send(b""))
    assert error.value.code == "bench.ring"
    assert "struct.error" in capfd.readouterr().err


def report(integrity: Integrity) -> RingReport:
    figures = [
        Figures(name, size, p50, 2 * p50, rate, 10, [rate])
        for size in SIZES
        for name, p50, rate in (("ring", 40.0, 500_000.0), ("pipe", 50.0, 100_000.0), ("queue", 100.0, 50_000.0))
    ]
    return RingReport(figures, {"ring": "as it is"}, integrity)


def test_the_report_for_people_and_for_programs() -> None:
    console = Console(width=200, record=True, file=StringIO())
    print_report(report(SOUND), console)
    text = console.export_text()
    assert "0.80 of Pipe's" in text
    assert "10.0 times Queue's" in text
    assert "0 lost, 0 duplicated, 0 reordered, 0 torn" in text
    assert "NOT SOUND" not in text
    found = json.loads(report(SOUND).to_json())
    assert found["sound"] is True
    assert found["integrity"]["kills"] == 2
    assert found["figures"][0]["p50_us"] == 40.0


@pytest.mark.parametrize("wrong", ["losses", "duplicates", "reorderings", "torn", "misplaced", "observed", "overrun"])
def test_one_wrong_record_is_not_sound(wrong: str) -> None:
    bad = replace(SOUND, **{wrong: getattr(SOUND, wrong) + 1})
    assert not bad.sound
    assert json.loads(report(bad).to_json())["sound"] is False
