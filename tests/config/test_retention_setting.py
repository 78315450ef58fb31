"""For how long finished jobs are kept, as users say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mulligan.config.settings import load_settings
from mulligan.core.errors import ConfigError


@pytest.mark.parametrize(
    ("said", "kept_s"), [(None, 30 * 86_400), ("7d", 7 * 86_400), ("never", 0), ("0", 0), (0, 0), ("90", 90), (1, 1)]
)
def test_retention_is_a_duration_or_never(tmp_path: Path, said: object, kept_s: float) -> None:
    assert load_settings(tmp_path, {}, retention=said).retention == kept_s


@pytest.mark.parametrize("said", ["soon", "-1", "0.5", "500ms", "Never ever"])
def test_what_is_no_time_to_keep_something_for_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(ConfigError, match=f"argument retention: retention = '{said}'"):
        load_settings(tmp_path, {}, retention=said)
