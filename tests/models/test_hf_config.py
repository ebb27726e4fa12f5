# SPDX-License-Identifier: Apache-2.0
"""config.json: published files give the released shapes; the rest is refused.

The fields are those of the published files, typed by hand.
"""

import dataclasses
import json
import pathlib
from typing import Any

import pytest

from ramjax.models import hf_config, presets
from ramjax.models.config import LlamaConfig, RopeScaling

_PATH = pathlib.Path("models/theirs/config.json")

_LLAMA_1: dict[str, Any] = {
  "architectures": ["LlamaForCausalLM"],
  "bos_token_id": 1,
  "eos_token_id": 2,
  "hidden_act": "silu",
  "hidden_size": 4096,
  "initializer_range": 0.02,
  "intermediate_size": 11008,
  "max_position_embeddings": 2048,
  "max_sequence_length": 2048,
  "model_type": "llama",
  "num_attention_heads": 32,
  "num_hidden_layers": 32,
  "pad_token_id": 0,
  "rms_norm_eps": 1e-06,
  "tie_word_embeddings": False,
  "torch_dtype": "float16",
  "transformers_version": "4.28.0.dev0",
  "use_cache": True,
  "vocab_size": 32000,
}
_LLAMA_2_70B: dict[str, Any] = {
  "_name_or_path": "meta-llama/Llama-2-70b-hf",
  "architectures": ["LlamaForCausalLM"],
  "bos_token_id": 1,
  "eos_token_id": 2,
  "hidden_act": "silu",
  "hidden_size": 8192,
  "initializer_range": 0.02,
  "intermediate_size": 28672,
  "max_position_embeddings": 4096,
  "model_type": "llama",
  "num_attention_heads": 64,
  "num_hidden_layers": 80,
  "num_key_value_heads": 8,
  "pretraining_tp": 1,
  "rms_norm_eps": 1e-05,
  "rope_scaling": None,
  "tie_word_embeddings": False,
  "torch_dtype": "float16",
  "transformers_version": "4.32.0.dev0",
  "use_cache": True,
  "vocab_size": 32000,
}
_LLAMA_3: dict[str, Any] = {
  "architectures": ["LlamaForCausalLM"],
  "attention_bias": False,
  "attention_dropout": 0.0,
  "bos_token_id": 128000,
  "eos_token_id": 128001,
  "hidden_act": "silu",
  "hidden_size": 4096,
  "initializer_range": 0.02,
  "intermediate_size": 14336,
  "max_position_embeddings": 8192,
  "model_type": "llama",
  "num_attention_heads": 32,
  "num_hidden_layers": 32,
  "num_key_value_heads": 8,
  "pretraining_tp": 1,
  "rms_norm_eps": 1e-05,
  "rope_scaling": None,
  "rope_theta": 500000.0,
  "tie_word_embeddings": False,
  "torch_dtype": "bfloat16",
  "transformers_version": "4.40.0.dev0",
  "use_cache": True,
  "vocab_size": 128256,
}
_SCALING_3_1 = {
  "factor": 8.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 8192,
  "rope_type": "llama3",
}
_LLAMA_3_1 = _LLAMA_3 | {
  "eos_token_id": [128001, 128008, 128009],
  "max_position_embeddings": 131072,
  "mlp_bias": False,
  "rope_scaling": _SCALING_3_1,
  "transformers_version": "4.42.3",
}
_LLAMA_3_2 = _LLAMA_3_1 | {
  "head_dim": 64,
  "hidden_size": 2048,
  "intermediate_size": 8192,
  "num_hidden_layers": 16,
  "rope_scaling": _SCALING_3_1 | {"factor": 32.0},
  "tie_word_embeddings": True,
  "transformers_version": "4.45.0.dev0",
}
_LLAMA_3_3 = _LLAMA_3_1 | {
  "head_dim": 128,
  "hidden_size": 8192,
  "intermediate_size": 28672,
  "num_attention_heads": 64,
  "num_hidden_layers": 80,
  "transformers_version": "4.47.0.dev0",
}
_MISTRAL_1: dict[str, Any] = {
  "architectures": ["MistralForCausalLM"],
  "bos_token_id": 1,
  "eos_token_id": 2,
  "hidden_act": "silu",
  "hidden_size": 4096,
  "initializer_range": 0.02,
  "intermediate_size": 14336,
  "max_position_embeddings": 32768,
  "model_type": "mistral",
  "num_attention_heads": 32,
  "num_hidden_layers": 32,
  "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0,
  "sliding_window": 4096,
  "tie_word_embeddings": False,
  "torch_dtype": "bfloat16",
  "transformers_version": "4.34.0.dev0",
  "use_cache": True,
  "vocab_size": 32000,
}
_MISTRAL_2 = _MISTRAL_1 | {
  "attention_dropout": 0.0,
  "rope_theta": 1000000.0,
  "sliding_window": None,
}
_QWEN2: dict[str, Any] = {
  "architectures": ["Qwen2ForCausalLM"],
  "attention_dropout": 0.0,
  "bos_token_id": 151643,
  "eos_token_id": 151643,
  "hidden_act": "silu",
  "hidden_size": 896,
  "initializer_range": 0.02,
  "intermediate_size": 4864,
  "max_position_embeddings": 131072,
  "max_window_layers": 24,
  "model_type": "qwen2",
  "num_attention_heads": 14,
  "num_hidden_layers": 24,
  "num_key_value_heads": 2,
  "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0,
  "sliding_window": 131072,
  "tie_word_embeddings": True,
  "torch_dtype": "bfloat16",
  "transformers_version": "4.40.1",
  "use_cache": True,
  "use_sliding_window": False,
  "vocab_size": 151936,
}
_MISTRAL_7B = LlamaConfig(
  vocab_size=32_000,
  width=4096,
  mlp_width=14_336,
  num_layers=32,
  num_heads=32,
  num_kv_heads=8,
  head_dim=128,
  max_positions=32_768,
  sliding_window=4096,
)
_PUBLISHED: dict[str, tuple[dict[str, Any], LlamaConfig]] = {
  "llama1_7b": (_LLAMA_1, presets.PRESETS["llama1_7b"]),
  "llama2_70b": (_LLAMA_2_70B, presets.PRESETS["llama2_70b"]),
  "llama3_8b": (_LLAMA_3, presets.PRESETS["llama3_8b"]),
  "llama3_1_8b": (_LLAMA_3_1, presets.PRESETS["llama3_1_8b"]),
  "llama3_2_1b": (_LLAMA_3_2, presets.PRESETS["llama3_2_1b"]),
  "llama3_3_70b": (_LLAMA_3_3, presets.PRESETS["llama3_3_70b"]),
  "mistral_1": (_MISTRAL_1, _MISTRAL_7B),
  "mistral_2": (
    _MISTRAL_2,
    dataclasses.replace(_MISTRAL_7B, sliding_window=None, rope_theta=1e6),
  ),
  "qwen2_0_5b": (
    _QWEN2,
    LlamaConfig(
      vocab_size=151_936,
      width=896,
      mlp_width=4864,
      num_layers=24,
      num_heads=14,
      num_kv_heads=2,
      head_dim=64,
      rope_theta=1e6,
      norm_eps=1e-6,
      tie_embeddings=True,
      max_positions=131_072,
      qkv_bias=True,
    ),
  ),
}


