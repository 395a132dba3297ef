"""One installation for all of these tests; see `installation`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.client import Caller
from tests.hosts.installation import ADMIN, PASSWORD, Installation, installed, servers

MISSING = [name for name, found in servers().items() if not found]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason=f"not installed: {' '.join(MISSING)}")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.hosts)
            item.add_marker(pytest.mark.service)
            if MISSING:
                item.add_marker(missing)


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    with installed() as running:
        yield running


@pytest.fixture
def admin(installation: Installation) -> Caller:
    """Signed in at the first host just now, so reading from the primary for a while."""
    return installation.here.signed_in(ADMIN, PASSWORD)


@pytest.fixture(scope="session")
def reader(installation: Installation) -> Caller:
    """May read every list, and changes nothing: whoever signed in 20 seconds ago and wrote nothing reads from the
    replica."""
    return installation.patient_reader()
