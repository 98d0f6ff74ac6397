"""The folder of clips and segments of a test module."""

import pytest

from tests.cut.cutter import Cutter


@pytest.fixture(scope="module")
def cutter(tmp_path_factory: pytest.TempPathFactory) -> Cutter:
    return Cutter(tmp_path_factory.mktemp("films"))
