# SPDX-License-Identifier: Apache-2.0
"""What of a config is refused before anything is put on a device."""

import pytest
from tiny_model_folder import CONFIG

from ramjax.configs import dpo_tiny
from ramjax.trainers import from_config


def _mesh_of(**data):
  config = dpo_tiny.get_config()
  config.mesh.sequence = 4
  for field, value in data.items():
    config.data[field] = value
  return from_config.make_mesh(config, CONFIG)


@pytest.mark.parametrize("data", [{}, {"max_length": 36, "row_length": 40}])
def test_rows_are_split_over_the_sequence_axis(data):
  assert _mesh_of(**data).shape["sequence"] == 4


@pytest.mark.parametrize("field", ["max_length", "row_length"])
def test_rows_that_the_sequence_axis_does_not_divide_are_refused(field):
  with pytest.raises(
    ValueError, match=rf"data\.{field}=130 tokens .* mesh\.sequence=4 devices"
  ):
    _mesh_of(**{field: 130})
