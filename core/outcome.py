"""One line for the outcome of each operation. See `core.logs` for how lines look."""

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger("muster")
