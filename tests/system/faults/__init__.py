"""Things break for real while 50 clients chat; each run ends with the history checker.

`make faults ROUNDS=10` runs every fault ten times, each time with another seed. The seed of a round
is in the test's name, and `make faults SEED=n` runs that one again.
"""
