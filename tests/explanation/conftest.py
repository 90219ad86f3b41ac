from __future__ import annotations

import pytest

from tests.explanation.site import Site, make_site


@pytest.fixture(scope="session")
def site() -> Site:
    return make_site()
