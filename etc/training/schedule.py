"""The learning rate as a function of the step."""


def learning_rate(step: int, iterations: int, base: float, power: float = 0.9, warmup: int = 0) -> float:
    """Polynomial decay, ``base * (1 - step / iterations) ** power``, after an optional linear rise.

    Args:
        step: number of the step, 0 to ``iterations - 1``.
        iterations: number of all steps.
        base: rate at step 0 (without warm-up).
        power: 0.9 in Liu et al., ECCV 2020.
        warmup: steps over which the rate rises linearly to the decaying curve.
    """
    decayed = base * (1 - step / iterations) ** power
    return decayed * min(1.0, (step + 1) / (warmup + 1))
