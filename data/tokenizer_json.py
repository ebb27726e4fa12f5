# SPDX-License-Identifier: Apache-2.0
"""Reads an HF `tokenizer.json`, as Llama 3, Qwen2 and Mistral have.

The file is a small program (normaliser, pre-tokenizer, model, decoder), so it
is checked against what Llama tokenizers use before the library sees it: three
chained replacements are enough to make a one-letter text fill the memory.
"""

import json
import pathlib
from typing import Any

from ramjax.data.tokenizer_backend import (
  SPECIAL_SHAPE,
  Backend,
  Prefix,
  check_vocab_size,
  read_capped,
)

# What Llama models call the two, where nothing beside tokenizer.json says so.
_KNOWN_NAMES = {
  "bos_token": ("<|begin_of_text|>", "<s>", "<bos>"),
  "eos_token": ("<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>"),
}

# The regular expressions by which Llama 3 and Qwen2 split words; Qwen2 takes
# digits one by one. Others are refused: a hostile one can make the splitter
# backtrack until it panics.
_WORDS = tuple(
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
  + digits
  + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
  for digits in (r"\p{N}{1,3}", r"\p{N}")
)

# Component: (the key of its children in a Sequence, the types allowed).
_ALLOWED = {
  "normalizer": ("normalizers", ("NFC", "Prepend", "Replace")),
  "pre_tokenizer": (
    "pretokenizers",
    ("ByteLevel", "Digits", "Metaspace", "Split"),
  ),
  "decoder": (
    "decoders",
    ("ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Strip"),
  ),
}
_MAX_COMPONENTS = 16


def load(path: pathlib.Path, data: bytes) -> Backend:
  """Loads the bytes of a `tokenizer.json`.

  Args:
    path: Where they came from: for messages, and for the neighbouring
      `tokenizer_config.json` or `special_tokens_map.json`, which name BOS and
      EOS.
    data: The bytes.

  Returns:
    The tokenizer.

  Raises:
    ValueError: A damaged file, or one that asks for something not allowed.
  """
  import tokenizers

  spec = _parse(path, data)
  _check_model(path, spec)
  try:
    leaves = {role: _leaves(path, spec, role) for role in _ALLOWED}
    prefix = _take_prefixes(path, leaves)
  except RecursionError as error:
    raise ValueError(f"{path} nests its components too deeply.") from error
  for role, (children, _) in _ALLOWED.items():
    parts = leaves[role]
    spec[role] = {"type": "Sequence", children: parts} if parts else None
  # None of these may act on text that we encode piece by piece.
  spec.update(truncation=None, padding=None, post_processor=None)
  try:
    # Pyright takes the library for our module of the same name, next to it.
    tokenizer = tokenizers.Tokenizer.from_str(  # pyright: ignore
      json.dumps(spec)
    )
  except Exception as error:  # The library raises nothing more specific.
    raise ValueError(
      f"{path} is not a valid tokenizer.json: {error}"
    ) from error
  tokenizer.encode_special_tokens = True
  vocab_size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())
  check_vocab_size(path, vocab_size)

  added = {
    token.content: (id_, token.special)
    for id_, token in tokenizer.get_added_tokens_decoder().items()
  }
  names = {role: _token_name(path, role, added) for role in _KNOWN_NAMES}
  specials = {
    name: id_
    for name, (id_, special) in added.items()
    if special or SPECIAL_SHAPE.fullmatch(name) or name in names.values()
  }
  model = spec["model"]
  unk = model.get("unk_token")
  return Backend(
    encode=lambda text: _encode(path, tokenizer, text),
    decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=False),
    vocab_size=vocab_size,
    specials=specials,
    bos=names["bos_token"],
    eos=names["eos_token"],
    unk_id=tokenizer.token_to_id(unk) if unk else model.get("unk_id"),
    prefix=prefix,
  )


def _encode(path: pathlib.Path, tokenizer: Any, text: str) -> list[int]:
  try:
    return tokenizer.encode(text, add_special_tokens=False).ids
  except Exception as error:  # The library raises nothing more specific.
    raise ValueError(
      f"{path} cannot encode {text[:40]!a}: {error}. Its unknown token is"
      " missing or not in its vocabulary."
    ) from error


def _parse(path: pathlib.Path, data: bytes) -> dict[str, Any]:
  try:
    spec = json.loads(data)
  except (ValueError, RecursionError) as error:
    raise ValueError(f"{path} is not valid JSON: {error}") from error
  if not isinstance(spec, dict):
    raise ValueError(
      f"{path} holds a JSON {type(spec).__name__}, not an object."
    )
  return spec


def _check_model(path: pathlib.Path, spec: dict[str, Any]) -> None:
  """Checks the model's type and the size of its vocabulary."""
  model = spec.get("model")
  kind = model.get("type") if isinstance(model, dict) else None
  if not isinstance(model, dict) or kind not in ("BPE", "Unigram"):
    raise ValueError(
      f"{path} has a model of type={kind!r}; only 'BPE' and 'Unigram' are"
      " read, as Llama tokenizers are."
    )
  if model.get("dropout"):
    raise ValueError(
      f"{path} has dropout={model['dropout']!r}, so the same text would be"
      " encoded differently each time. Set it to null."
    )
  vocab, added = model.get("vocab"), spec.get("added_tokens") or []
  if not isinstance(vocab, dict if kind == "BPE" else list):
    raise ValueError(f"{path} has no vocabulary of the kind that {kind} needs.")
  if not isinstance(added, list) or not all(
    isinstance(token, dict) for token in added
  ):
    raise ValueError(f"{path}: added_tokens is not a list of objects.")
  ids = [token.get("id") for token in added]
  ids += vocab.values() if isinstance(vocab, dict) else [len(vocab) - 1]
  if not all(isinstance(id_, int) and id_ >= 0 for id_ in ids):
    raise ValueError(f"{path}: not every token's id is a whole number >= 0.")
  check_vocab_size(path, 1 + max(ids, default=-1))


