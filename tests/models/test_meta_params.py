# SPDX-License-Identifier: Apache-2.0
"""params.json: the numbers of the releases, and what is refused."""

import json
import pathlib

import pytest

from ramjax.models import meta_params
from ramjax.models.presets import PRESETS

_PATH = pathlib.Path("some/params.json")
_TINY = {"dim": 24, "n_layers": 2, "n_heads": 4, "norm_eps": 1e-5}
_TINY |= {"multiple_of": 8}  # int(2 * 96 / 3) = 64.
# As published beside the weights; vocabulary and MLP width from their tensors.
_3_2_1B = {
  "dim": 2048,
  "n_layers": 16,
  "n_heads": 32,
  "n_kv_heads": 8,
  "vocab_size": 128_256,
  "ffn_dim_multiplier": 1.5,
  "multiple_of": 256,
  "norm_eps": 1e-05,
  "rope_theta": 500_000.0,
  "use_scaled_rope": True,
}
_LLAMA3 = dict(_3_2_1B, ffn_dim_multiplier=1.3, multiple_of=1024)
_PUBLISHED = {
  "llama1_7b": {
    "dim": 4096,
    "multiple_of": 256,
    "n_heads": 32,
    "n_layers": 32,
    "norm_eps": 1e-06,
    "vocab_size": -1,
  },
  "llama2_7b": {
    "dim": 4096,
    "multiple_of": 256,
    "n_heads": 32,
    "n_layers": 32,
    "norm_eps": 1e-05,
    "vocab_size": -1,
  },
  "llama2_70b": {
    "dim": 8192,
    "multiple_of": 4096,
    "ffn_dim_multiplier": 1.3,
    "n_heads": 64,
    "n_kv_heads": 8,
    "n_layers": 80,
    "norm_eps": 1e-05,
    "vocab_size": -1,
  },
  "llama3_8b": dict(
    _LLAMA3, dim=4096, n_layers=32, n_heads=32, use_scaled_rope=False
  ),
  "llama3_1_8b": dict(_LLAMA3, dim=4096, n_layers=32, n_heads=32),
  "llama3_1_70b": dict(
    _LLAMA3, dim=8192, n_layers=80, n_heads=64, multiple_of=4096
  ),
  "llama3_1_405b": dict(
    _LLAMA3,
    dim=16_384,
    n_layers=126,
    n_heads=128,
    ffn_dim_multiplier=1.2,
    multiple_of=4096,
  ),
  "llama3_2_1b": _3_2_1B,
  "llama3_2_3b": dict(
    _3_2_1B, dim=3072, n_layers=28, n_heads=24, ffn_dim_multiplier=1.0
  ),
}


def _describe(raw, **given):
  given = {"vocab_size": 100, "mlp_width": 64, "has_head": True} | given
  return meta_params.describe(raw, path=_PATH, **given)


@pytest.mark.parametrize("name", _PUBLISHED)
def test_a_release_is_recognised_by_its_shape(name):
  known = PRESETS[name]
  found = _describe(
    _PUBLISHED[name], vocab_size=known.vocab_size, mlp_width=known.mlp_width
  )
  assert found == (known, name)


def test_llama_3_3_is_taken_for_3_1_which_is_alike_in_everything():
  assert PRESETS["llama3_3_70b"] == PRESETS["llama3_1_70b"]
  raw = _PUBLISHED["llama3_1_70b"]
  sizes = {"vocab_size": 128_256, "mlp_width": 28_672}
  found = _describe(raw, release="llama3_3_70b", **sizes)
  assert found == (PRESETS["llama3_3_70b"], "llama3_3_70b")


def test_an_unknown_unscaled_shape_claims_no_context_beyond_any_release():
  config, release = _describe(_TINY)
  assert release is None
  assert (config.max_positions, config.rope_theta) == (2048, 10_000)
  assert (config.num_kv_heads, config.head_dim, config.mlp_width) == (4, 6, 64)
  assert not config.tie_embeddings and config.rope_scaling is None
  assert _describe(_TINY, max_positions=7)[0].max_positions == 7
  assert _describe(_TINY, has_head=False)[0].tie_embeddings


