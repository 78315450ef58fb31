"""The setting `secrets`: references, as a list or with commas between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mulligan.config.settings import load_settings
from mulligan.core.errors import ConfigError


def test_references_are_read_from_the_file_and_the_environment(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}).secrets == ()
    (tmp_path / "mulligan.toml").write_text('secrets = ["env:DB_PASSWORD", "file:/run/secrets/token"]', "utf-8")
    assert load_settings(tmp_path, {}).secrets == ("env:DB_PASSWORD", "file:/run/secrets/token")
    assert load_settings(tmp_path, {"MULLIGAN_SECRETS": "env:A, env:B"}).secrets == ("env:A", "env:B")


@pytest.mark.parametrize("given", ["hunter2", "env:A,hunter2", 7, ["hunter2"], [7]])
def test_what_is_no_reference_is_refused_and_not_repeated(given: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="secrets") as refused:
        load_settings(tmp_path, {}, secrets=given)
    assert "hunter2" not in str(refused.value)
