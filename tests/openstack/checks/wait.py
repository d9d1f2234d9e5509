"""Waiting for a condition, with a deadline; and how a check fails."""
import time


class CheckFailed(Exception):
    """Something is not as it must be."""


def check(holds, message):
    if not holds:
        raise CheckFailed(message)


def until(what, seconds, probe, interval=0.5):
    """Calls `probe` until it gives (True, ...); gives what came with it. On time-out tells the last state, called if it can be."""
    deadline = time.monotonic() + seconds
    while True:
        done, state = probe()
        if done:
            return state
        if time.monotonic() > deadline:
            raise CheckFailed(f"{what}: not within {seconds} s; last seen: {state() if callable(state) else state}")
        time.sleep(interval)


def throughout(what, seconds, probe, interval=0.5):
    """Calls `probe` for so long; it must give (True, ...) every time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        holds, state = probe()
        check(holds, f"{what}: {state}")
        time.sleep(interval)
