"""Who may do what through the API: roles, in their order, and what a request is made as."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a key may do; each may do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_RANK = {role: place for place, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request is made by. `pipelines`: the tasks and workflows it is limited to; None: it is not."""

    id: str
    name: str
    role: Role
    pipelines: tuple[str, ...] | None = None

    def may(self, role: Role) -> bool:
        """Return whether it may do what takes a role."""
        return _RANK[self.role] >= _RANK[role]

    def sees(self, *tasks: str) -> bool:
        """Return whether one of these tasks is among those it is limited to; names are equal or they are not."""
        return self.pipelines is None or any(each in self.pipelines for each in tasks)

    def sees_operation(self, pipelines: Iterable[str] | None) -> bool:
        """Return whether it may see a bulk operation that was limited to pipelines; None: to none, so it may be about all."""
        return self.pipelines is None or (pipelines is not None and set(pipelines) <= set(self.pipelines))

    def among(self, tasks: Iterable[str]) -> list[str]:
        """Return those of some tasks that it may see."""
        return [each for each in tasks if self.sees(each)]
