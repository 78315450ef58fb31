"""What the state machine chooses from."""

from __future__ import annotations

from hypothesis import strategies as st
from model import LIMITS_S, POLICIES, Version

from mulligan.core.job import FailureClass

TASKS = ("a", "b")
VERSIONS = st.builds(Version, st.sampled_from(TASKS), st.sampled_from(sorted(POLICIES)), st.sampled_from(LIMITS_S))
PICK = st.integers(0, 10**6)
OUTCOMES = st.tuples(
    st.sampled_from(["succeed", "fail", "fail", "crash", "cutoff", "snooze", "release", "stop"]),
    st.sampled_from([FailureClass.TRANSIENT, FailureClass.TRANSIENT, *FailureClass]),
)
