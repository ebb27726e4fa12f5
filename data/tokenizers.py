# SPDX-License-Identifier: Apache-2.0
"""Tokenizers behind one small interface: sentencepiece and tokenizer.json.

Three rules hold for both kinds. Text is only ever text: "</s>" typed by a user
never becomes the end-of-sequence token. Text that continues other text gets no
invented leading space. And a file from a stranger may do no more than a Llama
tokenizer does.
"""

import hashlib
import pathlib
import re
from collections.abc import Iterable

from ramjax.data import (
  tokenizer_backend,
  tokenizer_json,
  tokenizer_sentencepiece,
)
from ramjax.data.tokenizer_backend import Backend


class Tokenizer:
  """Text to token ids and back.

  Attributes:
    path: The file it was loaded from.
    digest: The SHA-256 of that file.
    vocab_size: One more than the largest id.
    bos_id: The id that starts a sequence; None where the tokenizer has none.
    eos_id: The id that ends a sequence; None where the tokenizer has none.
    specials: The ids of the special tokens, by the name that each has in text.
  """

  def __init__(self, path: pathlib.Path, digest: str, backend: Backend):
    self.path = path
    self.digest = digest
    self.vocab_size = backend.vocab_size
    self.specials = dict(backend.specials)
    self._special_ids = dict(backend.specials)
    if backend.bos:
      self._special_ids["bos"] = backend.specials[backend.bos]
    if backend.eos:
      self._special_ids["eos"] = backend.specials[backend.eos]
    self.bos_id = self._special_ids.get("bos")
    self.eos_id = self._special_ids.get("eos")
    self._backend = backend
    self._names = {id_: name for name, id_ in backend.specials.items()}
    self._parsed: re.Pattern[str] | None = None
    self._protect_specials()

  def _protect_specials(self) -> None:
    """Finds the specials that the library would parse out of text.

    `encode` breaks those up after their first character.
    """
    for attempt in (1, 2):
      parsed = [
        name
        for name, id_ in self._backend.specials.items()
        if id_ != self._backend.unk_id
        and id_ in self.encode(name, at_start=False)
      ]
      if not parsed:
        return
      if attempt == 1:
        # A lookahead, because one name may begin inside another.
        names = "|".join(map(re.escape, parsed))
        self._parsed = re.compile(f"(?={names})")
      else:
        raise ValueError(
          f"{self.path}: ordinary text {parsed[0]!r} becomes the special"
          " token of that name, and breaking the text up does not help. Use"
          " a tokenizer whose special tokens cannot be typed."
        )

  def encode(self, text: str, *, at_start: bool) -> list[int]:
    """Encodes text, adding no special token and parsing none.

    Args:
      text: Any text. A special token's name in it stays ordinary text.
      at_start: Whether a sequence starts here (right after BOS, or with no
        BOS at all), so that the space which some tokenizers put before the
        first word is due. Text that continues other text gets none.

    Returns:
      The ids; an empty list for empty text.
    """
    if not text:
      return []
    if at_start:
      text = self._backend.prefix.before(text)
    if self._parsed is None or not self._parsed.search(text):
      return self._backend.encode(text)
    ids, start = [], 0
    for match in self._parsed.finditer(text):
      ids += self._backend.encode(text[start : match.start() + 1])
      start = match.start() + 1
    return ids + self._backend.encode(text[start:])

  def special_id(self, name: str, *, template: str = "") -> int:
    """The id of a special token.

    Args:
      name: "bos", "eos", or the token as written ("<|eot_id|>").
      template: The chat template that needs it, for the error message.

    Returns:
      Its id.

    Raises:
      ValueError: The tokenizer has no such special token.
    """
    if name in self._special_ids:
      return self._special_ids[name]
    needed_by = f", which template={template!r} needs" if template else ""
    known = sorted(self._backend.specials)
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    raise ValueError(
      f"{self.path} has no special token {name!r}{needed_by}. Its special"
      f" tokens: {listed or 'none'}. Choose a template made of those, or the"
      " tokenizer that the template was published with."
    )

  def decode(self, ids: Iterable[int], *, keep_special: bool = False) -> str:
    """Decodes ids; the inverse of `encode` for text right after BOS or inside.

    Args:
      ids: Token ids, as a list or a [n] integer array.
      keep_special: Whether special tokens appear by name, or not at all.

    Returns:
      The text. The space that `encode` adds at a sequence's start is taken
      away again after BOS; incomplete UTF-8 becomes U+FFFD.

    Raises:
      ValueError: An id outside the vocabulary.
    """
    ids = [int(id_) for id_ in ids]
    if ids and not 0 <= min(ids) <= max(ids) < self.vocab_size:
      raise ValueError(
        f"ids range over {min(ids)}..{max(ids)}, but {self.path} has"
        f" vocab_size={self.vocab_size}: the model's padded rows were not"
        " masked when it was sampled, or this is another model's tokenizer."
      )
    parts, run, after_bos = [], [], False
    for id_ in [*ids, None]:
      if id_ is not None and id_ not in self._names:
        run.append(id_)
        continue
      text = self._backend.decode(run) if run else ""
      if after_bos and self._backend.prefix.text:
        text = text.removeprefix(" ")
      parts.append(text)
      if id_ is not None:
        parts.append(self._names[id_] if keep_special else "")
        after_bos, run = id_ == self.bos_id, []
    return "".join(parts)


def load_tokenizer(path: str | pathlib.Path) -> Tokenizer:
  """Loads a tokenizer.

  Args:
    path: A sentencepiece `.model`, an HF `tokenizer.json`, or a directory with
      a `tokenizer.json` or `tokenizer.model`.

  Returns:
    The tokenizer.

  Raises:
    FileNotFoundError: No such file, or a directory without one.
    ValueError: A file that is too large, damaged, or asks for a component
      outside the allow-list.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    candidates = [path / "tokenizer.json", path / "tokenizer.model"]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if not found:
      raise FileNotFoundError(
        f"tokenizer path={str(path)!r} is a directory with neither"
        " tokenizer.json nor tokenizer.model. Name the file itself."
      )
    path = found[0]
  if not path.is_file():
    raise FileNotFoundError(
      f"tokenizer path={str(path)!r} does not exist. Give a sentencepiece"
      " .model, a tokenizer.json, or a directory holding one; `ramjax"
      " tokenizer` trains one from a data set."
    )
  data = tokenizer_backend.read_capped(path)
  if path.suffix == ".json":
    backend = tokenizer_json.load(path, data)
  else:
    backend = tokenizer_sentencepiece.load(path, data)
  return Tokenizer(path, hashlib.sha256(data).hexdigest(), backend)
