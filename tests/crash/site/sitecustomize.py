"""Loaded by every Python process of a story about crash points, before anything else."""

import os

if "CRASH_ROLE" in os.environ:
    import crash_points

    crash_points.install()

if "CRASH_CHECKPOINT" in os.environ:
    import crash_checkpoints

    crash_checkpoints.install(int(os.environ["CRASH_CHECKPOINT"]))

if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    import threading
    import time

    time.sleep = lambda seconds: (threading.Event().wait(seconds), None)[1]  # the real one fails where the clock is a faked one
