"""The rules of booking, as a pure function of the log: `State.apply(index, payload)`. No I/O, no clock, no
chance.
"""
