# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face `config.json` to a `LlamaConfig`, and back.

A field is read, required to have the one value we compute, or known to change
nothing in the forward pass. Any other field stops the conversion by name: a
field that is skipped in silence is a model that is computed wrongly.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from ramjax.models import (
  hf_rope,
  hf_sizes,
  json_fields,
  model_folder,
  strict_json,
)
from ramjax.models.config import LlamaConfig

FILE_NAME = "config.json"
_MAX_BYTES = 2**20
# Well above any Llama: a hostile file must not make us count to a billion.
_MAX_PARAMETERS = 2**43
_CLASS_NAMES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}
_CAUSAL, _CLASSIFIER = "ForCausalLM", "ForSequenceClassification"

# Fields that must have a value under which they do nothing.
_FIXED: Mapping[str, tuple[Any, ...]] = {
  "attention_bias": (False, None),
  "attention_dropout": (0.0, 0, None),
  "hidden_act": ("silu",),
  "mlp_bias": (False, None),
  "partial_rotary_factor": (1.0, 1, None),
  "quantization_config": (None,),
  "use_sliding_window": (False,),
}
_READ = {
  *hf_sizes.NAMES.values(),
  *("architectures", "model_type", "num_key_value_heads", "head_dim"),
  *("rope_theta", "rope_scaling", "rope_parameters", "rms_norm_eps"),
  *("tie_word_embeddings", "max_position_embeddings", "sliding_window"),
  *("id2label", "label2id", "num_labels", "layer_types", "max_window_layers"),
}
# No effect on the forward pass: ids, initialisation, training loss, storage,
# defaults of generation, and what libraries write about themselves.
_INERT = {
  *("_name_or_path", "_attn_implementation_autoset", "transformers_version"),
  *("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"),
  *("initializer_range", "torch_dtype", "dtype", "use_cache"),
  *("pretraining_tp", "problem_type", "tokenizer_class", "return_dict"),
  *("output_attentions", "output_hidden_states", "max_sequence_length"),
  *("task_specific_params", "finetuning_task", "chunk_size_feed_forward"),
  *("is_decoder", "is_encoder_decoder", "add_cross_attention"),
  *("cross_attention_hidden_size", "tie_encoder_decoder", "pruned_heads"),
  *("prefix", "sep_token_id", "decoder_start_token_id", "torchscript"),
  *("use_bfloat16", "tf_legacy_loss", "keys_to_ignore_at_inference"),
}


def read(directory: pathlib.Path) -> dict[str, Any]:
  """The raw fields of a folder's `config.json`, strictly parsed.

  Raises:
    FileNotFoundError: No such file.
    ValueError: Not a JSON object, too large, or a link out of the folder.
  """
  path = model_folder.safe_file(directory, FILE_NAME)
  with model_folder.open_regular(path) as file:
    data = file.read(_MAX_BYTES + 1)
  if len(data) > _MAX_BYTES:
    raise ValueError(f"{path} is over {_MAX_BYTES:,} bytes: not a config.")
  return strict_json.parse_object(data, what=str(path))


def from_hf(raw: Mapping[str, Any], *, path: pathlib.Path) -> LlamaConfig:
  """The shape that a `config.json` describes.

  Args:
    raw: Its fields.
    path: The file, for messages.

  Returns:
    A config with the default `dtype`, `remat` and `attention`.

  Raises:
    ValueError: An architecture or a field that is not supported, by name, or a
      value of the wrong type.
  """
  family, is_classifier = _architecture(raw, path)
  unknown = sorted(set(raw) - _READ - _INERT - set(_FIXED))
  if unknown:
    raise ValueError(
      f"{path}: fields {json_fields.shown(unknown)} are not known here, and may"
      " change what the model computes. Take them out of the file if they do not."
    )
  for name, allowed in _FIXED.items():
    if name in raw and raw[name] not in allowed:
      raise ValueError(
        f"{path}: {name}={json_fields.shown(raw[name])} is not supported; only"
        f" {allowed[0]!r} is."
      )
  theta, scaling = hf_rope.read(raw, path)
  # What an absent field means in all three families.
  norm_eps = json_fields.number(raw, "rms_norm_eps", path, default=1e-6)
  if not 0 < norm_eps < 1:
    raise ValueError(f"{path}: rms_norm_eps={norm_eps} must be in (0, 1).")
  fields: dict[str, Any] = dict(
    **hf_sizes.read(raw, family, path),
    rope_theta=theta,
    rope_scaling=scaling,
    norm_eps=norm_eps,
    tie_embeddings=json_fields.boolean(raw, "tie_word_embeddings", path),
    qkv_bias=family == "qwen2",
    sliding_window=_window(raw, family, path),
    num_labels=_num_labels(raw, path) if is_classifier else 0,
  )
  try:
    config = LlamaConfig(**fields)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error
  if config.num_parameters > _MAX_PARAMETERS:
    raise ValueError(
      f"{path}: its sizes make a model of {config.num_parameters:,} parameters;"
      f" at most {_MAX_PARAMETERS:,} are read."
    )
  _check_layer_types(raw, config, path)
  return config


