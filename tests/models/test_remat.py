# SPDX-License-Identifier: Apache-2.0
"""Remat: policies keep what they say they do, and change no gradient."""

import dataclasses
import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.models import attention, attention_splash, llama, remat
from ramjax.models import config as config_lib

_B, _T = 2, 128
# A width that no other axis has. N=4, K=2, H=16, F=48: NH=64, KH=32.
_WIDTH = 40


@pytest.fixture
def interpreted(monkeypatch):
  """Splash by XLA, on the CPU."""
  splash = functools.partial(attention_splash.splash_attention, interpret=True)
  monkeypatch.setitem(attention.BACKENDS, "splash", splash)


def _config(config, policy, backend):
  return dataclasses.replace(
    config, width=_WIDTH, remat=policy, attention=backend
  )


def _kept(config, capsys):
  """Numbers a token that each layer keeps: (on the device, on the host)."""
  params, _ = llama.abstract_params(config)
  tokens = jax.ShapeDtypeStruct((_B, _T), jnp.int32)
  jax.ad_checkpoint.print_saved_residuals(
    lambda params, tokens: llama.apply(
      params, config, tokens, positions=tokens
    ),
    params,
    tokens,
  )
  found = {"": [], "<host>": []}
  for place, shape in re.findall(
    rf"^f32(<host>)?\[{config.num_layers},([\d,]+)\] output of scan",
    capsys.readouterr().out,
    re.MULTILINE,
  ):
    size = math.prod(map(int, shape.split(",")))
    found[place].append(size // (_B * _T))
  return sorted(found[""]), sorted(found["<host>"])


@pytest.mark.parametrize(
  "policy,backend,device,host",
  [
    ("full", "xla", [40], []),
    ("full", "splash", [40], []),
    ("dots", "xla", [32, 32, 40, 40, 48, 48, 64], []),
    ("save_attention", "xla", [40, 64], []),
    ("save_attention", "splash", [4, 40, 64], []),
    ("save_qkv", "xla", [32, 32, 40, 64, 64], []),
    ("save_qkv", "splash", [4, 32, 32, 40, 64, 64], []),
    ("offload", "xla", [40], [32, 32, 64, 64]),
    ("offload", "splash", [40], [4, 32, 32, 64, 64]),
  ],
)
def test_a_layer_keeps_what_its_policy_says(
  config, interpreted, capsys, policy, backend, device, host
):
  config = _config(config, policy, backend)
  assert _kept(config, capsys) == (device, host)


def test_without_a_policy_scores_are_kept(config, capsys):
  device, _ = _kept(_config(config, "none", "xla"), capsys)
  # Of a token with the 128 keys of its block, for each of 4 heads.
  assert sum(device) > 1000


def _kernels(jaxpr):
  """Names of the kernels in a program whose results are used."""
  for equation in jaxpr.eqns:
    if not equation.outvars:
      continue  # A function of which nothing is left: the compiler drops it.
    if equation.primitive.name == "pallas_call":
      yield str(equation.params["name"])
      continue
    for inner in jax.tree.leaves(
      list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
    ):
      inner = getattr(inner, "jaxpr", inner)
      if hasattr(inner, "eqns"):
        yield from _kernels(inner)


@pytest.mark.parametrize("policy,runs", [("full", 2), ("save_attention", 1)])
def test_kept_attention_is_not_computed_again(
  config, interpreted, policy, runs
):
  config = _config(config, policy, "splash")
  params, _ = llama.abstract_params(config)
  tokens = jax.ShapeDtypeStruct((_B, _T), jnp.int32)

  def total(params, tokens):
    return jnp.sum(llama.apply(params, config, tokens, positions=tokens))

  program = jax.make_jaxpr(jax.grad(total))(params, tokens)
  names = [name for name in _kernels(program.jaxpr) if "_fwd_" in name]
  assert len(names) == runs


def test_every_policy_of_a_config_is_one_here():
  named = set(config_lib.REMAT_POLICIES)
  assert set(remat.POLICIES) == named - {"none"}


@functools.partial(jax.jit, static_argnames="config")
def _grads(params, config, tokens):
  def total(params):
    hidden = llama.apply(params, config, tokens, positions=tokens % 61)
    return jnp.sum(jnp.sin(hidden))

  return jax.grad(total)(params)


@pytest.mark.parametrize(
  "policy",
  [
    "save_attention",
    pytest.param("save_qkv", marks=pytest.mark.slow),
    pytest.param("offload", marks=pytest.mark.slow),
    pytest.param("dots", marks=pytest.mark.slow),
    pytest.param("full", marks=pytest.mark.slow),
  ],
)
def test_no_policy_changes_a_gradient(config, params, policy):
  tokens = np.random.default_rng(0).integers(0, 64, (2, 61), np.int32)
  expected = _grads(params, config, tokens)
  grads = _grads(params, dataclasses.replace(config, remat=policy), tokens)
  for grad, wanted in zip(
    jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True
  ):
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(grad, wanted, rtol=0, atol=1e-6 * scale)