def _from(raw, **changes):
  return hf_config.from_hf({**raw, **changes}, path=_PATH)


def _without(raw, *names):
  return {k: v for k, v in raw.items() if k not in names}


def _new_style(raw):
  """The same file as transformers 5 writes it."""
  scaling = raw.get("rope_scaling") or {"rope_type": "default"}
  rest = _without(raw, "rope_theta", "rope_scaling", "torch_dtype")
  theta = raw.get("rope_theta", 10_000.0)
  return rest | {
    "dtype": raw["torch_dtype"],
    "rope_parameters": {**scaling, "rope_theta": theta},
  }


@pytest.mark.parametrize("name", _PUBLISHED)
def test_published_file_gives_the_released_shape(name):
  raw, expected = _PUBLISHED[name]
  assert _from(raw) == expected


@pytest.mark.parametrize("name", _PUBLISHED)
def test_newer_spelling_gives_the_released_shape(name):
  raw, expected = _PUBLISHED[name]
  assert _from(_new_style(raw)) == expected


def test_back_and_forth_is_the_identity(shapes):
  for name, config in shapes.items():
    raw = hf_config.to_hf(config, dtype="bfloat16")
    # As the file has it.
    assert _from(json.loads(json.dumps(raw))) == config, name


@pytest.mark.parametrize("name", _PUBLISHED)
def test_what_came_with_the_weights_comes_back(name):
  raw, config = _PUBLISHED[name]
  written = hf_config.to_hf(config, dtype="float16", carried=raw)
  assert _from(written) == config
  for field in ("architectures", "model_type", "bos_token_id", "eos_token_id"):
    assert written[field] == raw[field]
  assert written["torch_dtype"] == "float16"
  assert "_name_or_path" not in written and "dtype" not in written


