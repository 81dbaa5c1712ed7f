"""What the server answers to requests that make no sense."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import JSONResponse


def refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer 400 to what nothing else could answer; the log has the rest.

    Whatever a visitor can cause by the page alone is handled where it happens. What arrives here
    was sent by hand, such as the number of an event that does not exist.
    """
    return JSONResponse({"detail": "This request could not be understood."}, status_code=400)
