# SPDX-License-Identifier: Apache-2.0
"""A schedule that cannot be is refused by the name of its field."""

import pytest

from ramjax.trainers.loop_schedule import Schedule


@pytest.mark.parametrize(
  "field,name",
  [
    ("total_steps", "run.total_steps=0"),
    ("log_every", "run.log_every=0"),
  ],
)
def test_a_schedule_of_no_steps_is_refused(field, name):
  options = dict(total_steps=1, log_every=1, eval_every=0, save_every=0)
  with pytest.raises(ValueError, match=name.replace(".", r"\.")):
    Schedule(**{**options, field: 0})


@pytest.mark.parametrize("field", ["eval_every", "save_every"])
def test_a_negative_period_is_refused(field):
  options = dict(total_steps=1, log_every=1, eval_every=0, save_every=0)
  with pytest.raises(ValueError, match="0 is only at the end"):
    Schedule(**{**options, field: -1})
