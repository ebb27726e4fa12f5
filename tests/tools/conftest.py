# SPDX-License-Identifier: Apache-2.0
"""The tiny models of tests/models, for the tests of tools."""

import importlib.util
import pathlib

_PATH = pathlib.Path(__file__).parents[1] / "models/conftest.py"
_SPEC = importlib.util.spec_from_file_location("models_conftest", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
_models = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_models)

golden_maker = _models.golden_maker
tiny = _models.tiny
shapes = _models.shapes
state_of = _models.state_of
source_of = _models.source_of