def test_no_token_ids_are_invented():
  written = hf_config.to_hf(_MISTRAL_7B, dtype="float32")
  assert written["bos_token_id"] is None and written["eos_token_id"] is None


@pytest.mark.parametrize(
  "field,raw,attribute,value",
  [
    ("num_key_value_heads", _LLAMA_3, "num_kv_heads", 32),
    ("head_dim", _LLAMA_3_2, "head_dim", 64),
    ("rms_norm_eps", _LLAMA_3, "norm_eps", 1e-6),
    ("rope_theta", _LLAMA_3, "rope_theta", 10_000.0),
    ("tie_word_embeddings", _QWEN2, "tie_embeddings", False),
    ("sliding_window", _MISTRAL_2, "sliding_window", 4096),
    ("use_sliding_window", _QWEN2, "sliding_window", None),
    ("max_position_embeddings", _LLAMA_3, "max_positions", 2048),
    ("max_position_embeddings", _MISTRAL_1, "max_positions", 131_072),
    ("max_position_embeddings", _QWEN2, "max_positions", 32_768),
    ("hidden_act", _LLAMA_3, "width", 4096),
  ],
)
def test_absent_field_gets_what_its_absence_means(field, raw, attribute, value):
  assert getattr(_from(_without(raw, field)), attribute) == value


@pytest.mark.parametrize("field", ["num_key_value_heads", "head_dim"])
def test_null_means_absent(field):
  assert _from(_LLAMA_3_2, **{field: None}) == _from(
    _without(_LLAMA_3_2, field)
  )


@pytest.mark.parametrize(
  "field",
  [
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "architectures", "model_type"),
  ],
)
def test_missing_field_is_refused_by_name(field):
  with pytest.raises(ValueError, match=rf"config\.json: .*{field}"):
    _from(_without(_LLAMA_3, field))


def test_grouped_heads_of_other_families_have_no_default():
  with pytest.raises(ValueError, match=r"num_key_value_heads=None .*missing"):
    _from(_without(_QWEN2, "num_key_value_heads"))


