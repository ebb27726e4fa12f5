# SPDX-License-Identifier: Apache-2.0
"""Length bias, labels and contradictions."""

import pytest
import tiny_audit

from ramjax.data import audit_pairs, tokenizers
from ramjax.data.findings import Severity
from ramjax.data.rows import JudgedRow, PreferenceRow, RankedRow, UnpairedRow


@pytest.fixture(scope="module")
def ours(tokenizer_paths):
  return tokenizers.load_tokenizer(tokenizer_paths["ours"])


@pytest.fixture(scope="module")
def check(ours):
  def run(rows):
    return list(audit_pairs.check_pairs(tiny_audit.of_rows(rows, ours)))

  return run


def _pairs(longer, shorter, equal=0):
  """Pairs whose chosen answer is longer by two tokens, shorter, as long."""
  sides = [("!?!?", "!?")] * longer
  sides += [("!?", "!?!?")] * shorter + [("!?", "?!")] * equal
  return [PreferenceRow(f"p {i}", *side) for i, side in enumerate(sides)]


def test_length_bias_is_measured(ours):
  data = tiny_audit.of_rows(_pairs(5, 2, 3), ours)
  bias = audit_pairs.length_bias(data)
  assert bias is not None
  assert (bias.pairs, bias.longer, bias.equal) == (10, 5, 3)
  # (5 * 2 - 2 * 2) / 10 tokens; (5 + 3 / 2) / 10 right.
  assert bias.difference == pytest.approx(0.6)
  assert bias.accuracy == pytest.approx(0.65)


def test_balanced_lengths_are_clean(check):
  assert check(_pairs(20, 20)) == []


def test_longer_chosen_answers_are_a_warning(check):
  (finding,) = check(_pairs(45, 5))
  assert finding.name == "length_bias"
  assert finding.severity is Severity.WARNING
  assert (finding.count, finding.total) == (45, 50)
  # (45 * 2 - 5 * 2) / 50 tokens.
  assert "+1.6 tokens" in finding.found and "90.0% of the" in finding.found
  assert "longer one is right" in finding.found


def test_shorter_chosen_answers_are_found_too(check):
  (finding,) = check(_pairs(5, 45))
  assert "shorter one is right in 90.0%" in finding.found
  assert finding.severity is Severity.WARNING


def test_a_slight_bias_is_a_note(check):
  # 60 of 100: the interval, 50.2% to 69.1%, excludes chance and not 60%.
  (finding,) = check(_pairs(60, 40))
  assert finding.severity is Severity.NOTE


def test_answers_that_differ_in_case_only_are_found(check):
  rows = [PreferenceRow("p", "A  b", "a b"), *_pairs(2, 2)]
  finding = tiny_audit.only(check(rows), "answers_nearly_identical")
  assert (finding.count, finding.total) == (1, 5)
  assert finding.severity is Severity.WARNING


def test_pairs_that_contradict_each_other_are_found(check):
  rows = [PreferenceRow("p", "a", "b"), PreferenceRow("P", "b", "a")]
  finding = tiny_audit.only(check(rows), "contradictions")
  assert (finding.count, finding.total) == (1, 2)
  assert [str(place) for place in finding.examples] == ["main row 2"]


def test_a_copy_of_a_pair_is_no_contradiction(check):
  assert check([PreferenceRow("p", "a", "b")] * 2) == []


@pytest.mark.parametrize("fields", [{"margin": -0.5}, {"preference_prob": 0.4}])
def test_pairs_whose_scores_say_the_opposite_are_found(fields, check):
  rows = [PreferenceRow("p", "a", "b", **fields), *_pairs(2, 2)]
  finding = tiny_audit.only(check(rows), "backwards_pairs")
  assert (finding.count, finding.total) == (1, 5)


def _unpaired(num_good, num_bad):
  labels = [True] * num_good + [False] * num_bad
  return [UnpairedRow(f"p {i}", "a", x) for i, x in enumerate(labels)]


@pytest.mark.parametrize(
  "good,bad,severity",
  [
    (10, 0, Severity.ERROR),
    (0, 10, Severity.ERROR),
    (19, 1, Severity.WARNING),
    (1, 19, Severity.WARNING),
  ],
)
def test_labels_out_of_balance_are_found(good, bad, severity, check):
  (finding,) = check(_unpaired(good, bad))
  assert finding.name == "label_balance" and finding.severity is severity
  assert (finding.count, finding.total) == (min(good, bad), good + bad)
  word = "undesirable" if bad < good else " desirable"
  assert word in finding.found


def test_labels_in_balance_are_clean(check):
  assert check(_unpaired(9, 1)) == []


def test_labels_that_contradict_each_other_are_found(check):
  rows = [UnpairedRow("p", "a", True), UnpairedRow("p", "a", False)]
  assert tiny_audit.names(check(rows)) == ["contradictions"]


def test_judged_rows_of_one_kind_are_a_warning(check):
  rows = [JudgedRow(f"p {i}", "a", "wrong", False) for i in range(3)]
  (finding,) = check(rows)
  assert finding.name == "label_balance"
  assert finding.severity is Severity.WARNING


def test_rankings_and_chats_have_no_labels_and_no_length_bias(check):
  assert check([RankedRow("p", ("a", "b", "c"))]) == []
  assert check([tiny_audit.chat("p", "a")]) == []
