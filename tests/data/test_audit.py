# SPDX-License-Identifier: Apache-2.0
"""All checks at once."""

import pytest
import tiny_audit

from ramjax.data import audit, findings, tokenizers
from ramjax.data.findings import Severity
from ramjax.data.rows import PreferenceRow


@pytest.fixture(scope="module")
def ours(tokenizer_paths):
  return tokenizers.load_tokenizer(tokenizer_paths["ours"])


def _audit(rows, ours, **settings):
  loaded = tiny_audit.run_data(
    rows, ours, template="plain", max_length=60, **settings
  )
  return audit.audit_run(loaded, template="plain", max_length=60, pack=True)


def test_clean_data_has_no_findings(ours):
  rows = [tiny_audit.chat(f"question {i}", f"answer {i}") for i in range(9)]
  found = _audit(rows, ours)
  assert found == [] and findings.worst(found) is Severity.CLEAN


def test_the_worst_finding_comes_first(ours):
  rows = [PreferenceRow("p", "a", "b"), PreferenceRow("q", "b", "a")]
  found = _audit([*rows, *rows], ours, held_out=rows[:1], quarantined=1)
  assert tiny_audit.names(found) == [
    "held_out_prompts",
    "quarantined",
    "duplicate_rows",
  ]
  assert findings.worst(found) is Severity.ERROR
