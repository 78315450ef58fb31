"""Settings: who I am here, how the page looks, and for admins the keys: which there are, making one, revoking one."""

from __future__ import annotations

import secrets

from fastapi import Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.keys import KeyRoutes, KeyView, NewKeyBody
from mulligan.console.desk import Desk
from mulligan.console.pages.acting import Calling, body_of, field
from mulligan.console.verbs import Toast
from mulligan.core.access import Principal, Role
from mulligan.core.durations import seconds
from mulligan.core.errors import MulliganError, NotFound

EXPIRES = (("", "never"), ("1d", "a day"), ("7d", "a week"), ("30d", "30 days"), ("90d", "90 days"), ("365d", "a year"))


class SettingsPages:
    """Settings."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._keys = KeyRoutes(desk.served)
        self._calling = Calling(desk)

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/settings", Role.VIEWER, self.settings)
        self._desk.post(routes, "/settings/keys", Role.ADMIN, self.create)
        self._desk.get(routes, "/settings/keys/{key}/revoke", Role.ADMIN, self.ask)
        self._desk.post(routes, "/settings/keys/{key}/revoke", Role.ADMIN, self.revoke)

    def settings(self, request: Request, caller: Caller) -> Response:
        """Show the settings."""
        return self._page(request, caller)

    def create(self, request: Request, caller: Caller) -> Response:
        """Make a key, and show it: this once."""
        try:
            expires = field(request, "expires")
            names = [each.strip() for each in field(request, "pipelines").split(",") if each.strip()]
            known = {each.name for each in self._desk.overview.list_pipelines(caller, limit=500).items}
            unknown = [each for each in names if each not in known]
            if unknown:
                raise NotFound(f"pipelines: there is no pipeline {unknown[0]!r}; the key was not made")
            body = body_of(
                NewKeyBody,
                name=field(request, "name"),
                role=field(request, "role"),
                pipelines=names or None,
                expires_s=seconds(expires, "expires") if expires else None,
                reason=field(request, "reason"),
            )
            made = self._keys.create_key(request, caller, body)
        except MulliganError as error:
            return self._page(request, caller, str(error))
        page = self._desk.page(request, caller, "key_made.html", made=made)
        page.headers["Cache-Control"] = "no-store"
        return page

    def ask(self, request: Request, caller: Caller, key: str) -> Response:
        """Ask before a key is revoked."""
        return self._desk.page(request, caller, "ask_revoke.html", of=self._key(caller, key), operation=secrets.token_urlsafe(18))

    def revoke(self, request: Request, caller: Caller, key: str) -> Response:
        """Revoke a key, and say so."""
        found = self._key(caller, key)
        try:
            self._keys.revoke_key(request, caller, found.id, field(request, "reason"))
        except MulliganError as error:
            toast = Toast(f"The key of {found.name} was not revoked.", "", (str(error),), went_wrong=True)
            return self._calling.after(request, caller, toast, "/settings")
        return self._calling.after(
            request, caller, Toast(f"The key of {found.name} is revoked.", "", view="/settings"), "/settings"
        )

    def _page(self, request: Request, caller: Principal, wrong: str = "") -> Response:
        rules = caller.may(Role.ADMIN) and caller.pipelines is None
        keys = self._keys.list_keys(caller).items if rules else None
        values = {"wrong": wrong, "keys": keys, "roles": list(Role), "expires": EXPIRES}
        given = {name: field(request, name) for name in ("name", "role", "pipelines", "expires")}
        names = [each.name for each in self._desk.overview.list_pipelines(caller, limit=500).items] if rules else []
        return self._desk.page(request, caller, "settings.html", 409 if wrong else 200, **values, given=given, names=names)

    def _key(self, caller: Principal, id: str) -> KeyView:
        for each in self._keys.list_keys(caller).items:
            if each.id == id and each.revoked_at is None:
                return each
        raise NotFound("there is no such key, or it is revoked already")
