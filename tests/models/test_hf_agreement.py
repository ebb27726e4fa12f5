# SPDX-License-Identifier: Apache-2.0
"""transformers computes from our folders what we compute from theirs.

One model of each family and head, at small width with random weights: saved by
transformers and read here, written here and loaded by transformers.
"""

import dataclasses
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.models import (
  heads,
  hf_config,
  llama,
  sampler,
  sharding,
  source_params,
  tensors,
)
from ramjax.models.hf_folder import HFFolder
from ramjax.models.hf_writer import HFWriter
from ramjax.models.open_model import open_model
from ramjax.models.run_writer import RunWriter
from ramjax.models.sampling_options import SamplingOptions

pytestmark = [
  pytest.mark.peers,
  pytest.mark.filterwarnings("ignore"),  # Theirs, of imports.
]

_CAUSAL = (
  *("1", "2_70b", "3", "3_1", "3_2", "linear"),
  *("mistral", "qwen2", "qwen2_untied"),
)
_SCORED = tuple(
  f"{family}_{kind}"
  for family in ("llama", "mistral", "qwen2")
  for kind in ("reward", "3_labels")
)
_PAD = 0


@pytest.fixture(scope="module")
def peers():
  """torch and transformers."""
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  torch.set_num_threads(1)
  return torch, transformers


def _auto(transformers, config):
  if config.num_labels:
    return transformers.AutoModelForSequenceClassification
  return transformers.AutoModelForCausalLM


@pytest.fixture
def hf_model(peers, golden_maker, shapes):
  """Name of a shape -> transformers' model, made and drawn by itself.

  Its config is made from our sizes by hand, not by `hf_config`.
  """
  torch, transformers = peers

  def build(name):
    config = shapes[name]
    family = name.split("_")[0]
    fields = golden_maker.hf_config(config).to_dict()
    own = {
      "mistral": (transformers.MistralConfig, {"sliding_window": 4}),
      "qwen2": (transformers.Qwen2Config, {}),
    }
    kind, extra = own.get(family, (transformers.LlamaConfig, {}))
    for field in ("model_type", "architectures", "transformers_version"):
      fields.pop(field, None)
    if family in own:
      for field in ("attention_bias", "mlp_bias", "pretraining_tp"):
        fields.pop(field, None)
    if config.num_labels:
      extra = {**extra, "num_labels": config.num_labels, "pad_token_id": _PAD}
    torch.manual_seed(0)
    model = _auto(transformers, config).from_config(
      kind(**{**fields, "initializer_range": 0.2, **extra}),
      dtype=torch.float32,
      attn_implementation="eager",
    )
    # Biases are drawn as zeros.
    with torch.no_grad():
      for key, parameter in model.named_parameters():
        if key.endswith("bias"):
          parameter.normal_()
    return model.eval()

  return build


@functools.partial(jax.jit, static_argnames="config")
def _hidden(params, config, tokens):
  positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
  return llama.apply(params, config, tokens, positions=positions)


def _our_logits(folder, tokens):
  with_mesh = sharding.make_mesh({"fsdp": 8})
  source = open_model(folder)
  params = source_params.load_params(source, with_mesh)
  hidden = _hidden(params, source.config, tokens)
  return np.asarray(heads.lm_logits(params, source.config, hidden))


def _tokens():
  return np.random.default_rng(3).integers(1, 64, (2, 12)).astype(np.int32)


def _their_logits(torch, model, tokens):
  with torch.no_grad():
    return model(torch.tensor(tokens, dtype=torch.long)).logits.numpy()


def _check_close(ours, theirs):
  # Not all alike, or an error would not show.
  assert np.abs(theirs).max() > 0.1
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", _CAUSAL)
def test_logits_of_what_transformers_saves(
  peers, hf_model, shapes, tmp_path, name
):
  model = hf_model(name)
  model.save_pretrained(tmp_path / "theirs")
  assert HFFolder(tmp_path / "theirs").config == shapes[name]
  tokens = _tokens()
  _check_close(
    _our_logits(tmp_path / "theirs", tokens),
    _their_logits(peers[0], model, tokens),
  )


def test_window_matters_in_these_models(peers, hf_model, tmp_path):
  hf_model("mistral").save_pretrained(tmp_path / "theirs")
  windowed = _our_logits(tmp_path / "theirs", _tokens())
  path = tmp_path / "theirs/config.json"
  raw = json.loads(path.read_text()) | {"sliding_window": None}
  path.write_text(json.dumps(raw))
  full = _our_logits(tmp_path / "theirs", _tokens())
  np.testing.assert_allclose(windowed[:, :4], full[:, :4], atol=1e-4)
  assert np.abs(windowed - full)[:, 4:].max() > 0.01


def _padded(lengths, width):
  tokens = np.random.default_rng(4).integers(1, 64, (len(lengths), width))
  tokens[np.arange(width)[None] >= lengths[:, None]] = _PAD
  return tokens.astype(np.int32)


def _our_scores(folder, tokens, lengths):
  source = open_model(folder)
  params = source_params.load_params(source, sharding.make_mesh({"fsdp": 8}))
  hidden = _hidden(params, source.config, tokens)
  last = jnp.asarray(lengths)[:, None] - 1
  return np.asarray(heads.scores_at(params, hidden, last)[:, 0])


