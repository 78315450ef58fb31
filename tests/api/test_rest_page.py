"""What the page about the API prints works as printed there, one line after the other."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from server_harness import a_key, environment, running

PAGE = (Path(__file__).parents[2] / "docs" / "rest.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(sh|json|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def same(shown: Any, found: Any) -> bool:
    """Return whether what is shown is part of what was found; an ellipsis stands for anything."""
    if shown == "…":
        return True
    if isinstance(shown, dict):
        return isinstance(found, dict) and all(name in found and same(value, found[name]) for name, value in shown.items())
    if isinstance(shown, list):
        return isinstance(found, list) and len(shown) == len(found) and all(map(same, shown, found))
    return bool(shown == found)


def test_a_reader_submits_watches_and_recovers_a_job_with_curl_alone(tmp_path: Path) -> None:
    source = next(text for kind, text in BLOCKS if kind == "python")
    (tmp_path / "features.py").write_text(source)
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    key = a_key(store)
    answered = 0
    with running(store, tmp_path, "dev", "features.py", processes="2") as dev:
        given = environment() | {"URL": dev.url, "KEY": key}
        said = ""
        for kind, text in BLOCKS:
            if kind == "sh":
                command = ["bash", "-e", "-o", "pipefail", "-c", text.replace("curl -s", "curl -sS --fail-with-body")]
                done = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=60, check=False)
                assert done.returncode == 0, text + done.stdout + done.stderr
                said = done.stdout
            elif kind == "json":
                found = json.JSONDecoder().raw_decode(said[said.rindex('{"items"' if '"items"' in text else _first(text)) :])[0]
                assert same(json.loads(text), found), f"{text}\n{found}"
                answered += 1
    assert answered >= 7


def _first(text: str) -> str:
    """Return how the answer begins that is shown."""
    return re.match(r'\{"\w+"', text)[0]  # type: ignore[index]
