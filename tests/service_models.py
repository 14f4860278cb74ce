"""What boto3 reads to make a client, read once for all tests of a process."""

from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace

import pytest
from botocore import loaders
from botocore.loaders import JSONFileLoader

__all__ = ["service_models_are_read_once"]


@pytest.fixture(autouse=True, scope="session")
def service_models_are_read_once() -> Iterator[None]:
    """Each client of a new session reads megabytes of JSON again, and lists hundreds of folders to find them.

    A command makes a session, and tests run many.
    """
    files = JSONFileLoader()
    once = SimpleNamespace(exists=cache(files.exists), load_file=cache(files.load_file))
    listed: dict[tuple[str, ...], list[str]] = {}
    list_services = loaders.Loader.list_available_services

    def list_once(loader: loaders.Loader, type_name: str) -> list[str]:
        key = (*loader.search_paths, type_name)  # boto3's resources lie elsewhere than botocore's clients
        if key not in listed:
            listed[key] = list_services(loader, type_name)
        return listed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders.Loader, "FILE_LOADER_CLASS", staticmethod(lambda: once))
        patch.setattr(loaders.Loader, "list_available_services", list_once)
        yield
