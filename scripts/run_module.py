"""Behind the scripts that run a module of the project: `run_module.py SCRIPT MODULE ARGUMENT…`."""

from __future__ import annotations

import sys

from environment import become

if __name__ == "__main__":
    become(sys.argv[1], sys.argv[2], sys.argv[3:])
