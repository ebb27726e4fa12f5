# SPDX-License-Identifier: Apache-2.0
"""Makes small safetensors files, and damages or forges their headers."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

from ramjax.tools import fuzz_cases
from ramjax.tools.fuzz_cases import Case

_SIZES = {"F32": 4, "BF16": 2, "F16": 2, "F64": 8, "I64": 8, "U8": 1, "BOOL": 1}
_OFFSETS = "data_offsets"


class Draft:
  """A file in its parts, so that each can be made wrong on its own.

  Attributes:
    entries: The header's members, in order.
    data: The tensors' bytes.
    length: What the first 8 bytes say; None for the truth.
    raw: The header as it is written; None for `entries` as JSON.
  """

  def __init__(self, rng: random.Random, names: list[str]):
    self.entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    self.data = b""
    self.length: int | None = None
    self.raw: bytes | None = None
    for name in names:
      code = rng.choice(list(_SIZES))
      shape = [rng.randint(1, 4) for _ in range(rng.randint(1, 3))]
      size = _SIZES[code]
      for length in shape:
        size *= length
      start = len(self.data)
      self.entries[name] = {
        "dtype": code,
        "shape": shape,
        _OFFSETS: [start, start + size],
      }
      # 0 and 1 are what a bool may hold.
      self.data += rng.randbytes(size) if code != "BOOL" else bytes(size)

  def names(self) -> list[str]:
    """The tensors."""
    return [name for name in self.entries if name != "__metadata__"]

  def to_bytes(self) -> bytes:
    """The file."""
    header = self.raw
    if header is None:
      header = json.dumps(self.entries).encode()
      header += b" " * (-len(header) % 8)
    length = len(header) if self.length is None else self.length
    return length.to_bytes(8, "little") + header + self.data


def _overlap(rng: random.Random, draft: Draft) -> None:
  last = draft.entries[draft.names()[-1]][_OFFSETS]
  back = rng.randint(1, last[0])
  last[0], last[1] = last[0] - back, last[1] - back
  draft.data = draft.data[:-back]


def _hole(rng: random.Random, draft: Draft) -> None:
  gap = rng.randint(1, 64)
  entry = draft.entries[rng.choice(draft.names())][_OFFSETS]
  at = entry[0]
  for name in draft.names():
    offsets = draft.entries[name][_OFFSETS]
    if offsets[0] >= at:
      draft.entries[name][_OFFSETS] = [offset + gap for offset in offsets]
  draft.data = draft.data[:at] + bytes(gap) + draft.data[at:]


def _trailing_bytes(rng: random.Random, draft: Draft) -> None:
  draft.data += rng.randbytes(rng.randint(1, 100))


def _missing_bytes(rng: random.Random, draft: Draft) -> None:
  draft.data = draft.data[: rng.randrange(len(draft.data))]


def _header_bomb(rng: random.Random, draft: Draft) -> None:
  draft.length = rng.choice((2**60, 2**63, 2**64 - 1, 2**32, 10**8, 2**23 + 1))


def _wrong_length(rng: random.Random, draft: Draft) -> None:
  draft.length = rng.choice((0, 1, 2, 8, rng.randrange(len(draft.to_bytes()))))
  if draft.length == len(draft.to_bytes()) - 8 - len(draft.data):
    draft.length += 1


def _many_tensors(rng: random.Random, draft: Draft) -> None:
  entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
  names = (f'"{i}":{entry}' for i in range(65_536 + rng.randint(3, 9)))
  draft.raw, draft.data = f"{{{','.join(names)}}}".encode(), b""


def _huge_metadata(rng: random.Random, draft: Draft) -> None:
  if rng.random() < 0.5:
    metadata = {"a": "x" * (2**23 + rng.randint(1, 99))}
  else:
    metadata = {f"k{i}": "v" * 20 for i in range(300_000)}
  draft.entries["__metadata__"] = metadata


def _much_metadata(rng: random.Random, draft: Draft) -> None:
  draft.entries["__metadata__"] = {
    f"k{i}": "é{[" * rng.randint(0, 9) for i in range(rng.randint(1, 3000))
  }


def _duplicate_key(rng: random.Random, draft: Draft) -> None:
  name = rng.choice(list(draft.entries))
  again = json.dumps({name: draft.entries[name]}).encode()[1:]
  draft.raw = json.dumps(draft.entries).encode()[:-1] + b"," + again


def _not_a_number(rng: random.Random, draft: Draft) -> None:
  entry = draft.entries[rng.choice(draft.names())]
  value = rng.choice((float("nan"), float("inf"), -float("inf")))
  rng.choice((entry["shape"], entry[_OFFSETS]))[0] = value


def _wrong_size(rng: random.Random, draft: Draft) -> None:
  entry = draft.entries[rng.choice(draft.names())]
  values = [-1, 0, 5, 2**31, 2**32, 2**62, 2**63, 2**64, 2**64 + 1, 10**30]
  values += [1.5, 1.0, True, False, "1", None, [1], {}]
  target = rng.choice((entry["shape"], entry[_OFFSETS]))
  at = rng.randrange(len(target))
  changed = [v for v in values if v is not target[at] and v != target[at]]
  target[at] = rng.choice(changed)


def _reversed_offsets(rng: random.Random, draft: Draft) -> None:
  draft.entries[rng.choice(draft.names())][_OFFSETS].reverse()


def _other_dtype(rng: random.Random, draft: Draft) -> None:
  codes = [*_SIZES, "F8_E4M3", "F4", "C64", "U16", "I32", "f32", "", "BF16\0"]
  draft.entries[rng.choice(draft.names())]["dtype"] = rng.choice(codes)


def _reshape(rng: random.Random, draft: Draft) -> None:
  shape = draft.entries[rng.choice(draft.names())]["shape"]
  rng.shuffle(shape)
  shape.insert(rng.randint(0, len(shape)), 1)


def _odd_name(rng: random.Random, draft: Draft) -> None:
  odd = ["../../etc/x", "/dev/zero", "", "a\nb", "\0", "\ud800", "é" * 256]
  odd += ["x" * 257, "\u202e", "__metadata__ ", "a" * 100_000]
  name = rng.choice(draft.names())
  draft.entries[rng.choice(odd)] = draft.entries.pop(name)


def _swap(rng: random.Random, draft: Draft) -> None:
  one, other = rng.sample(draft.names(), 2)
  first, second = draft.entries[one], draft.entries[other]
  first[_OFFSETS], second[_OFFSETS] = second[_OFFSETS], first[_OFFSETS]


def _deep(rng: random.Random, draft: Draft) -> None:
  depth = rng.choice((10, 500, 990, 5000, 100_000))
  value = b'{"a":' * depth + b"0" + b"}" * depth
  if rng.random() < 0.5:
    value = b"[" * depth + b"]" * depth
  draft.raw = b'{"__metadata__":{"a":' + value + b"}}"
  draft.data = b""


def _wrong_types(rng: random.Random, draft: Draft) -> None:
  fuzz_cases.damage_json(rng, draft.entries)


def _order(rng: random.Random, draft: Draft) -> None:
  entries = list(draft.entries.items())
  rng.shuffle(entries)
  draft.entries = dict(entries)


# Each with whether the file that it makes must be refused (True), must load
# (False), or may do either (None).
_MUTATIONS: tuple[
  tuple[Callable[[random.Random, Draft], None], bool | None], ...
]
_MUTATIONS = (
  (_overlap, True),
  (_hole, True),
  (_trailing_bytes, True),
  (_missing_bytes, True),
  (_header_bomb, True),
  (_wrong_length, True),
  (_duplicate_key, True),
  (_not_a_number, True),
  (_wrong_size, True),
  (_reversed_offsets, True),
  (_deep, True),
  (_reshape, False),
  (_order, False),
  (_much_metadata, False),
  (_other_dtype, None),
  (_odd_name, None),
  (_swap, None),
  (_wrong_types, None),
)
# They take megabytes, so they come less often.
_LARGE = (_many_tensors, _huge_metadata)


def make_case(rng: random.Random, folder: pathlib.Path) -> Case:
  """Writes a `model.safetensors` that is damaged in one way."""
  draft = Draft(rng, ["a.weight", "b.weight", "c"][: rng.randint(2, 3)])
  path = folder / "model.safetensors"
  if rng.random() < 0.3:
    data = fuzz_cases.flip_bytes(rng, draft.to_bytes())
    if rng.random() < 0.3:
      data = data[: rng.randrange(len(data))]
    path.write_bytes(data)
    return Case(folder, "flip_bytes")
  if rng.random() < 0.02:
    mutate, refuse = rng.choice(_LARGE), True
  else:
    mutate, refuse = rng.choice(_MUTATIONS)
  mutate(rng, draft)
  path.write_bytes(draft.to_bytes())
  return Case(
    folder, mutate.__name__[1:], refuse is True, must_load=refuse is False
  )
