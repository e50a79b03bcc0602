"""Whether a process uses memory again that it has freed."""

import resource

import numpy as np

ROUNDS = 20


def is_reused():
    """Frees as much as three decoded images take, again and again.

    If that goes back to the system, the system clears each page of 4 kB when it is
    written to: 350 of them in a round.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ROUNDS):
        [np.ones(480_000, np.uint8) for _ in range(3)]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return faults < 100 * ROUNDS
