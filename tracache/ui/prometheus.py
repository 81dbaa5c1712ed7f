"""What Prometheus may read under ``/metrics``, where the extra ``prometheus`` is installed."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

#: From an embedded model's quarter of a second to a video's minutes.
_BUCKETS = (0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600)


class Metrics:
    """Counts of one server's jobs; no word of what was asked for."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._runs = Counter(
            "tracache_runs", "Runs that are over.", ["model", "outcome"], registry=self._registry
        )
        self._seconds = Histogram(
            "tracache_run_seconds",
            "From the request to the end of its run, waiting included.",
            ["model", "outcome"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._denoising = Histogram(
            "tracache_denoising_seconds",
            "Denoising loop of an arm; results that were reused are left out.",
            ["model", "arm"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._errors = Counter(
            "tracache_errors",
            "Runs that failed, by what was the matter.",
            ["kind"],
            registry=self._registry,
        )
        self._under_way = Gauge(
            "tracache_runs_under_way", "Runs that are not over.", registry=self._registry
        )

    @classmethod
    def if_installed(cls) -> Metrics | None:
        """Return metrics, or None without the extra."""
        try:
            return cls()
        except ImportError:
            return None

    def watch(self, under_way: Callable[[], int]) -> None:
        """Ask for the number of jobs under way whenever it is wanted."""
        self._under_way.set_function(under_way)

    def note(self, summary: Mapping[str, Any]) -> None:
        """Count a job that is over, by its line in the log."""
        model, outcome = summary["model"], summary["outcome"]
        self._runs.labels(model, outcome).inc()
        self._seconds.labels(model, outcome).observe(summary["seconds"])
        if "kind" in summary:
            self._errors.labels(summary["kind"]).inc()
        for arm, seconds in summary["denoising_s"].items():
            self._denoising.labels(model, arm).observe(seconds)

    def render(self) -> tuple[bytes, str]:
        """Return everything in Prometheus's text format, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def route(self, auth: tuple[str, str] | None) -> Route:
        """Return the route; where the page has a password, it asks for the same."""
        wanted = auth and b"Basic " + base64.b64encode(":".join(auth).encode())

        def answer(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if wanted and not secrets.compare_digest(given, wanted):
                return Response("", 401, {"WWW-Authenticate": "Basic"})
            text, kind = self.render()
            return Response(text, media_type=kind)

        return Route("/metrics", answer)
