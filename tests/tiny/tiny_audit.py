# SPDX-License-Identifier: Apache-2.0
"""Audited data out of a few rows, for the tests of audits."""

import types

from ramjax.data import (
  audit_data,
  group_rows,
  sources,
  tokenizers,
  train_tokenizer,
)
from ramjax.data.rows import ChatRow, Message, TextRow


def train(folder):
  """A tokenizer of 300 tokens, 260 of them specials and bytes."""
  path = folder / "tok.model"
  texts = [f"question {i} and answer {i * 7}, then more" for i in range(50)]
  train_tokenizer.train_sentencepiece(texts, path=path, vocab_size=300)
  return tokenizers.load_tokenizer(path)


def chat(prompt: str, answer: str) -> ChatRow:
  """One exchange."""
  return ChatRow((Message("user", prompt), Message("assistant", answer, True)))


def of_rows(
  rows,
  tokenizer,
  *,
  template="plain",
  max_length=1000,
  pack=True,
  held_out=(),
  quarantined=0,
):
  """Tokenises rows as a run does, and gives them to an audit."""
  loaded = run_data(
    rows,
    tokenizer,
    template=template,
    max_length=max_length,
    held_out=held_out,
    quarantined=quarantined,
  )
  return audit_data.of_run(
    loaded, template=template, max_length=max_length, pack=pack
  )


def run_data(
  rows, tokenizer, *, template, max_length, held_out=(), quarantined=0
):
  """What `load_data` of an algorithm would return."""
  tokenizing = dict(
    template=template, tokenizer=tokenizer, max_length=max_length, label=""
  )
  if isinstance(rows[0], ChatRow | TextRow):
    examples, counts = sources.tokenize_rows(rows, **tokenizing)
  else:
    examples, _, counts = group_rows.tokenize_group_rows(rows, **tokenizing)
  counts["rows_quarantined"] = quarantined
  counts["rows_read"] = len(rows) + len(held_out) + quarantined
  return types.SimpleNamespace(
    train=[examples],
    train_rows=[list(rows)],
    held_out_rows=list(held_out),
    tokenizer=tokenizer,
    summary={"main": counts},
  )


def with_examples(data, examples):
  """The same rows with other examples, as a faulty tokenisation would give."""
  (source,) = data.sources
  changed = audit_data.AuditedSource(
    source.name, source.rows, examples, source.counts, source.row_ids
  )
  return audit_data.AuditedData(
    sources=[changed],
    held_out_rows=data.held_out_rows,
    tokenizer=data.tokenizer,
    template=data.template,
    max_length=data.max_length,
    pack=data.pack,
  )


def only(found, name):
  """The finding of that name, and no other of it."""
  (finding,) = [f for f in found if f.name == name]
  return finding


def names(found):
  """What was found, by name."""
  return [finding.name for finding in found]