@pytest.mark.parametrize(
  "raw,changes",
  [
    (_LLAMA_3, {"qk_norm": True}),
    (_LLAMA_3, {"attention_bias": True}),
    (_LLAMA_3, {"mlp_bias": True}),
    (_LLAMA_3, {"attention_dropout": 0.1}),
    (_LLAMA_3, {"hidden_act": "gelu"}),
    (_LLAMA_3, {"partial_rotary_factor": 0.5}),
    (_LLAMA_3, {"quantization_config": {"quant_method": "gptq"}}),
    (_LLAMA_3, {"sliding_window": 4096}),
    (_LLAMA_3, {"auto_map": {"AutoModel": "modeling.Theirs"}}),
    (_LLAMA_3, {"architectures": ["LlamaForTokenClassification"]}),
    (_LLAMA_3, {"architectures": ["GemmaForCausalLM"]}),
    (_LLAMA_3, {"architectures": "LlamaForCausalLM"}),
    (_LLAMA_3, {"architectures": [["LlamaForCausalLM"]]}),
    (_LLAMA_3, {"architectures": []}),
    (_LLAMA_3, {"model_type": "mistral"}),
    (_QWEN2, {"use_sliding_window": True}),
    (_QWEN2, {"layer_types": ["full_attention"] * 23}),
    (_QWEN2, {"layer_types": ["full_attention", "sliding_attention"] * 12}),
    (_MISTRAL_1, {"layer_types": ["full_attention"] * 32}),
    (_MISTRAL_1, {"sliding_window": 0}),
    (_MISTRAL_1, {"sliding_window": True}),
    (_MISTRAL_1, {"sliding_window": "4096"}),
    (_LLAMA_3, {"hidden_size": 4096.0}),
    (_LLAMA_3, {"hidden_size": True}),
    (_LLAMA_3, {"hidden_size": "4096"}),
    (_LLAMA_3, {"hidden_size": 4097}),
    (_LLAMA_3, {"num_key_value_heads": 5}),
    (_LLAMA_3, {"num_key_value_heads": [8]}),
    (_LLAMA_3, {"head_dim": 127}),
    (_LLAMA_3, {"head_dim": False}),
    (_LLAMA_3, {"rms_norm_eps": "1e-5"}),
    (_LLAMA_3, {"rms_norm_eps": 0.0}),
    (_LLAMA_3, {"rms_norm_eps": -1e-5}),
    (_LLAMA_3, {"tie_word_embeddings": 1}),
    (_LLAMA_3, {"tie_word_embeddings": "false"}),
    (_LLAMA_3, {"max_position_embeddings": 8192.0}),
  ],
  ids=lambda x: str(next(iter(x.items()))) if len(x) == 1 else "",
)
def test_what_is_not_supported_is_refused_by_field_and_file(raw, changes):
  (field,) = changes
  with pytest.raises(ValueError, match=field) as caught:
    _from(raw, **changes)
  assert str(caught.value).startswith(f"{_PATH}: ")


@pytest.mark.parametrize("size", [0, -1, 2**60, 10**400])
@pytest.mark.parametrize(
  "field",
  [
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "head_dim"),
    "max_position_embeddings",
  ],
)
def test_absurd_size_is_refused_and_not_tried(field, size):
  with pytest.raises(ValueError, match=rf"config\.json: {field}="):
    _from(_LLAMA_3, **{field: size})


def test_sizes_that_are_absurd_together_are_refused():
  with pytest.raises(ValueError, match=r"config\.json: its sizes make"):
    _from(_LLAMA_3, vocab_size=2**22, hidden_size=2**22)


def test_message_stays_short_whatever_the_file_holds():
  for changes in (
    {f"field_{i}": 0 for i in range(1000)},
    {"hidden_act": "x" * 10_000},
    {"model_type": "x" * 10_000},
    {"architectures": ["x" * 10_000]},
    {"hidden_size": "x" * 10_000},
    {"tie_word_embeddings": "\u202e" * 10_000},
  ):
    with pytest.raises(ValueError) as caught:
      _from(_LLAMA_3, **changes)
    assert len(str(caught.value)) < 700 and str(caught.value).isascii()


_CLASSIFIER = _LLAMA_3_2 | {"architectures": ["LlamaForSequenceClassification"]}


