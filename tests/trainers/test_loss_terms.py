# SPDX-License-Identifier: Apache-2.0
"""Terms of a loss: found by name, options checked, summed by weight."""

import math
import re

import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.trainers import loss_terms, preference, reward, unpaired

_DPO = dict(weight=1.0, beta=0.1)
_CRINGE = dict(
  weight=1.0,
  alpha=0.5,
  b=0.0,
  tau=1.0,
  stop_gradient_gate=True,
  logp_reduction="sum",
  token_reduction="sum",
  top_k=3,
  stop_candidate_gradient=False,
)


def _load(algorithm=preference, **terms):
  name = algorithm.__name__.rpartition(".")[2]
  return loss_terms.load_terms(terms, provided=algorithm.ARRAYS, algorithm=name)


def _refusal(algorithm=preference, **terms):
  with pytest.raises(ValueError) as error:
    _load(algorithm, **terms)
  return str(error.value)


def test_parameters_annotated_as_arrays_are_arrays_and_the_rest_options():
  (term,) = _load(dpo=dict(_DPO, label_smoothing=0.2))
  assert term.arrays == {
    "chosen_logps", "rejected_logps", "ref_chosen_logps", "ref_rejected_logps",
  }  # fmt: skip
  assert term.options == {"beta": 0.1, "label_smoothing": 0.2}
  assert term.contrast == {} and term.statistics is None and not term.carried


def test_no_term_is_refused():
  assert "loss.terms is empty" in _refusal()


@pytest.mark.parametrize("name", ["nothing", "pairwise", "a.b", "shapes"])
def test_a_module_without_a_loss_of_its_name_is_refused(name):
  message = _refusal(**{name: dict(weight=1.0)})
  assert repr(name) in message and f"{name}_loss" in message


def test_an_unknown_option_is_refused_with_those_there_are():
  message = _refusal(dpo=dict(_DPO, betta=0.1))
  assert "no option 'betta'" in message
  assert "beta, label_smoothing" in message and "weight" in message


def test_a_missing_option_is_named():
  assert "loss.terms.dpo.beta" in _refusal(dpo=dict(weight=1.0))


def test_an_array_is_no_option():
  message = _refusal(dpo=dict(_DPO, chosen_logps=1.0))
  assert "no option 'chosen_logps'" in message


@pytest.mark.parametrize("weight", [None, "1", True])
def test_a_weight_that_is_no_number_is_refused(weight):
  terms = dict(_DPO, weight=weight)
  assert f"loss.terms.dpo.weight={weight!r}" in _refusal(dpo=terms)


def test_a_weight_that_is_missing_is_refused():
  assert "loss.terms.dpo.weight=None" in _refusal(dpo=dict(beta=0.1))


def test_an_integer_is_taken_for_a_float():
  (term,) = _load(dpo_norm=dict(weight=2, beta=5))
  assert term.options == {"beta": 5.0} and term.weight == 2.0
  assert isinstance(term.options["beta"], float)


def test_an_integer_is_taken_for_an_optional_float():
  (term,) = _load(
    dpo=dict(_DPO, divergence="alpha_divergence", divergence_alpha=1)
  )
  assert isinstance(term.options["divergence_alpha"], float)


@pytest.mark.parametrize(
  "changed,says",
  [
    (dict(beta="0.1"), "loss.terms.dpo.beta='0.1' must be of type float"),
    (dict(beta=True), "loss.terms.dpo.beta=True must be of type float"),
    (dict(divergence=1), "divergence=1 must be of type str"),
    (dict(divergence_alpha="1"), "must be of type float or NoneType"),
  ],
)
def test_an_option_of_another_type_is_refused(changed, says):
  assert says in _refusal(dpo={**_DPO, **changed})


@pytest.mark.parametrize(
  "changed", [dict(top_k=3.0), dict(stop_candidate_gradient=1)]
)
def test_an_option_of_the_contrast_of_another_type_is_refused(changed):
  (option,) = changed
  message = _refusal(pairwise_cringe={**_CRINGE, **changed})
  assert f"loss.terms.pairwise_cringe.{option}=" in message


def test_rows_that_lack_an_array_are_refused():
  message = _refusal(unpaired, dpo=_DPO)
  assert "loss.terms.dpo needs chosen_logps" in message
  assert "algorithm='unpaired' does not have" in message


