"""What is counted, for Prometheus. Correct over several processes: `serve` sets PROMETHEUS_MULTIPROC_DIR.

Only what a web process sees stands here. What happens elsewhere (mails, background work) is read from the database
when `/metrics` is asked: see `config.metrics`.
"""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("muster_requests_total", "Answers.", ["operation", "method", "status"])
SECONDS = Histogram(
    "muster_request_seconds",
    "Time to answer.",
    ["operation"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
LISTS = Counter("muster_list_pages_total", "Pages of lists, by the server that gave them.", ["server"])
REFUSALS = Counter("muster_refusals_total", "Problems told, by code.", ["operation", "code"])
LOG_INS = Counter("muster_log_ins_total", "Log-ins: success, or the code of the problem.", ["outcome"])
REFRESHES = Counter("muster_refreshes_total", "Refreshes. Those with a reused token are refused as well.", ["outcome"])
PASSWORDS = Gauge(
    "muster_passwords", "Passwords being hashed, or waiting for it.", ["state"], multiprocess_mode="livesum"
)
PASSWORD_WAIT = Histogram(
    "muster_password_wait_seconds",
    "Time that a password waited to be hashed.",
    buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8),
)
PASSWORD_REFUSALS = Counter("muster_password_refusals_total", "Passwords that waited in vain, answered by 503.")
LINES_DROPPED = Counter("muster_log_lines_dropped_total", "Log lines that the sink did not take.")

# A label's series exists from the start, so that an alert on its rate sees the first one.
for _outcome in ("success", "invalid_credentials", "email_not_verified", "too_many_attempts", "service_unavailable"):
    LOG_INS.labels(_outcome)
for _outcome in ("rotated", "repeated", "reused", "refused"):
    REFRESHES.labels(_outcome)
for _state in ("waiting", "running"):
    PASSWORDS.labels(_state)


def count(operation: str, method: str, status: int, code: str | None, seconds: float) -> None:
    REQUESTS.labels(operation, method, status).inc()
    SECONDS.labels(operation).observe(seconds)
    if code:
        REFUSALS.labels(operation, code).inc()