def _leaves(
  path: pathlib.Path, spec: dict[str, Any], role: str
) -> list[dict[str, Any]]:
  """The components of one role, in order, with Sequences flattened."""
  children, allowed = _ALLOWED[role]

  def walk(node: Any) -> list[dict[str, Any]]:
    kind = node.get("type") if isinstance(node, dict) else None
    if kind == "Sequence" and isinstance(node.get(children), list):
      return [leaf for child in node[children] for leaf in walk(child)]
    if kind not in allowed:
      raise ValueError(
        f"{path}: its {role} has a component of type {kind!r}, which is"
        f" refused; allowed are Sequence, {', '.join(allowed)}."
      )
    _check_patterns(path, role, node)
    return [dict(node)]

  leaves = [] if spec.get(role) is None else walk(spec[role])
  if len(leaves) > _MAX_COMPONENTS:
    raise ValueError(
      f"{path}: its {role} has {len(leaves)} components; at most"
      f" {_MAX_COMPONENTS} are read."
    )
  return leaves


def _check_patterns(
  path: pathlib.Path, role: str, node: dict[str, Any]
) -> None:
  """Refuses text that grows, and unknown regular expressions."""
  if node["type"] not in ("Replace", "Split"):
    return
  pattern = node.get("pattern")
  pattern = pattern if isinstance(pattern, dict) else {}
  text, regex = pattern.get("String"), pattern.get("Regex")
  if node["type"] == "Split":
    if not isinstance(text, str) and regex not in _WORDS:
      raise ValueError(
        f"{path}: its {role} splits by the regular expression {regex!r},"
        " which is refused: only those of Llama 3 and Qwen2 are known to be"
        " harmless."
      )
  elif (
    not isinstance(text, str)
    or not isinstance(node.get("content"), str)
    or not 1 <= len(text) >= len(node["content"])
  ):
    raise ValueError(
      f"{path}: its {role} replaces {text or regex!r} by"
      f" {node.get('content')!r}, which is refused: the pattern must be"
      " plain text, and what replaces it must be no longer."
    )


def _take_prefixes(
  path: pathlib.Path, leaves: dict[str, list[dict[str, Any]]]
) -> Prefix:
  """Moves the space before the first word out of the components.

  The library would put it before every text, also one that continues another;
  `Tokenizer.encode` knows which is which. The decoders likewise stop taking a
  space from whatever text they are given first.
  """
  found: list[Prefix] = []
  for index, node in enumerate(leaves["normalizer"]):
    if node["type"] == "Prepend":
      if index or node.get("prepend") not in ("▁", " "):
        raise ValueError(
          f"{path}: its normalizer prepends {node.get('prepend')!r} in place"
          f" {index}, which is refused: only one '▁' or ' ', first of all."
        )
      found.append(Prefix(node["prepend"]))
  leaves["normalizer"] = [
    node for node in leaves["normalizer"] if node["type"] != "Prepend"
  ]
  for index, node in enumerate(leaves["pre_tokenizer"]):
    adds = False
    if node["type"] == "ByteLevel":
      adds = node.get("add_prefix_space", True)
      node["add_prefix_space"] = False
    elif node["type"] == "Metaspace":
      adds = _metaspace_adds(node)
    if adds and index:
      raise ValueError(
        f"{path}: {node['type']} adds a space before each piece that an"
        " earlier pre-tokenizer made, which is refused; it may only come"
        " first."
      )
    if adds:
      found.append(Prefix(" ", unless_spaced=True))
  if len(found) > 1:
    raise ValueError(
      f"{path} adds a space before the first word in {len(found)} places;"
      " only one is understood."
    )
  leaves["decoder"] = _patched_decoders(path, leaves["decoder"])
  return found[0] if found else Prefix()


def _metaspace_adds(node: dict[str, Any]) -> bool:
  """Whether a Metaspace adds a space before the first word; now it does not."""
  old = node.pop("add_prefix_space", True)  # Before tokenizers 0.15.
  scheme = node.get("prepend_scheme", "always" if old else "never")
  node["prepend_scheme"] = "never"
  return scheme != "never"


def _patched_decoders(
  path: pathlib.Path, decoders: list[dict[str, Any]]
) -> list[dict[str, Any]]:
  """The decoders, taking no space from the start of a text."""
  kept = []
  for node in decoders:
    if node["type"] == "Metaspace":
      _metaspace_adds(node)
    if node["type"] != "Strip":
      kept.append(node)
    elif (node.get("content"), node.get("stop")) != (" ", 0):
      raise ValueError(
        f"{path}: its decoder strips {node.get('content')!r}, which is"
        " refused; only spaces at the start are."
      )
  if not kept:
    raise ValueError(
      f"{path} has no decoder, so text could not be put together again."
    )
  return kept


def _token_name(
  path: pathlib.Path, role: str, added: dict[str, tuple[int, bool]]
) -> str | None:
  """The name of BOS or EOS: from the neighbouring files, else a known one."""
  for neighbour in ("tokenizer_config.json", "special_tokens_map.json"):
    config = path.with_name(neighbour)
    if not config.is_file():
      continue
    entries = _parse(config, read_capped(config))
    if role not in entries:
      continue
    name = entries[role]
    if isinstance(name, dict):
      name = name.get("content")
    if name is not None and (not isinstance(name, str) or name not in added):
      raise ValueError(
        f"{config} says {role}={name!r}, which is not among the added tokens"
        f" of {path.name}."
      )
    return name
  return next((name for name in _KNOWN_NAMES[role] if name in added), None)
