"""Takes the write lock of a database, and stops: ``python -m … PATH``; continued, it lets go."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from contextlib import closing

if __name__ == "__main__":
    with closing(sqlite3.connect(sys.argv[1], isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        os.kill(os.getpid(), signal.SIGSTOP)
        connection.execute("COMMIT")
