# SPDX-License-Identifier: Apache-2.0
"""Adapters mean the same to PEFT and to us, both ways."""

import functools
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_adapters
from safetensors import numpy as safetensors_numpy
from tiny_adapters import CONFIG, KINDS

from ramjax.models import (
  fingerprint,
  heads,
  llama,
  partition,
  peft_adapter,
  peft_export,
  run_adapters,
  source_params,
)
from ramjax.models.hf_folder import HFFolder
from ramjax.models.merged_lora import MergedLora

pytestmark = [
  pytest.mark.peers,
  # Of torch, transformers and PEFT, about themselves.
  pytest.mark.filterwarnings("ignore"),
]

TOKENS = np.random.default_rng(3).integers(0, CONFIG.vocab_size, (2, 9))
REWARD = tiny_adapters.dataclasses.replace(CONFIG, num_labels=2)


@pytest.fixture(scope="module")
def hf(tmp_path_factory):
  """The base as Hugging Face folders: a language model and a classifier."""
  root = tmp_path_factory.mktemp("bases")
  tiny_adapters.write_base(root / "lm", CONFIG)
  tiny_adapters.write_base(root / "reward", REWARD)
  return root


def _theirs(folder, task):
  import transformers

  auto = {
    "CAUSAL_LM": transformers.AutoModelForCausalLM,
    "SEQ_CLS": transformers.AutoModelForSequenceClassification,
  }[task]
  return auto.from_pretrained(folder, dtype="float32", pad_token_id=0).eval()


def _make_adapter(hf, folder, **options):
  """An adapter of PEFT's own making, without a zero in it; their model."""
  peft, torch = pytest.importorskip("peft"), pytest.importorskip("torch")
  torch.manual_seed(5)
  task = options.setdefault("task_type", "CAUSAL_LM")
  base = _theirs(hf / ("reward" if task == "SEQ_CLS" else "lm"), task)
  model = peft.get_peft_model(base, peft.LoraConfig(**options)).eval()
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if "magnitude" in name:
        parameter.mul_(1 + 0.3 * torch.rand_like(parameter))
      elif "lora_" in name or "score" in name:
        parameter.copy_(0.2 * torch.randn_like(parameter))
  model.save_pretrained(folder)
  return model


def _their_logits(model):
  import torch

  tokens = torch.tensor(TOKENS)
  with torch.no_grad():
    return model(input_ids=tokens, use_cache=False).logits.numpy()


@functools.partial(jax.jit, static_argnames="config")
def _our_logits(params, config):
  tokens = jnp.asarray(TOKENS)
  positions = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)
  hidden = llama.apply(params, config, tokens, positions=positions)
  if config.num_labels:
    last = jnp.full((2, 1), tokens.shape[1] - 1)
    return heads.scores_at(params, hidden, last)[:, 0]
  return heads.lm_logits(params, config, hidden)


def _adapted_logits(base, config, params):
  loaded = source_params.load_params(base, tiny_adapters.one_device())
  # A base without a score head, or another: the adapter's counts.
  loaded = {n: x for n, x in loaded.items() if n not in ("score",)}
  return _our_logits(partition.join(loaded, params), config)


CASES = {
  "lora": dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"]),
  "rslora": dict(
    r=4, lora_alpha=6, target_modules=["o_proj", "down_proj"], use_rslora=True
  ),
  "dora": dict(
    r=4, target_modules=["k_proj", "gate_proj", "up_proj"], use_dora=True
  ),
  "all_linear": dict(r=3, target_modules="all-linear"),
  "patterns": dict(
    r=4,
    lora_alpha=8,
    target_modules=["q_proj", "up_proj"],
    rank_pattern={"layers.1.self_attn.q_proj": 2, "up_proj": 3},
    alpha_pattern={r"layers\.[02]\.mlp\.up_proj": 5, "mlp.up_proj": 7},
  ),
  "regex": dict(
    r=2, target_modules=r".*\.(0|2)\.(self_attn\.[qk]_proj|mlp\.down_proj)"
  ),
  "layers": dict(
    r=2, target_modules=["v_proj"], layers_to_transform=[0, 2], use_dora=True
  ),
  "excluded": dict(
    r=2,
    target_modules=["v_proj", "q_proj"],
    exclude_modules=["0.self_attn.q_proj"],
  ),
  "lm_head": dict(r=2, target_modules=["q_proj", "lm_head"], use_dora=True),
  "classifier": dict(
    r=2, target_modules="all-linear", task_type="SEQ_CLS", use_dora=True
  ),
}


@pytest.mark.parametrize("case", CASES)
def test_their_adapter_computes_the_same_here(case, hf, tmp_path):
  model = _make_adapter(hf, tmp_path / "adapter", **CASES[case])
  expected = _their_logits(model)
  task = CASES[case].get("task_type", "CAUSAL_LM")
  base = HFFolder(hf / ("reward" if task == "SEQ_CLS" else "lm"))
  config, params = peft_adapter.read(tmp_path / "adapter", base)
  ours = _adapted_logits(base, config, params)
  np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)

  merged = MergedLora(base, config, params)
  theirs = model.merge_and_unload().state_dict()
  assert set(merged.specs) == set(theirs)
  for name, spec in merged.specs.items():
    np.testing.assert_allclose(
      merged.rows(name, 0, spec.shape[0]), theirs[name], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("case", CASES)
def test_their_adapter_goes_in_and_out_unchanged(case, hf, tmp_path):
  _make_adapter(hf, tmp_path / "adapter", **CASES[case])
  is_reward = case == "classifier"
  base = HFFolder(hf / ("reward" if is_reward else "lm"))
  config, params = peft_adapter.read(tmp_path / "adapter", base)
  (tmp_path / "again").mkdir()
  adapters = run_adapters.Adapters(config, 0, params, base.path, "")
  peft_export.write(tmp_path / "again", adapters, "base")
  before, after = (
    safetensors_numpy.load_file(tmp_path / name / "adapter_model.safetensors")
    for name in ("adapter", "again")
  )
  before.pop("base_model.model.lm_head.base_layer.weight", None)
  assert set(before) == set(after)
  for name, array in before.items():
    np.testing.assert_array_equal(array, after[name])
  config_again, _ = peft_adapter.read(tmp_path / "again", base)
  assert config_again == config


@pytest.mark.parametrize("kind", [*KINDS, "classifier"])
def test_our_adapter_is_loaded_whole_and_computes_the_same(kind, hf, tmp_path):
  peft = pytest.importorskip("peft")
  is_reward = kind == "classifier"
  config = (
    tiny_adapters.adapted("ranks", REWARD)
    if is_reward
    else tiny_adapters.adapted(kind)
  )
  base = hf / ("reward" if is_reward else "lm")
  adapters = tiny_adapters.adapters_of(config, base)
  peft_export.write(tmp_path, adapters, str(base))
  task = "SEQ_CLS" if is_reward else "CAUSAL_LM"
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = peft.PeftModel.from_pretrained(_theirs(base, task), tmp_path)
  # So PEFT says that it misses adapter keys.
  assert not [w for w in caught if "missing" in str(w.message)]
  result = model.load_adapter(tmp_path, "again")
  assert not result.unexpected_keys
  assert not [key for key in result.missing_keys if "again" in key]
  source = HFFolder(base)
  ours = _adapted_logits(source, config, adapters.params)
  np.testing.assert_allclose(
    ours, _their_logits(model.eval()), rtol=0, atol=1e-5
  )
  assert adapters.fingerprint == fingerprint.fingerprint(source)
  fields = json.loads((tmp_path / "adapter_config.json").read_text())
  assert fields["task_type"] == task
