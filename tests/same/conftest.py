"""One child for the whole suite, made before the first case and closed after the last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.same.check import close_world, open_world


@pytest.fixture(scope="session", autouse=True)
def _world() -> Iterator[None]:
    open_world()
    yield
    close_world()
