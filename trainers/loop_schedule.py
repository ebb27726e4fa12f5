# SPDX-License-Identifier: Apache-2.0
"""When the loop does what."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Schedule:
  """When the loop does what, in steps.

  Evaluation before the first step and after the last, and saving at the end,
  always happen; a period of 0 adds nothing in between.
  """

  total_steps: int
  log_every: int
  eval_every: int
  save_every: int
  # Updates in a row that may be skipped; 0 where none is.
  max_skipped: int = 0

  def __post_init__(self):
    if self.total_steps < 1 or self.log_every < 1:
      raise ValueError(
        f"run.total_steps={self.total_steps} and run.log_every="
        f"{self.log_every} must be at least 1."
      )
    if self.eval_every < 0 or self.save_every < 0:
      raise ValueError(
        f"evals.every_steps={self.eval_every} and checkpoint.every_steps="
        f"{self.save_every} must be at least 0; 0 is only at the end."
      )
