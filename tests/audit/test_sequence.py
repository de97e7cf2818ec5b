# SPDX-License-Identifier: Apache-2.0
"""Holes, drops and late arrivals, against a simple account of what happened."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from guard.audit.decode import Counters
from guard.audit.sequence import Missing, Sequences


def dropped(*counts: int) -> list[Counters]:
    return [Counters(0, count, 0, 0, 0, 0, 0) for count in counts]


def arrive(sequences: Sequences, cpu: int, *numbers: int) -> None:
    for number in numbers:
        sequences.arrived(cpu, number)


def test_numbers_in_order_are_no_loss() -> None:
    sequences = Sequences()
    arrive(sequences, 0, 0, 1, 2)
    assert sequences.settle(dropped(0)) == []
    assert sequences.holes() == {0: 0}


def test_drops_are_told_once_with_their_place() -> None:
    sequences = Sequences()
    arrive(sequences, 1, 0, 3, 5)
    assert sequences.settle(dropped(0, 3)) == [Missing(1, 3, (1, 4), True)]
    assert sequences.settle(dropped(0, 3)) == []
    arrive(sequences, 1, 7)
    assert sequences.settle(dropped(0, 4)) == [Missing(1, 1, (6, 6), True)]


def test_the_place_of_new_drops_does_not_include_old_ones() -> None:
    sequences = Sequences()
    arrive(sequences, 0, 1)
    assert sequences.settle(dropped(1)) == [Missing(0, 1, (0, 0), True)]
    arrive(sequences, 0, 10)
    assert sequences.settle(dropped(9)) == [Missing(0, 8, (2, 9), True)]


def test_a_late_number_whose_hole_was_taken_for_a_drop_is_no_loss() -> None:
    sequences = Sequences()
    arrive(sequences, 0, 1)
    # 0 is late and 2 was dropped: one hole is seen, one drop is counted.
    assert sequences.settle(dropped(1)) == [Missing(0, 1, (0, 0), True)]
    arrive(sequences, 0, 0, 3)
    assert sequences.settle(dropped(1)) == []
    assert sequences.settle(dropped(1)) == []
    assert sequences.holes() == {0: 1}


def test_drops_behind_the_last_arrival_are_told_before_their_hole_is_seen() -> None:
    sequences = Sequences()
    arrive(sequences, 0, 0)
    assert sequences.settle(dropped(2)) == [Missing(0, 2, None, True)]
    arrive(sequences, 0, 3)
    assert sequences.settle(dropped(2)) == []
    assert sequences.settle(dropped(2)) == []


def test_drops_of_a_cpu_from_which_nothing_arrived_are_told() -> None:
    assert Sequences().settle(dropped(0, 0, 6)) == [Missing(2, 6, None, True)]


def test_a_number_that_is_merely_late_is_no_loss() -> None:
    sequences = Sequences()
    arrive(sequences, 0, 0, 2)
    assert sequences.settle(dropped(0)) == []
    arrive(sequences, 0, 1, 3)
    assert sequences.settle(dropped(0)) == []
    assert sequences.settle(dropped(0)) == []
    assert sequences.holes() == {0: 0}


def test_different_holes_at_each_settling_are_no_loss() -> None:
    sequences = Sequences()
    for number in range(0, 40, 2):
        arrive(sequences, 0, number + 1)
        assert sequences.settle(dropped(0)) == []
        arrive(sequences, 0, number)


def test_a_hole_that_outlasts_an_interval_is_unexplained_once() -> None:
    sequences = Sequences()
    arrive(sequences, 0, 0, 3)
    assert sequences.settle(dropped(0)) == []
    assert sequences.settle(dropped(0)) == [Missing(0, 2, (1, 2), False)]
    assert sequences.settle(dropped(0)) == []


def test_without_counters_every_lasting_hole_is_unexplained() -> None:
    sequences = Sequences()
    arrive(sequences, 0, 0, 2)
    assert sequences.settle(None) == []
    assert sequences.settle(None) == [Missing(0, 1, (1, 1), False)]


def test_a_record_without_a_number_explains_one_hole() -> None:
    sequences = Sequences()
    arrive(sequences, 0, 0, 3)
    sequences.unnumbered()
    sequences.settle(dropped(0))
    assert sequences.settle(dropped(0)) == [Missing(0, 1, (1, 2), False)]


def test_an_adopted_ring_begins_where_it_is_and_leaves_old_drops_to_others() -> None:
    sequences = Sequences(adopted=dropped(10, 20))
    assert sequences.settle(dropped(10, 20)) == []
    arrive(sequences, 0, 1000, 1001)
    arrive(sequences, 0, 999)
    assert sequences.settle(dropped(10, 20)) == []
    arrive(sequences, 0, 1003)
    assert sequences.settle(dropped(11, 20)) == [Missing(0, 1, (1002, 1002), True)]
    assert sequences.settle(dropped(11, 20)) == []


FATES = st.lists(st.sampled_from(["arrives", "dropped", "late", "vanishes"]), max_size=80)


@given(FATES, st.randoms(), st.integers(1, 9))
def test_what_is_told_is_what_was_lost(
    fates: list[str], chance: random.Random, interval: int
) -> None:
    """Any mix of fates, settled at any rhythm: drops exactly, the vanished in the end."""
    sequences = Sequences()
    late: list[int] = []
    overdue: list[int] = []
    told = {True: 0, False: 0}
    drops = 0

    def settle() -> None:
        for missing in sequences.settle(dropped(drops)):
            assert missing.lost > 0
            told[missing.explained] += missing.lost

    for number, fate in enumerate(fates):
        if fate == "arrives":
            sequences.arrived(0, number)
        elif fate == "dropped":
            drops += 1
        elif fate == "late":
            late.append(number)
        if number % interval == 0:
            # Whatever is late comes before the second settling after its time.
            for each in overdue:
                sequences.arrived(0, each)
            overdue = sorted(late, key=lambda _: chance.random())
            late.clear()
            settle()
            assert told[True] == drops
            assert told[False] <= fates[: number + 1].count("vanishes")
    for each in overdue + late:
        sequences.arrived(0, each)
    sequences.arrived(0, len(fates))
    settle()
    settle()
    assert told == {True: fates.count("dropped"), False: fates.count("vanishes")}
    assert sequences.holes()[0] == fates.count("dropped") + fates.count("vanishes")
    assert sequences.reached()[0] == len(fates) + 1
