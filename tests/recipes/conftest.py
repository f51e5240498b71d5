"""What the tests of recipes share: a cache of their own for bases and tokens, made once a session."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny_cache(_cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, in use while the test runs."""
    monkeypatch.setenv("RAMEKIN_CACHE", str(_cache_folder))
    return _cache_folder
