"""What runs have measured, kept in var/bench/results.json so that each part of the report can be measured by itself."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.subjects import ROOT, Size

FILE = ROOT / "var" / "bench" / "results.json"


@dataclass
class Sample:
    """One round of one operation: CPU ms an answer, answers a second, ms until they came.

    The cost is infinite when everybody was turned away.
    """

    server: float
    stores: float
    rate: float
    p50: float
    p99: float
    turned_away: int = 0

    @property
    def cpu(self) -> float:
        return self.server + self.stores


@dataclass
class Measured:
    """One subject. Lists are of one value a round."""

    name: str
    versions: str
    size: Size
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    start_seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    me_p99_alone: list[float] = field(default_factory=list)
    me_p99_beside: list[float] = field(default_factory=list)

    def median(self, operation: str, value: str = "cpu") -> float:
        """Raises KeyError for an operation that it does not have."""
        return float(statistics.median(getattr(sample, value) for sample in self.samples[operation]))

    def spread(self, operation: str) -> float:
        """Half of what lies between the lowest and the highest."""
        values = [sample.cpu for sample in self.samples[operation]]
        return (max(values) - min(values)) / 2


@dataclass
class Run:
    machine: str
    connections: int
    rounds: int
    seconds: float
    subjects: list[Measured]

    def named(self, name: str) -> Measured:
        return next(one for one in self.subjects if one.name == name)


def load(file: Path = FILE) -> dict[str, Run]:
    """The latest run of each part."""
    if not file.exists():
        return {}
    return {part: _run(**run) for part, run in json.loads(file.read_text()).items()}


def save(part: str, run: Run, file: Path = FILE) -> None:
    runs = {**load(file), part: run}
    file.write_text(json.dumps({name: asdict(one) for name, one in runs.items()}, indent=1))


def _run(subjects: list[dict], **rest: object) -> Run:  # type: ignore[type-arg]
    return Run(**rest, subjects=[_measured(**one) for one in subjects])  # type: ignore[arg-type]


def _measured(size: dict, samples: dict, **rest: object) -> Measured:  # type: ignore[type-arg]
    known = {name: [Sample(**sample) for sample in found] for name, found in samples.items()}
    return Measured(**rest, size=Size(**size), samples=known)  # type: ignore[arg-type]
