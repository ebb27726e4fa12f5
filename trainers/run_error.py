# SPDX-License-Identifier: Apache-2.0
"""What ends a run with a message instead of a traceback."""


class RunError(RuntimeError):
  """What a run computes is wrong; the message says what to do."""


class PassingError(OSError):
  """What failed may not fail again: a disk that did not answer."""


class NonFiniteError(RunError):
  """The loss or the gradient stopped being a number."""


class TooManySkippedError(RunError):
  """More updates in a row were skipped than the run may bear."""


class FirstStepError(RunError):
  """What the first step computed cannot be right."""


class ReplicaError(RunError):
  """Copies of a leaf differ between devices."""