def test_a_loss_of_whole_batches_is_refused_too_where_rows_lack_an_array():
  # BCO's running mean is no array of any rows; its logps are, of others.
  terms = dict(weight=1.0, beta=0.1)
  assert "loss.terms.bco needs" in _refusal(preference, bco=terms)


def test_what_statistics_make_is_not_asked_of_the_rows():
  (term,) = _load(unpaired, bco=dict(weight=1.0, beta=0.1))
  assert term.arrays == {"logps", "ref_logps", "labels"}
  assert term.statistics_arrays == {"logps", "ref_logps"}
  assert term.carried == {"log_ratio_mean": 0.0, "log_ratio_count": 0.0}


def test_gaps_bring_the_options_of_the_contrast():
  (term,) = _load(pairwise_cringe=_CRINGE)
  assert term.contrast == {"top_k": 3, "stop_candidate_gradient": False}
  assert "top_k" not in term.options
  without = {k: v for k, v in _CRINGE.items() if k != "top_k"}
  assert "loss.terms.pairwise_cringe.top_k" in _refusal(pairwise_cringe=without)


def test_terms_that_draw_alike_share_their_candidates():
  terms = _load(dpo=_DPO, pairwise_cringe=_CRINGE)
  assert loss_terms.contrast_of(terms)["top_k"] == 3
  assert loss_terms.contrast_of(_load(dpo=_DPO)) == {}


def test_terms_that_draw_differently_are_refused():
  one, other = (
    _load(pairwise_cringe=dict(_CRINGE, top_k=top_k))[0] for top_k in (1, 2)
  )
  with pytest.raises(ValueError, match=r"differently .*'top_k': 1.*'top_k': 2"):
    loss_terms.contrast_of((one, other))


def _arrays():
  values = dict(
    chosen_logps=[-2.0], rejected_logps=[-5.0],
    ref_chosen_logps=[-3.0], ref_rejected_logps=[-4.0],
  )  # fmt: skip
  arrays = {name: jnp.array(value) for name, value in values.items()}
  lengths = dict(chosen_lengths=[2], rejected_lengths=[5])
  return arrays | {k: jnp.array(v, jnp.int32) for k, v in lengths.items()}


def test_the_sum_is_weighted_and_the_first_term_gives_the_rewards():
  # DPO: margin 0.5 * ((-2 + 3) - (-5 + 4)) = 1, so log(1 + exp(-1)); the mean
  # log-probability of a chosen token is -1.
  terms = _load(dpo=dict(weight=2.0, beta=0.5), chosen_nll=dict(weight=0.25))
  losses, first = loss_terms.weighted_losses(terms, _arrays(), {})
  expected = 2 * math.log1p(math.exp(-1)) + 0.25
  np.testing.assert_allclose(losses, [expected], rtol=1e-6)
  np.testing.assert_allclose(first.chosen_rewards, [0.5])
  # The order decides whose rewards are shown.
  _, other = loss_terms.weighted_losses(terms[::-1], _arrays(), {})
  assert float(other.chosen_rewards[0]) != 0.5


def test_statistics_reach_the_loss_of_their_term():
  (term,) = _load(unpaired, bco=dict(weight=1.0, beta=1.0))
  arrays = dict(
    logps=jnp.array([-1.0, -4.0]),
    ref_logps=jnp.array([-2.0, -2.0]),
    labels=jnp.array([True, False]),
  )
  carried = {
    "log_ratio_mean": jnp.float32(3.0), "log_ratio_count": jnp.float32(2.0)
  }  # fmt: skip
  found, kept = loss_terms.batch_statistics(
    term, arrays, jnp.ones(2, bool), carried
  )
  # Two ratios of mean 3, then 1 and -2: (6 - 1) / 4.
  assert kept == found
  np.testing.assert_allclose(kept["log_ratio_mean"], 1.25)
  assert kept["log_ratio_count"] == 4
  losses, _ = loss_terms.weighted_losses((term,), arrays, {"bco": found})
  # log(1 + exp(-(1 - 1.25))) and log(1 + exp(-2 - 1.25)).
  np.testing.assert_allclose(losses, np.log1p(np.exp([0.25, -3.25])), rtol=1e-6)


def test_reward_losses_that_learn_from_different_rows_are_refused():
  terms = dict(plackett_luce=dict(weight=1.0), regression=dict(weight=1.0))
  message = "plackett_luce, regression learn from different rows"
  with pytest.raises(ValueError, match=re.escape(message)):
    reward._load_terms(terms)
