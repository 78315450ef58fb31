"""Settings: who I am here, which keys there are, how the page looks."""

from __future__ import annotations

from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.console.desk import Desk
from mulligan.core.access import Role


class SettingsPages:
    """Settings."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/settings", Role.VIEWER, self.settings)

    def settings(self, request: Request, caller: Caller) -> Response:
        """Show the settings."""
        keys = self._desk.served.keys.all() if caller.may(Role.ADMIN) else None
        return self._desk.page(request, caller, "settings.html", keys=keys)
