"""Signals are noted inside the block, and obeyed again after it."""

import os
import signal

import pytest

from alexnet_tf.training import stop_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_inside_and_the_handlers_come_back(number):
    seen = []
    before = signal.signal(number, lambda number, frame: seen.append(number))
    try:
        with stop_signals.StopSignals() as signals:
            assert signals.received is None
            os.kill(os.getpid(), number)
            assert signals.received == number
        assert seen == []
        os.kill(os.getpid(), number)
        assert seen == [number]
    finally:
        signal.signal(number, before)
