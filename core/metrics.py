"""What is counted, for Prometheus. Correct over several processes: `serve` sets PROMETHEUS_MULTIPROC_DIR."""

from prometheus_client import Counter, Histogram

REQUESTS = Counter("muster_requests_total", "Answers.", ["operation", "method", "status"])
SECONDS = Histogram(
    "muster_request_seconds",
    "Time to answer.",
    ["operation"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSALS = Counter("muster_refusals_total", "Problems told, by code.", ["operation", "code"])


def count(operation: str, method: str, status: int, code: str | None, seconds: float) -> None:
    REQUESTS.labels(operation, method, status).inc()
    SECONDS.labels(operation).observe(seconds)
    if code:
        REFUSALS.labels(operation, code).inc()
