"""The parts of `e2e`: the lab, the program under test, and the scenarios."""
