# SPDX-License-Identifier: Apache-2.0
"""An audit of a run's data: every check there is, the worst findings first."""

from collections.abc import Sequence

from ramjax.data import (
  audit_data,
  audit_duplicates,
  audit_lengths,
  audit_pairs,
  audit_texts,
  audit_tokens,
  findings,
)
from ramjax.data.audit_data import AuditedData, RunData
from ramjax.data.findings import Finding

_CHECKS = (
  audit_tokens.check_tokens,
  audit_texts.check_texts,
  audit_lengths.check_lengths,
  audit_duplicates.check_duplicates,
  audit_pairs.check_pairs,
)


def audit(data: AuditedData) -> list[Finding]:
  """Runs every check.

  Args:
    data: From `audit_data.of_run`.

  Returns:
    The findings, the worst first; `findings.worst` gives the verdict.
  """
  return findings.by_severity(f for check in _CHECKS for f in check(data))


def audit_run(
  data: RunData,
  *,
  template: str,
  max_length: int,
  pack: bool,
  row_ids: Sequence[Sequence[int]] | None = None,
) -> list[Finding]:
  """Audits what an algorithm's `load_data` returned.

  Args:
    data: That.
    template: `config.data.template`.
    max_length: `config.data.max_length`.
    pack: `config.data.pack`.
    row_ids: See `audit_data.of_run`.

  Returns:
    The findings, the worst first.
  """
  return audit(
    audit_data.of_run(
      data,
      template=template,
      max_length=max_length,
      pack=pack,
      row_ids=row_ids,
    )
  )
