"""Jobs and work items in a notebook: what they show, and a real kernel that shows a waiting job."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import client_tasks
import nbformat
import pytest
from nbclient import NotebookClient

from mulligan.client.client import Client

CELL = """
import mulligan
client = mulligan.connect({url!r})
job = client.job({id!r})
job.wait(20, progress=True)
"""


def test_a_failed_job_shows_its_status_counts_and_error_and_nothing_of_it_is_taken_for_html(client: Client) -> None:
    job = client.map(client_tasks.fails_with, ["<script>alert(1)</script>", ""]).wait(20)
    html = job._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert ">Failed<" in html
    assert "2 in all, 1 success, 1 failure" in html
    assert 'aria-valuenow="100"' in html
    assert job.run_id in html
    assert job._repr_mimebundle_() == {"text/plain": repr(job), "text/html": html}


def test_a_work_item_shows_its_key_attempt_and_error(client: Client) -> None:
    item = client.submit(client_tasks.fails_with, "<b>no</b>").wait(20).work_items()[0]
    html = item._repr_mimebundle_()["text/html"]
    assert re.search(r"work item \d+-0</b> <span[^>]*>Failed", html)
    assert "&lt;b&gt;no&lt;/b&gt;" in html
    assert "1 of generation 1" in html
    assert "PERMANENT" in html


@pytest.mark.filterwarnings("ignore")  # of the kernel's own parts
@pytest.mark.parametrize("client", ["sqlite"], indirect=True)
def test_a_kernel_shows_a_job_and_replaces_what_it_shows_as_the_job_goes_on(client: Client, tmp_path: Path) -> None:
    job = client.map(client_tasks.add, range(3), args={"b": 1})
    url = client.services.settings.database
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.format(url=url, id=job.id))])
    _kernel(tmp_path)
    NotebookClient(notebook, timeout=60, kernel_name="here", resources={"metadata": {"path": str(tmp_path)}}).execute()
    waited, result = notebook.cells[0].outputs
    assert waited.output_type == "display_data"
    assert ">Success<" in waited.data["text/html"]
    assert "3 in all, 3 success" in waited.data["text/html"]
    assert result.data["text/plain"].startswith(f"<job {job.id} add")


@pytest.fixture(autouse=True)
def _jupyter_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


def _kernel(folder: Path) -> None:
    """Describe a kernel of this very Python."""
    spec = folder / "jupyter" / "kernels" / "here"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "here", "language": "python"}))