def _their_scores(torch, model, tokens):
  with torch.no_grad():
    return model(
      torch.tensor(tokens, dtype=torch.long),
      attention_mask=torch.tensor(tokens != _PAD),
    ).logits.numpy()


@pytest.mark.parametrize("name", _SCORED)
def test_scores_of_what_transformers_saves(
  peers, hf_model, shapes, tmp_path, name
):
  model = hf_model(name)
  model.save_pretrained(tmp_path / "theirs")
  assert HFFolder(tmp_path / "theirs").config == shapes[name]
  lengths = np.array([9, 4, 1])
  tokens = _padded(lengths, 9)
  ours = _our_scores(tmp_path / "theirs", tokens, lengths)
  assert ours.shape == (3, shapes[name].num_labels)
  _check_close(ours, _their_scores(peers[0], model, tokens))


def _export(folder, source, **options):
  folder.mkdir()
  tensors.copy(source, HFWriter(folder, source.config, source.specs, **options))
  return folder


def _load(peers, folder, config, **options):
  torch, transformers = peers
  model, info = _auto(transformers, config).from_pretrained(
    folder,
    output_loading_info=True,
    dtype=torch.float32,
    attn_implementation="eager",
    **options,
  )
  assert not any(info.values()), info
  return model.eval()


@pytest.mark.parametrize("name", _CAUSAL)
def test_transformers_loads_what_is_written(
  peers, shapes, source_of, tmp_path, name
):
  source = source_of(name)
  folder = _export(tmp_path / "ours", source, shard_bytes=30_000)
  assert (folder / "model.safetensors.index.json").exists()
  model = _load(peers, folder, shapes[name])
  tokens = _tokens()
  _check_close(
    _our_logits(folder, tokens), _their_logits(peers[0], model, tokens)
  )


@pytest.mark.parametrize("name", _SCORED)
def test_transformers_loads_the_score_heads_that_are_written(
  peers, shapes, source_of, tmp_path, name
):
  folder = _export(
    tmp_path / "ours", source_of(name), carried={"pad_token_id": _PAD}
  )
  model = _load(peers, folder, shapes[name])
  lengths = np.array([9, 4, 1])
  tokens = _padded(lengths, 9)
  _check_close(
    _our_scores(folder, tokens, lengths),
    _their_scores(peers[0], model, tokens),
  )


@pytest.mark.parametrize("name", _CAUSAL)
def test_greedy_generation_agrees(peers, shapes, source_of, tmp_path, name):
  torch, _ = peers
  folder = _export(tmp_path / "ours", source_of(name))
  model = _load(peers, folder, shapes[name])
  prompt = _tokens()[:1, :5]
  theirs = model.generate(
    torch.tensor(prompt, dtype=torch.long),
    do_sample=False,
    max_new_tokens=24,
  )
  source = open_model(folder)
  params = source_params.load_params(source, sharding.make_mesh({"data": 8}))
  options = SamplingOptions(temperature=0.0, max_tokens=24)
  (ours,) = sampler.sample(
    params, source.config, [sampler.Request(prompt[0], options)]
  )
  np.testing.assert_array_equal(ours.tokens, theirs[0, 5:].numpy())


@pytest.mark.parametrize("name", ["3_2", "qwen2_untied", "mistral_reward"])
def test_shards_that_transformers_saves_are_read(
  tiny, peers, hf_model, tmp_path, name
):
  model = hf_model(name)
  model.save_pretrained(tmp_path / "one")
  model.save_pretrained(tmp_path / "many", max_shard_size="20KB")
  shards = list(pathlib.Path(tmp_path / "many").glob("model-*.safetensors"))
  assert len(shards) > 2
  one, many = HFFolder(tmp_path / "one"), HFFolder(tmp_path / "many")
  assert tiny.read_bytes(one) == tiny.read_bytes(many)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["3_2", "qwen2_reward"])
def test_their_weights_go_through_a_run_to_the_byte(
  tiny, peers, hf_model, tmp_path, name, dtype, monkeypatch
):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 1500)
  torch, _ = peers
  model = hf_model(name).to(getattr(torch, dtype))
  model.save_pretrained(tmp_path / "theirs")
  source = HFFolder(tmp_path / "theirs")
  (tmp_path / "run").mkdir()
  writer = RunWriter(tmp_path / "run", source.config, source.specs)
  tensors.copy(source, writer)
  carried = hf_config.read(tmp_path / "theirs")
  ours = _export(
    tmp_path / "ours", open_model(tmp_path / "run"), carried=carried
  )
  assert tiny.read_bytes(HFFolder(ours)) == tiny.read_bytes(source)
  loaded = _load(peers, ours, source.config)
  for key, value in model.state_dict().items():
    assert torch.equal(loaded.state_dict()[key], value.float()), key
  # What the file said besides the shape is kept.
  written = hf_config.read(ours)
  for field in ("pad_token_id", "eos_token_id", "bos_token_id"):
    assert written.get(field) == carried.get(field)
  assert dataclasses.asdict(source.config) == dataclasses.asdict(
    HFFolder(ours).config
  )
