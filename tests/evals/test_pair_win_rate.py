# SPDX-License-Identifier: Apache-2.0
"""From verdicts on pairs to a win rate, and to AlpacaEval's files."""

import numpy as np
import pytest

from ramjax.evals import alpaca_annotations, pair_win_rate
from ramjax.evals.judge_account import Judging
from ramjax.evals.judged_pairs import JudgedPairs
from ramjax.evals.model_outputs import ModelOutput
from ramjax.evals.pairwise_judge import Look, PairVerdict

_NAMES = pair_win_rate.Names("mine", "base", "judge")


def _outputs(*instructions, letter="x"):
  return [ModelOutput(i, letter * 4, dataset="koala") for i in instructions]


def test_answers_meet_by_instruction_in_the_baselines_order():
  got = pair_win_rate.match(
    _outputs("c", "a", "extra"), _outputs("a", "b", "c", letter="y")
  )
  assert [p.instruction for p in got.pairs] == ["a", "c"]
  assert {(p.output_1, p.output_2) for p in got.pairs} == {("yyyy", "xxxx")}
  assert (got.num_without_reference, got.num_without_output) == (1, 1)


def test_files_of_different_benchmarks_are_refused():
  with pytest.raises(ValueError, match="none of the model's 1 instructions"):
    pair_win_rate.match(_outputs("a"), _outputs("b"))


def _evaluation(verdicts):
  instructions = [f"i{n}" for n in range(len(verdicts))]
  matched = pair_win_rate.match(
    [ModelOutput("i0", "<|im_end|>"), *_outputs(*instructions[1:])],
    _outputs(*instructions, letter="y"),
  )
  judged = JudgedPairs(verdicts, 2, sum(v.failed for v in verdicts))
  return matched, pair_win_rate.evaluate(
    "win_rate", matched, Judging(matched.pairs, judged), _NAMES, (2.0, 10.0)
  )


def _looked(first, second):
  return PairVerdict(
    (first + second) / 2,
    looks=(Look(False, first, []), Look(True, second, [])),
    num_requests=2,
    num_prompt_tokens=10,
    num_tokens=3,
  )


def test_figures_are_of_the_verdicts_that_there_are():
  verdicts = [
    _looked(1.9, 1.7),
    _looked(1.2, 1.8),
    PairVerdict(None, "status 500", failed=True),
    PairVerdict(None, "no verdict could be read", num_requests=1),
    PairVerdict(1.0),
  ]
  _, got = _evaluation(verdicts)
  figures = got.figures
  shares = np.array([0.8, 0.5, 0.0])
  assert figures["win_rate, %"] == pytest.approx(100 * shares.mean())
  assert figures["standard_error, points"] == pytest.approx(
    100 * shares.std(ddof=1) / np.sqrt(3)
  )
  assert figures["n_total"] == 3
  assert figures["invalid_share"] == pytest.approx(0.4)
  assert figures["orders_agree_share"] == 0.5
  assert figures["judge_requests"] == 5
  assert figures["judge_prompt_tokens"] == 20 and figures["judge_tokens"] == 6
  # 20 tokens at 2 a million, and 6 at 10.
  assert figures["judge_cost"] == pytest.approx(1e-4)
  assert got.counted == {
    "pairs that the judge gave no answer about": 1,
    "pairs whose verdict could not be read, or that are too long": 1,
    "pairs with a text that looks like a chat template's token": 1,
    "verdicts that an earlier run of this command had": 2,
  }


def test_annotations_are_read_back_as_they_were_judged(tmp_path):
  verdicts = [_looked(1.9, 1.7), PairVerdict(None, "why")]
  matched, _ = _evaluation(verdicts)
  path = alpaca_annotations.write(
    tmp_path / "annotations.json",
    pair_win_rate.annotations(matched, verdicts, _NAMES),
  )
  got = alpaca_annotations.read(path)
  assert (got.model, got.baseline, got.annotator) == ("mine", "base", "judge")
  assert got.preferences == [pytest.approx(1.8), None]
  assert [row.output_2 for row in got.rows] == ["<|im_end|>", "xxxx"]
  assert {row.original["dataset"] for row in got.rows} == {"koala"}


def test_good_answers_meet_by_instruction_and_none_may_lack():
  matched = pair_win_rate.match(_outputs("a", "b"), _outputs("b", "a"))
  good = [ModelOutput(i, f"good {i}") for i in ("a", "x", "b")]
  got = pair_win_rate.with_good_answers(matched, good)
  assert [p.reference for p in got.pairs] == ["good b", "good a"]
  assert [p.reference for p in matched.pairs] == [None, None]
  with pytest.raises(ValueError, match="'b' has no answer among the 1 known"):
    pair_win_rate.with_good_answers(matched, good[:1])


@pytest.mark.parametrize(
  "names,match",
  [
    (("mine", "mine", "judge"), "both called 'mine'"),
    (("mine", "ba\nse", "judge"), "the reference is called"),
    (("mine", "base", "\x1b[1m"), "the judge is called"),
  ],
)
def test_names_that_annotations_could_not_have_are_refused(names, match):
  matched = pair_win_rate.match(_outputs("a"), _outputs("a", letter="y"))
  pair_win_rate.require_names(matched, _NAMES)
  with pytest.raises(ValueError, match=match):
    pair_win_rate.require_names(matched, pair_win_rate.Names(*names))


def test_the_baseline_itself_may_have_its_name():
  matched = pair_win_rate.match(_outputs("a"), _outputs("a"))
  names = pair_win_rate.Names("base", "base", "judge")
  pair_win_rate.require_names(matched, names)
  other = pair_win_rate.match(_outputs("a"), _outputs("a", letter="y"))
  with pytest.raises(ValueError, match="base"):
    pair_win_rate.require_names(other, names)