def to_hf(
  config: LlamaConfig, *, dtype: str, carried: Mapping[str, Any] | None = None
) -> dict[str, Any]:
  """The fields of a `config.json` for a model of this shape.

  Args:
    config: The shape.
    dtype: Of the stored weights.
    carried: The `config.json` that the weights came with. Its family and the
      fields that do not describe the shape (ids, labels) are kept.

  Returns:
    JSON-ready fields.

  Raises:
    ValueError: A shape that no supported family has.
  """
  family = _family_of(config, (carried or {}).get("model_type"))
  kept = {
    name: value
    for name, value in (carried or {}).items()
    if name in _INERT - {"dtype", "torch_dtype", "_name_or_path"}
    or name in _FIXED
  }
  kind = _CLASSIFIER if config.num_labels else _CAUSAL
  fields = {
    # Without them each release takes its own defaults: ids of another model's
    # tokenizer, at which generation would stop.
    **{"bos_token_id": None, "eos_token_id": None},
    **kept,
    "architectures": [_CLASS_NAMES[family] + kind],
    "model_type": family,
    **{
      theirs: getattr(config, ours) for ours, theirs in hf_sizes.NAMES.items()
    },
    "num_key_value_heads": config.num_kv_heads,
    "head_dim": config.head_dim,
    "max_position_embeddings": config.max_positions,
    "rms_norm_eps": config.norm_eps,
    **hf_rope.write(config),
    "tie_word_embeddings": config.tie_embeddings,
    "hidden_act": "silu",
    "torch_dtype": dtype,
  }
  if family != "llama":
    fields["sliding_window"] = config.sliding_window
  if family == "qwen2":
    fields["use_sliding_window"] = False
    fields["max_window_layers"] = config.num_layers
  if config.num_labels:
    labels = _labels((carried or {}).get("id2label"), config.num_labels)
    fields["id2label"] = {str(i): label for i, label in enumerate(labels)}
    fields["label2id"] = {label: i for i, label in enumerate(labels)}
  return fields


def _labels(carried: Any, num_labels: int) -> list[str]:
  """The names of the score head's outputs: those carried, if they fit."""
  if isinstance(carried, dict) and len(carried) == num_labels:
    given = [carried.get(str(i)) for i in range(num_labels)]
    names = [name for name in given if isinstance(name, str)]
    if len(names) == len(set(names)) == num_labels:
      return names
  return [f"LABEL_{i}" for i in range(num_labels)]


def _architecture(
  raw: Mapping[str, Any], path: pathlib.Path
) -> tuple[str, bool]:
  """The family, and whether the head is a classifier's."""
  allowed = {
    name + kind: (family, kind == _CLASSIFIER)
    for family, name in _CLASS_NAMES.items()
    for kind in (_CAUSAL, _CLASSIFIER)
  }
  if "auto_map" in raw:
    raise ValueError(
      f"{path}: auto_map names Python code that comes with the model. None is"
      f" ever run; the architectures read here are {', '.join(allowed)}."
    )
  given = raw.get("architectures")
  name = given[0] if isinstance(given, list) and len(given) == 1 else None
  if not isinstance(name, str) or name not in allowed:
    raise ValueError(
      f"{path}: architectures={json_fields.shown(given)} is not one of"
      f" {', '.join(allowed)}."
    )
  family, is_classifier = allowed[name]
  if raw.get("model_type") != family:
    raise ValueError(
      f"{path}: model_type={json_fields.shown(raw.get('model_type'))} does not"
      " go with"
      f" architectures={given!r}, whose model_type is {family!r}."
    )
  return family, is_classifier


def _family_of(config: LlamaConfig, carried: Any) -> str:
  if config.qkv_bias and config.sliding_window is not None:
    raise ValueError(
      "qkv_bias with sliding_window is neither a Llama, nor a Mistral, nor a"
      " Qwen2 without window: there is no architecture to export it as."
    )
  if config.qkv_bias:
    return "qwen2"
  if config.sliding_window is not None or carried == "mistral":
    return "mistral"
  return "llama"


def _window(
  raw: Mapping[str, Any], family: str, path: pathlib.Path
) -> int | None:
  if family != "mistral":
    # Qwen2 files carry a width that `use_sliding_window` (refused) turns on.
    if family == "llama" and raw.get("sliding_window") is not None:
      raise ValueError(f"{path}: sliding_window is no field of a Llama.")
    return None
  if "sliding_window" not in raw:
    return 4096  # What the field's absence means there.
  if raw["sliding_window"] is None:
    return None
  return json_fields.integer(raw, "sliding_window", path)


def _check_layer_types(
  raw: Mapping[str, Any], config: LlamaConfig, path: pathlib.Path
) -> None:
  given = raw.get("layer_types")
  if given is None:
    return
  windowed = config.sliding_window is not None
  expected = "sliding_attention" if windowed else "full_attention"
  if given != [expected] * config.num_layers:
    raise ValueError(
      f"{path}: layer_types must be {expected!r} in each of the"
      f" {config.num_layers} layers; mixed layers are not supported."
    )


def _num_labels(raw: Mapping[str, Any], path: pathlib.Path) -> int:
  labels = raw.get("id2label")
  if labels is not None and not isinstance(labels, dict):
    raise ValueError(
      f"{path}: id2label={json_fields.shown(labels)} must be an object."
    )
  if raw.get("num_labels") is None:
    # What the absence of both means there.
    return len(labels) if labels else 2
  given = json_fields.integer(raw, "num_labels", path)
  if not 1 <= given <= hf_sizes.MAX_SIZE or (labels and len(labels) != given):
    raise ValueError(
      f"{path}: num_labels={json_fields.shown(given)} must be from 1 to"
      f" {hf_sizes.MAX_SIZE}, and the number of entries of id2label where there are"
      " any."
    )
  return given
