# SPDX-License-Identifier: Apache-2.0
"""token_logps: equals the whole softmax, in value, gradient and under bf16."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.token_logps import mean_token_logps, token_logps

_N, _D, _V = 24, 8, 11

# Jitted: each operation by itself would be a program to compile.
_logps = jax.jit(token_logps, static_argnames=("temperature", "chunk_size"))


def _inputs(dtype: Any = jnp.float32) -> dict[str, Any]:
  rng = np.random.default_rng(0)
  return dict(
    hidden=jnp.asarray(rng.normal(size=(_N, _D)), dtype),
    kernel=jnp.asarray(rng.normal(size=(_D, _V)), jnp.float32),
    targets=jnp.asarray(rng.integers(0, _V, _N), jnp.int32),
    mask=jnp.asarray(rng.random(_N) < 0.6),
  )


def _dense(hidden, kernel, targets, mask):
  """The same from all the logits, in NumPy float64."""
  logits = np.asarray(hidden, np.float64) @ np.asarray(kernel, np.float64)
  log_z = np.log(np.exp(logits).sum(-1))
  logps = logits[np.arange(len(targets)), targets] - log_z
  return np.where(mask, logps, 0), np.where(mask, log_z, 0)


def test_hand_value_of_a_two_token_vocabulary():
  # Logits (0, log 3): probabilities 1/4 and 3/4, log Z = log 4.
  out = _logps(
    hidden=np.float32([[1.0], [1.0]]),
    kernel=np.float32([[0.0, np.log(3.0)]]),
    targets=np.array([0, 1]),
    mask=np.array([True, True]),
  )
  np.testing.assert_allclose(out.logps, np.log([0.25, 0.75]), rtol=1e-6)
  np.testing.assert_allclose(out.log_normalizers, np.log([4.0, 4.0]), rtol=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 5, 8, 1000])
def test_any_chunking_equals_the_dense_softmax(chunk_size):
  inputs = _inputs()
  out = _logps(**inputs, chunk_size=chunk_size)
  logps, log_z = _dense(**inputs)
  np.testing.assert_allclose(out.logps, logps, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(out.log_normalizers, log_z, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  "chunk_size,temperature", [(5, 1.0), (3, 1.0), (100, 0.7)]
)
def test_gradient_has_its_closed_form(chunk_size, temperature):
  # d logp / d logits = onehot - softmax and d log Z / d logits = softmax; the
  # chain to hidden and kernel is written out in NumPy.
  inputs = _inputs()
  rng = np.random.default_rng(1)
  a, b = rng.normal(size=(2, _N))

  def total(hidden, kernel):
    out = _logps(
      hidden=hidden,
      kernel=kernel,
      targets=inputs["targets"],
      mask=inputs["mask"],
      temperature=temperature,
      chunk_size=chunk_size,
    )
    return jnp.sum(jnp.asarray(a, jnp.float32) * out.logps) + jnp.sum(
      jnp.asarray(b, jnp.float32) * out.log_normalizers
    )

  grads = jax.jit(jax.grad(total, (0, 1)))(inputs["hidden"], inputs["kernel"])
  hidden = np.asarray(inputs["hidden"], np.float64)
  kernel = np.asarray(inputs["kernel"], np.float64)
  logits = hidden @ kernel / temperature
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  onehot = np.eye(_V)[np.asarray(inputs["targets"])]
  to_logits = a[:, None] * (onehot - probs) + b[:, None] * probs
  to_logits *= np.asarray(inputs["mask"])[:, None] / temperature
  np.testing.assert_allclose(grads[0], to_logits @ kernel.T, atol=1e-5)
  np.testing.assert_allclose(grads[1], hidden.T @ to_logits, atol=1e-5)


def test_a_temperature_rounds_no_hidden_state():
  # In bfloat16 a hidden state over 0.7 would be another one.
  inputs = _inputs(jnp.bfloat16)
  out = _logps(**inputs, temperature=0.7)
  warm = np.asarray(inputs["kernel"]).astype(jnp.bfloat16)
  warm = warm.astype(np.float64) / 0.7
  logps, log_z = _dense(**dict(inputs, kernel=warm))
  np.testing.assert_allclose(out.logps, logps, atol=1e-5)
  np.testing.assert_allclose(out.log_normalizers, log_z, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_none_is_refused(temperature):
  with pytest.raises(ValueError, match="temperature="):
    _logps(**_inputs(), temperature=temperature)


@pytest.mark.parametrize("chunk_size", [5, 7])
def test_a_last_chunk_that_is_not_full_counts_no_token_twice(chunk_size):
  # With every token supervised, the last chunk begins with some of the one
  # before.
  inputs = dict(_inputs(), mask=np.ones(_N, bool))

  def total(hidden):
    out = _logps(**dict(inputs, hidden=hidden), chunk_size=chunk_size)
    return jnp.sum(out.logps) + 2 * jnp.sum(out.log_normalizers), out

  def dense_total(hidden):
    logits = hidden @ inputs["kernel"]
    logps = jax.nn.log_softmax(logits)[jnp.arange(_N), inputs["targets"]]
    return jnp.sum(logps) + 2 * jnp.sum(jax.nn.logsumexp(logits, axis=1))

  grad, out = jax.jit(jax.grad(total, has_aux=True))(inputs["hidden"])
  logps, log_z = _dense(**inputs)
  np.testing.assert_allclose(out.logps, logps, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(out.log_normalizers, log_z, rtol=1e-5, atol=1e-6)
  expected = jax.jit(jax.grad(dense_total))(inputs["hidden"])
  np.testing.assert_allclose(grad, expected, atol=1e-5)


def test_any_number_of_tokens_will_do():
  inputs = _inputs()
  odd = {
    name: np.asarray(x)[:3] for name, x in inputs.items() if name != "kernel"
  }
  out = _logps(**odd, kernel=inputs["kernel"])
  np.testing.assert_allclose(out.logps, _logps(**inputs).logps[:3], rtol=1e-6)


def test_unsupervised_tokens_are_zero_and_carry_no_gradient():
  inputs = _inputs()

  def total(hidden):
    out = _logps(**dict(inputs, hidden=hidden))
    return jnp.sum(out.logps) + jnp.sum(out.log_normalizers)

  out = _logps(**inputs)
  grad = jax.jit(jax.grad(total))(inputs["hidden"])
  unsupervised = ~np.asarray(inputs["mask"])
  assert (np.asarray(out.logps)[unsupervised] == 0).all()
  assert (np.asarray(grad)[unsupervised] == 0).all()
  assert (np.asarray(grad)[~unsupervised] != 0).any(axis=1).all()


def test_a_nan_in_an_unsupervised_row_stays_there():
  inputs = _inputs()
  row = int(np.flatnonzero(~np.asarray(inputs["mask"]))[0])
  hidden = np.array(inputs["hidden"])
  hidden[row] = np.nan
  poisoned = dict(inputs, hidden=hidden)

  @jax.jit
  @jax.value_and_grad
  def total(kernel):
    out = _logps(**dict(poisoned, kernel=kernel), chunk_size=3)
    return jnp.sum(out.logps)

  value, grad = total(inputs["kernel"])
  clean = np.sum(_logps(**inputs, chunk_size=3).logps)
  np.testing.assert_allclose(value, clean, rtol=1e-6)
  assert np.isfinite(grad).all()


def test_no_supervised_token_gives_zeros_and_a_zero_gradient():
  inputs = dict(_inputs(), mask=np.zeros(_N, bool))
  out = _logps(**inputs)
  grad = jax.jit(
    jax.grad(lambda kernel: jnp.sum(_logps(**inputs | {"kernel": kernel})[0]))
  )(inputs["kernel"])
  assert not np.any(out.logps) and not np.any(out.log_normalizers)
  assert not np.any(grad)


def test_bfloat16_hidden_states_keep_float32_sums():
  inputs = _inputs(jnp.bfloat16)
  out = _logps(**inputs)
  assert out.logps.dtype == jnp.float32
  rounded = dict(
    inputs,
    hidden=np.float32(inputs["hidden"]),
    kernel=np.float32(np.asarray(inputs["kernel"]).astype(jnp.bfloat16)),
  )
  logps, _ = _dense(**rounded)
  np.testing.assert_allclose(out.logps, logps, rtol=1e-5, atol=1e-5)


def test_every_matmul_accumulates_in_float32():
  inputs = _inputs(jnp.bfloat16)

  def total(hidden, kernel):
    return jnp.sum(token_logps(**dict(inputs, hidden=hidden, kernel=kernel))[0])

  program = str(
    jax.make_jaxpr(jax.grad(total, (0, 1)))(inputs["hidden"], inputs["kernel"])
  )
  # Forward logits, the same again, and the gradients of hidden and kernel.
  assert program.count("= dot_general[") == 4
  assert program.count("preferred_element_type=float32") == 4


def test_huge_logits_stay_finite():
  out = _logps(
    hidden=np.full((2, 1), 1e4, np.float32),
    kernel=np.float32([[1.0, -1.0]]),
    targets=np.array([0, 1]),
    mask=np.ones(2, bool),
  )
  np.testing.assert_allclose(out.logps, [0.0, -2e4])


def test_mean_token_logps_is_the_mean_over_the_vocabulary():
  inputs = _inputs()
  log_z = _logps(**inputs).log_normalizers
  mean = jax.jit(mean_token_logps)(
    hidden=inputs["hidden"], kernel=inputs["kernel"], log_normalizers=log_z
  )
  logits = np.asarray(inputs["hidden"]) @ np.asarray(inputs["kernel"])
  expected = (logits - np.asarray(log_z)[:, None]).mean(-1)
  np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-5)


def test_chunks_of_nothing_are_refused():
  with pytest.raises(ValueError, match="chunk_size=0"):
    _logps(**_inputs(), chunk_size=0)


@pytest.mark.parametrize(
  "name,bad",
  [
    ("mask", np.ones(_N, np.float32)),
    ("mask", np.ones(_N - 1, bool)),
    ("targets", np.zeros((_N, 1), np.int32)),
    ("kernel", np.zeros((_D + 1, _V), np.float32)),
  ],
)
def test_arrays_of_another_shape_or_kind_are_refused(name, bad):
  with pytest.raises(TypeError, match=name):
    _logps(**dict(_inputs(), **{name: bad}))
