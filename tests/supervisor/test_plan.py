"""The plan is consistent with itself."""

import importlib.util

import pytest

from edge_agent.ring.memory import PAGE
from edge_agent.supervisor import plan


def test_every_ring_has_one_writer_and_readers_that_exist():
    names = set(plan.process_names(4))
    for row in plan.rings(4):
        assert row.writer in names
        assert set(row.readers) <= names
        assert len(set(row.readers)) == len(row.readers)
        assert row.writer not in row.readers


def test_names_are_unique():
    spelt = [row.name for row in plan.rings(16)]
    assert len(set(spelt)) == len(spelt)
    assert len(set(plan.process_names(16))) == len(plan.process_names(16))


@pytest.mark.parametrize("row", plan.RINGS, ids=lambda row: row.name)
def test_capacities_are_powers_of_two(row):
    assert row.capacity >= PAGE
    assert row.capacity & (row.capacity - 1) == 0


@pytest.mark.parametrize("row", plan.PROCESSES, ids=lambda row: row.name)
def test_every_worker_module_exists_and_is_read_or_read_from(row):
    assert importlib.util.find_spec(row.module) is not None
    rings = plan.rings(1)
    assert any(row.name in ring.readers for ring in rings)


def test_data_moves_one_way():
    """No stage can be reached again from a ring that it writes, the frontend apart: it closes the circle."""
    rings = [row for row in plan.rings(1) if row.name != "capture[0]"]
    reached = {"ears"}
    order = ["ears"]
    while order:
        stage = order.pop()
        for row in rings:
            if row.writer == stage:
                for reader in row.readers:
                    assert reader != "ears"
                    if reader not in reached:
                        reached.add(reader)
                        order.append(reader)
    assert reached == set(plan.process_names(1))
