"""Makes the API again and again, without analysing the same routes again: a tenth of a second for each test that has one.

FastAPI reads the parameters and models of a route when it is made. What it found is kept for the next application, as long as
path, method, code and role are the same; only the function that is called is another's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import unwrap
from typing import Any

from fastapi.routing import APIRoute, request_response

_KNOWN: dict[tuple[Any, ...], APIRoute] = {}
_analyse = APIRoute.__init__


def install() -> None:
    """Have this process analyse each route once."""
    APIRoute.__init__ = _begin  # type: ignore[method-assign]


def _begin(route: APIRoute, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
    key = (path, *(options["methods"] or ()), getattr(unwrap(endpoint), "__code__", endpoint), str(options["openapi_extra"]))
    known = _KNOWN.get(key)
    if known is None:
        _analyse(route, path, endpoint, **options)
        _KNOWN[key] = route
        return
    provider = options["dependency_overrides_provider"]
    route.__dict__.update(known.__dict__)
    route.__dict__.update(
        endpoint=endpoint, dependant=replace(known.dependant, call=endpoint), dependency_overrides_provider=provider
    )
    route.app = request_response(route.get_route_handler())
