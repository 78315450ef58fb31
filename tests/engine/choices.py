"""What the state machine chooses from, and how often it does."""

from __future__ import annotations

import os

from hypothesis import strategies as st
from model import LIMITS_S, POLICIES, Version

from mulligan.core.job import FailureClass

LIVES = int(os.environ.get("LIVES", "1"))
"""So many times as many lives as usual; `make fuzz` has four times as many."""
TASKS = ("a", "b")
VERSIONS = st.builds(Version, st.sampled_from(TASKS), st.sampled_from(sorted(POLICIES)), st.sampled_from(LIMITS_S))
PICK = st.integers(0, 10**6)
OUTCOMES = st.tuples(
    st.sampled_from(["succeed", "fail", "fail", "crash", "cutoff", "snooze", "release", "stop"]),
    st.sampled_from([FailureClass.TRANSIENT, FailureClass.TRANSIENT, *FailureClass]),
)