def test_scaled_rope_of_an_unknown_shape_is_refused_with_the_factors():
  raw = dict(_TINY, use_scaled_rope=True, rope_theta=500_000)
  with pytest.raises(ValueError, match=r"llama3_2_1b \(factor 32, 16 layers"):
    _describe(raw)
  config, release = _describe(raw, release="llama3_1_8b")
  assert release == "llama3_1_8b"
  assert config.rope_scaling == PRESETS["llama3_1_8b"].rope_scaling
  assert config.max_positions == 131_072 and not config.tie_embeddings
  tied = _describe(raw, release="llama3_2_1b", has_head=False).config
  assert tied.rope_scaling == PRESETS["llama3_2_1b"].rope_scaling
  assert tied.tie_embeddings
  with pytest.raises(ValueError, match=r"no tensor 'output\.weight'"):
    _describe(raw, release="llama3_1_8b", has_head=False)


def test_a_release_that_contradicts_the_file_is_refused():
  sizes = {"vocab_size": 128_256, "mlp_width": 8192}
  with pytest.raises(ValueError, match="has the shape of llama3_2_1b, not of"):
    _describe(_3_2_1B, release="llama3_1_8b", **sizes)
  with pytest.raises(ValueError, match="use_scaled_rope=True and"):
    _describe(_3_2_1B, release="llama3_8b", **sizes)
  with pytest.raises(ValueError, match="is not one of llama1_7b"):
    _describe(_TINY, release="llama4")


def test_the_norm_of_the_file_is_what_is_computed():
  # Early files of Llama 2 chat say 1e-6.
  raw = dict(_PUBLISHED["llama2_7b"], norm_eps=1e-6)
  sizes = {"vocab_size": 32_000, "mlp_width": 11_008}
  config = _describe(raw, release="llama2_7b", **sizes).config
  assert (config.norm_eps, config.max_positions) == (1e-6, 4096)


@pytest.mark.parametrize(
  "change,message",
  [
    ({"moe_args": {}}, r"fields \['moe_args'\] are not known"),
    ({"lora_args": {"rank": 16}}, "adapters"),
    ({"quantization_args": {"scheme": "int4"}}, "quantised"),
    ({"dim": "24"}, "dim='24' must be a whole number"),
    ({"n_heads": 5}, "dim=24 is no multiple of n_heads=5"),
    ({"n_heads": 0}, "n_heads=0 must be from 1"),
    ({"n_layers": 10**9}, "n_layers=1000000000 must be from 1 to 4096"),
    ({"n_kv_heads": 3}, "num_heads=4 must be a multiple"),
    ({"n_heads": 8}, "head_dim=3 must be even"),
    ({"norm_eps": 0}, "norm_eps=0.0 must be in"),
    ({"norm_eps": None}, "norm_eps=None must be a number"),
    ({"rope_theta": -1}, "rope_theta=-1.0 must be above 1"),
    ({"use_scaled_rope": 1}, "must be true or false"),
    ({"vocab_size": 99}, "vocab_size=99, and the embedding has 100 rows"),
    ({"multiple_of": 256}, "make the MLP 256 wide, and the tensors make it 64"),
    ({"multiple_of": 0}, "multiple_of=0 must be from 1"),
    ({"ffn_dim_multiplier": -1}, "ffn_dim_multiplier=-1.0 must be above 0"),
  ],
)
def test_what_cannot_be_computed_is_refused_by_name(change, message):
  with pytest.raises(ValueError, match=message):
    _describe(_TINY | change)


def test_settings_of_whoever_ran_it_change_nothing():
  raw = _TINY | {"max_batch_size": 8, "max_seq_len": 1, "lora_args": None}
  raw |= {"model_parallel_size": 2, "quantization_args": None}
  assert _describe(raw) == _describe(_TINY)


def test_the_file_is_read_strictly(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"params\.json does not exist"):
    meta_params.read(tmp_path)
  path = tmp_path / "params.json"
  path.write_text(json.dumps(_TINY))
  assert meta_params.read(tmp_path) == _TINY
  path.write_text('{"dim": 1, "dim": 2}')
  with pytest.raises(ValueError, match="stands twice"):
    meta_params.read(tmp_path)
