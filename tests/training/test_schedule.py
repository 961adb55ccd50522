import pytest

from etc.training.loop import learning_rate


def test_polynomial_decay():
    rates = [learning_rate(step, 4, 0.1) for step in range(4)]
    assert rates == pytest.approx([0.1, 0.1 * 0.75**0.9, 0.1 * 0.5**0.9, 0.1 * 0.25**0.9])


def test_power_zero_is_constant():
    assert {learning_rate(step, 7, 0.3, power=0) for step in range(7)} == {0.3}


def test_warmup_rises_and_then_leaves_the_curve_alone():
    rates = [learning_rate(step, 100, 1.0, warmup=4) for step in range(100)]
    plain = [learning_rate(step, 100, 1.0) for step in range(100)]
    assert rates[:4] == pytest.approx([plain[step] * (step + 1) / 5 for step in range(4)])
    assert rates[4:] == plain[4:]