@pytest.mark.parametrize(
  "changes,expected",
  [
    ({}, 2),
    ({"num_labels": 1}, 1),
    ({"id2label": {"0": "good"}}, 1),
    ({"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": 3}, 3),
  ],
)
def test_number_of_labels(changes, expected):
  assert _from(_CLASSIFIER, **changes).num_labels == expected
  # The labels of a language model mean nothing.
  assert _from(_LLAMA_3_2, **changes).num_labels == 0


@pytest.mark.parametrize(
  "changes",
  [
    {"num_labels": 0},
    {"num_labels": -1},
    {"num_labels": 2**60},
    {"num_labels": 2.0},
    {"num_labels": 3, "id2label": {"0": "a"}},
    {"id2label": ["a"]},
  ],
)
def test_labels_that_make_no_score_head_are_refused(changes):
  with pytest.raises(ValueError, match=rf"config\.json: {next(iter(changes))}"):
    _from(_CLASSIFIER, **changes)


def test_names_of_labels_are_kept():
  raw = _CLASSIFIER | {
    "id2label": {"0": "bad", "1": "good"},
    "label2id": {"bad": 0, "good": 1},
    "pad_token_id": 9,
  }
  written = hf_config.to_hf(_from(raw), dtype="float32", carried=raw)
  for field in ("id2label", "label2id", "pad_token_id", "architectures"):
    assert written[field] == raw[field]


@pytest.mark.parametrize(
  "labels", [{"a": "b"}, {"0": ["b"]}, {"0": None}, ["b"], None]
)
def test_labels_that_do_not_fit_are_numbered_anew(labels):
  config = dataclasses.replace(_MISTRAL_7B, num_labels=1)
  written = hf_config.to_hf(
    config, dtype="float32", carried={"id2label": labels}
  )
  assert written["id2label"] == {"0": "LABEL_0"}
  assert written["label2id"] == {"LABEL_0": 0}


def test_shape_without_a_family_is_not_written():
  config = dataclasses.replace(_MISTRAL_7B, qkv_bias=True)
  with pytest.raises(ValueError, match="qkv_bias with sliding_window"):
    hf_config.to_hf(config, dtype="float32")


def test_family_follows_the_shape_where_another_was_carried():
  carried = {"model_type": "mistral"}
  plain = dataclasses.replace(_MISTRAL_7B, sliding_window=None)
  biased = dataclasses.replace(plain, qkv_bias=True)
  for config, expected in ((plain, "mistral"), (biased, "qwen2")):
    written = hf_config.to_hf(config, dtype="float32", carried=carried)
    assert written["model_type"] == expected


def test_scaled_rope_comes_back():
  config = dataclasses.replace(
    _MISTRAL_7B, rope_scaling=RopeScaling("linear", 2.0)
  )
  assert _from(hf_config.to_hf(config, dtype="float32")) == config


def test_file_is_read_strictly(tmp_path):
  path = tmp_path / "config.json"
  with pytest.raises(FileNotFoundError, match=r"config\.json"):
    hf_config.read(tmp_path)
  path.write_text(json.dumps(_LLAMA_3))
  assert hf_config.read(tmp_path) == _LLAMA_3
  path.write_text('{"a": 1, "a": 2}')
  with pytest.raises(ValueError, match="stands twice"):
    hf_config.read(tmp_path)
  path.write_text("[]")
  with pytest.raises(ValueError, match="must be an object"):
    hf_config.read(tmp_path)
  path.write_text('{"a": "' + "x" * 2**20 + '"}')
  with pytest.raises(ValueError, match=r"over 1,048,576 bytes"):
    hf_config.read(tmp_path)


def test_link_out_of_the_folder_is_refused(tmp_path):
  outside = tmp_path / "secret.json"
  outside.write_text("{}")
  folder = tmp_path / "model"
  folder.mkdir()
  (folder / "config.json").symlink_to(outside)
  with pytest.raises(ValueError, match="outside its folder"):
    hf_config.read(folder)
