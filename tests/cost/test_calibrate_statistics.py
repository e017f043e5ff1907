from __future__ import annotations

import random

import pytest

from shootdown.cost.calibrate_statistics import (
    Burst,
    Series,
    Value,
    burst,
    complete,
    handled,
    intercept,
    meet,
    rising,
    sensible,
    slope,
    steady,
    stolen,
)


def series(*medians: float, refused: int = 0) -> Series:
    return Series([Burst(each, each * 2, 10) for each in medians], refused)


def exact(ns: float) -> Value:
    return Value(ns, 0.0)


def test_a_burst_is_its_median_whatever_the_worst_times_are() -> None:
    chance = random.Random(3)
    times = [100 + chance.random() for _ in range(1000)] + [1e9] * 200 + [1.0] * 100
    found = burst(times)
    assert 100 < found.median < 101
    assert found.count == 1300


def test_a_counter_that_ticks_coarsely_still_shows_a_difference() -> None:
    chance = random.Random(4)

    def coarse(middle: float) -> Burst:
        return burst([(middle + chance.gauss(0, 10)) // 10 * 10 for _ in range(5000)])

    assert 2 < coarse(104).median - coarse(100).median < 6


@pytest.mark.parametrize("count", range(1, 12))
def test_bursts_of_few(count: int) -> None:
    found = burst(list(range(count)))
    assert (found.median, found.p99) == ((count - 1) / 2, count - 1)


def test_p99_leaves_the_last_hundredth_out() -> None:
    assert burst([1.0] * 990 + [7.0] * 10).p99 == 7.0
    assert burst([1.0] * 995 + [7.0] * 5).p99 == 1.0


def test_a_series_is_the_median_of_its_bursts() -> None:
    one = series(10, 11, 12, 13, 900)
    assert (one.value, one.p99, one.error) == (12, 24, 1)
    assert one.spread == pytest.approx(2 / 12)
    assert series(5).spread == 0


def test_a_slope_and_what_is_left() -> None:
    points = {n: exact(30 + 7 * n) for n in (1, 2, 8, 32)}
    assert slope(points).ns == pytest.approx(7)
    assert intercept(points, slope(points)).ns == pytest.approx(30)


def test_one_wrong_point_does_not_bend_the_slope() -> None:
    points = {n: exact(30 + 7 * n) for n in (1, 2, 8, 16, 32)} | {4: exact(5000)}
    assert slope(points).ns == pytest.approx(7)


def test_errors_add_up() -> None:
    both = Value(10, 3) - Value(4, 4)
    assert (both.ns, both.error, both.percent) == (6, 5, 84)
    assert (Value(10, 3) + Value(4, 4)).error == 5
    assert (Value(10, 4) / 2) == Value(5, 2)
    assert Value(0, 1).percent == Value(1, 10).percent == 1000


def test_samples_meet_the_first_gap_within_them() -> None:
    samples = [(0, 10), (20, 30), (40, 50), (60, 70)]
    gaps = [(3, 5), (6, 7), (15, 25), (41, 90), (99, 100)]
    assert meet(samples, gaps) == [((0, 10), (3, 5)), ((40, 50), (41, 90))]
    assert meet(samples, []) == meet([], gaps) == []


def test_enough_bursts() -> None:
    assert complete({"a": series(1, 2, 3)}).passed
    check = complete({"a": series(1, 2, 3), "b": series(1, 2, refused=9)})
    assert not check.passed
    assert "b (2 counted, 9 did not)" in check.detail
    many = {str(n): series(1) for n in range(7)}
    assert "and 3 more" in complete(many).detail


def test_handled_interrupts() -> None:
    good, bad = series(1, 2, 3, refused=3), series(1, 2, 3, refused=4)
    assert handled({"a": good}, "TLB", ["a"]).passed
    assert not handled({"a": bad}, "TLB", ["a"]).passed
    assert not handled({"a": Series()}, "TLB", ["a"]).passed
    assert handled({"a": bad}, "TLB", ["a"]).name == "TLB row"


def test_more_pages_cost_more() -> None:
    measured = {"1": series(100), "2": series(120), "8": series(120)}
    assert rising(measured, ("1", "2")).passed
    check = rising(measured, ("1", "2", "8"))
    assert not check.passed
    assert check.detail == "8 (120 ns) costs no more than 2 (120 ns)"


def test_spread() -> None:
    calm, wild = series(100, 101, 102, 103), series(100, 120, 140, 160)
    assert steady({"a": calm}, ("a",)).passed
    check = steady({"a": calm, "b": wild}, ("a", "b"))
    assert not check.passed
    assert "(b)" in check.detail


def test_steal() -> None:
    before = [100, 0, 100, 800, 0, 0, 0, 10, 50, 0]
    assert stolen(before, [200, 0, 200, 1590, 0, 0, 0, 19, 90, 0]).passed
    assert not stolen(before, [200, 0, 200, 1590, 0, 0, 0, 40, 90, 0]).passed
    assert stolen(before, before).passed
    assert stolen([1, 2, 3, 4], [2, 3, 4, 5]).passed  # a kernel that does not count it


def test_differences_must_be_more_than_their_error() -> None:
    prices = {"a": Value(10, 2), "b": Value(-3, 1), "c": Value(5, 6)}
    assert sensible(prices, ("a",)).passed
    check = sensible(prices, ("a", "b", "c"))
    assert not check.passed
    assert "b is -3 ns, give or take 1; c is 5 ns" in check.detail
