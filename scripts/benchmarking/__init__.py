"""Measurements of a cluster on this machine. `scripts/bench` is the way in."""
