"""Delays grow, are never in step, and honour what a server wished for; patience runs out."""

from __future__ import annotations

import random

from trackbridge.relay.retry import LONGEST_WISH_S, Backoff, Patience


def test_delays_double_up_to_the_longest_and_are_drawn_from_the_upper_half() -> None:
    backoff = Backoff(dice=random.Random(1))

    delays = [backoff.next_delay_s() for _ in range(40)]

    wholes = [min(60.0, 0.5 * 2**n) for n in range(40)]
    assert all(whole / 2 <= delay <= whole for delay, whole in zip(delays, wholes, strict=True))
    assert len(set(delays)) == 40


def test_success_brings_back_the_shortest_delay() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.next_delay_s()

    backoff.succeeded()

    assert backoff.next_delay_s() <= 0.5


def test_a_server_may_wish_for_more_but_not_for_a_day() -> None:
    assert Backoff().next_delay_s(wished_s=30.0) == 30.0
    assert Backoff().next_delay_s(wished_s=86_400.0) == LONGEST_WISH_S


def test_patience_waits_no_longer_than_it_lasts() -> None:
    slept: list[float] = []
    patience = Patience(10.0, sleep=slept.append)

    answers = [patience.wait(4.0) for _ in range(5)]

    assert slept == [4.0, 4.0, 2.0]
    assert answers == [True, True, True, False, False]
