# SPDX-License-Identifier: Apache-2.0
"""A run that wants its data looked at first, and stops at what is found."""

from typing import Any

import ml_collections

from ramjax.data import audit, findings
from ramjax.data.findings import Finding, Severity
from ramjax.trainers.prompt_data import PromptData

# Of an algorithm whose rows are prompts.
NO_ANSWERS = (
  "algorithm={!r} samples its answers, and the doctor looks at rows that have"
  " them: in a config, set run.require_doctor=off."
)
_STOPS_AT = {
  "off": None,
  "errors": Severity.ERROR,
  "warnings": Severity.WARNING,
}


def audit_data(config: ml_collections.ConfigDict, data: Any) -> list[Finding]:
  """What `ramjax doctor` finds in the data of a run, the worst first.

  Args:
    config: Of the run.
    data: Its `SFTData` or `GroupData`.

  Raises:
    ValueError: The rows have no answers to look at.
  """
  if isinstance(data, PromptData):
    raise ValueError(NO_ANSWERS.format(config.algorithm))
  return audit.audit_run(
    data,
    template=config.data.template,
    max_length=config.data.max_length,
    pack=config.data.pack,
    row_ids=data.train_row_ids,
  )


def require(config: ml_collections.ConfigDict, data: Any) -> None:
  """Stops a run whose data is worse than `run.require_doctor` allows.

  Raises:
    ValueError: The setting is unknown, or findings are as severe as it says.
  """
  required = config.run.require_doctor
  if required not in _STOPS_AT:
    raise ValueError(
      f"run.require_doctor={required!r} is not one of {', '.join(_STOPS_AT)}."
    )
  least = _STOPS_AT[required]
  if least is None:
    return
  found = audit_data(config, data)
  if findings.worst(found) < least:
    return
  severe = [f for f in found if f.severity >= least]
  lines = "\n  ".join(
    f"{f.severity.name}: {f.found} {f.remedy}" for f in severe
  )
  raise ValueError(
    f"run.require_doctor={required!r}, and the doctor found:\n  {lines}\n"
    "`ramjax doctor --config=... --html=FILE` shows the rows. Mend them, or set"
    " --config.run.require_doctor=off."
  )
