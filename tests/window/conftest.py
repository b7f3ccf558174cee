"""A real window, and the plugin as the user has it: installed."""

from __future__ import annotations

import gc

import pytest

from tests.jobs import end_all_work

PLUGIN = "napari-latent-faces"


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/window" in item.path.as_posix():
            item.add_marker(pytest.mark.window)


@pytest.fixture(scope="session", autouse=True)
def _only_new_garbage():
    """Let the many collections of garbage around windows pass over what was there before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def viewer(npe2pm, make_napari_viewer):
    """Return a shown viewer that knows our plugin from its installed manifest."""
    with npe2pm.tmp_plugin(package=PLUGIN):
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1300, 850)
        yield viewer
        end_all_work()
        viewer.close()
        gc.collect()
