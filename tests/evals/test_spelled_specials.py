# SPDX-License-Identifier: Apache-2.0
"""Special tokens in a text, by name, and nothing else taken for one."""

import json

import pytest

from ramjax.data import tokenizers
from ramjax.evals.spelled_specials import SpelledTokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  """Letters, "ab" in one, a space before a text, and names that begin alike."""
  path = tmp_path_factory.mktemp("letters") / "tokenizer.json"
  names = ["<unk>", "<s>", "</s>", "<|a|>", "<|a|><|b|>"]
  pieces = ["▁", "a", "b", "c", "<", "s", ">", "ab"]
  spec = {
    "added_tokens": [
      {
        "id": i,
        "content": name,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
      }
      for i, name in enumerate(names)
    ],
    "normalizer": {
      "type": "Sequence",
      "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
      ],
    },
    "decoder": {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    "model": {
      "type": "BPE",
      "unk_token": "<unk>",
      "vocab": {text: i for i, text in enumerate([*names, *pieces])},
      "merges": [["a", "b"]],
    },
  }
  path.write_text(json.dumps(spec))
  return tokenizers.load_tokenizer(path)


_S, _END, _LONG = 1, 2, 4
_SPACE, _A, _B, _C, _AB = 5, 6, 7, 8, 12


def test_a_name_is_its_token_and_no_other_token_crosses_it(tokenizer):
  spelled = SpelledTokenizer(tokenizer)
  assert spelled.encode("ab", at_start=False) == [_AB]
  assert spelled.encode("a</s>b", at_start=False) == [_A, _END, _B]
  assert spelled.encode("a</s>b", at_start=True) == [_SPACE, _A, _END, _B]
  assert spelled.encode("", at_start=True) == []
  # The tokenizer itself takes it for text.
  assert _END not in tokenizer.encode("a</s>b", at_start=False)


def test_after_bos_a_text_starts_and_after_others_it_goes_on(tokenizer):
  spelled = SpelledTokenizer(tokenizer)
  found = spelled.encode("c</s><s>ab</s>c", at_start=False)
  assert found == [_C, _END, _S, _SPACE, _AB, _END, _C]


def test_of_names_that_begin_alike_the_longest_counts(tokenizer):
  spelled = SpelledTokenizer(tokenizer)
  assert spelled.encode("<|a|><|b|>", at_start=False) == [_LONG]


def test_a_whole_text_has_bos_once(tokenizer):
  spelled = SpelledTokenizer(tokenizer)
  assert spelled.encode_whole("ab") == [_S, _SPACE, _AB]
  assert spelled.encode_whole("<s>ab") == [_S, _SPACE, _AB]
  assert spelled.encode_whole("") == [_S]
  assert spelled.without_bos("<s>ab") == "ab"
  assert spelled.without_bos("ab<s>") == "ab<s>"
  assert [spelled.name(id_) for id_ in (_S, _END, None)] == [
    "<s>",
    "</s>",
    None,
  ]


def test_without_bos_nothing_is_put_first(tokenizer, monkeypatch):
  monkeypatch.setattr(tokenizer, "bos_id", None)
  spelled = SpelledTokenizer(tokenizer)
  assert spelled.encode_whole("ab") == [_SPACE, _AB]
  assert spelled.without_bos("<s>ab") == "<s>ab"
