"""Loaded by every Python process of a story about crash points, before anything else."""

import os

if "CRASH_ROLE" in os.environ:
    import crash_points

    crash_points.install()
