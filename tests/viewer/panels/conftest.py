"""What tests of panels share: a viewer without a window."""

from __future__ import annotations

import pytest


@pytest.fixture
def viewer(empty_viewer):
    return empty_viewer
