"""Routes of keys: which there are, making one, revoking one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import Query, Request
from pydantic import BaseModel, Field

from mulligan.api.access import Caller, Routes, Sight, asker_of
from mulligan.api.models import Page, time_of, time_or_none
from mulligan.api.requests import Body, Name, Seconds, Text
from mulligan.api.served import Served
from mulligan.core.access import Role
from mulligan.store.verbs.access import KeyRow


class KeyView(BaseModel):
    """A key; of the key itself nothing is kept that could be shown."""

    id: str = Field(examples=["3f9c01b27ad4e801"])
    name: str = Field(examples=["ann"])
    role: Role
    pipelines: list[str] | None = Field(description="The tasks and workflows that it is limited to; null: all.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: KeyRow) -> Self:
        return cls(
            id=row.id,
            name=row.name,
            role=Role(row.role),
            pipelines=None if row.pipelines is None else list(row.pipelines),
            created_at=time_of(row.created_ms),
            expires_at=time_or_none(row.expires_ms),
            revoked_at=time_or_none(row.revoked_ms),
        )


class MadeKey(BaseModel):
    """A key that was just made."""

    id: str
    name: str
    role: Role
    pipelines: list[str] | None
    key: str = Field(description="The key itself, which is not shown again.", examples=["mlg_…"])


class RevokedKey(BaseModel):
    """Whose key was revoked."""

    name: str
    revoked: bool = True


class NewKeyBody(Body):
    """A key to be."""

    name: Name = Field(description="Whose it is, as the audit will say.", examples=["ann"])
    role: Role
    pipelines: list[Name] | None = Field(default=None, max_length=500, description="Only for these tasks and workflows.")
    expires_s: Annotated[Seconds, Field(gt=0)] | None = Field(default=None, description="It is taken for so long.")
    reason: Annotated[Text, Field(max_length=2_000)] = Field(default="", description="Kept in the audit.")


class KeyRoutes:
    """What can be asked about keys, and of them; none of it for a key that is limited to pipelines."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._sight = Sight(served.engine)

    def add_to(self, routes: Routes) -> None:
        """Register the routes."""
        here: dict[str, Any] = {"tags": ["keys"]}
        routes.get("/api/keys", Role.ADMIN, response_model=Page[KeyView], **here)(self.list_keys)
        routes.post("/api/keys", Role.ADMIN, status_code=201, response_model=MadeKey, **here)(self.create_key)
        routes.delete("/api/keys/{id}", Role.ADMIN, response_model=RevokedKey, **here)(self.revoke_key)

    def list_keys(self, caller: Caller) -> Page[KeyView]:
        """List all keys, the oldest first, those that were revoked among them."""
        self._sight.everything(caller)
        return Page(items=[KeyView.of(each) for each in self._served.keys.all()])

    def create_key(self, request: Request, caller: Caller, body: NewKeyBody) -> MadeKey:
        """Make a key. It is answered once and kept nowhere, also not for an Idempotency-Key: the same name again is 409."""
        self._sight.everything(caller)
        asker = asker_of(request, body.reason, None)
        made = self._served.keys.create(body.name, body.role, body.pipelines, asker, body.expires_s)
        whose = made.principal
        pipelines = None if whose.pipelines is None else list(whose.pipelines)
        return MadeKey(id=whose.id, name=whose.name, role=whose.role, pipelines=pipelines, key=made.text)

    def revoke_key(
        self,
        request: Request,
        caller: Caller,
        id: str,
        reason: Annotated[str, Query(max_length=2_000, description="Kept in the audit.")] = "",
        last: Annotated[bool, Query(description="Also where no key of an admin for all pipelines is left then.")] = False,
    ) -> RevokedKey:
        """Revoke a key by its id or name: within a second no server takes it. Refused (409) for the last key of an admin."""
        self._sight.everything(caller)
        return RevokedKey(name=self._served.keys.revoke(id, asker_of(request, reason, None), last=last))
