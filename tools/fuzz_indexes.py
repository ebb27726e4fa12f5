# SPDX-License-Identifier: Apache-2.0
"""Makes small folders of shards, and damages or forges their indexes."""

import json
import os
import pathlib
import random
from collections.abc import Callable
from typing import Any

from ramjax.tools import fuzz_cases, fuzz_headers
from ramjax.tools.fuzz_cases import Case

_INDEX = "model.safetensors.index.json"


class Draft:
  """A folder of two or three shards and its index, not yet written down.

  Attributes:
    folder: The model's folder.
    index: The index, as a JSON value.
    raw: The index as it is written; None for `index` as JSON.
  """

  def __init__(self, rng: random.Random, folder: pathlib.Path):
    self.folder = folder
    num_shards = rng.randint(2, 3)
    weight_map = {}
    for number in range(1, num_shards + 1):
      shard = f"model-{number:05d}-of-{num_shards:05d}.safetensors"
      names = [f"{letter}{number}.weight" for letter in "abc"[: 1 + number]]
      draft = fuzz_headers.Draft(rng, names)
      (folder / shard).write_bytes(draft.to_bytes())
      weight_map |= dict.fromkeys(names, shard)
    self.index: Any = {
      "metadata": {"total_size": 1000},
      "weight_map": weight_map,
    }
    self.raw: bytes | None = None

  def shards(self) -> list[pathlib.Path]:
    """The shards' paths."""
    return sorted(self.folder.glob("*.safetensors"))

  def map(self) -> dict[str, Any]:
    """The index's weight_map."""
    return self.index["weight_map"]


def _move_out(rng: random.Random, draft: Draft) -> tuple[str, pathlib.Path]:
  """Moves a shard out of the folder; its old name and new path."""
  shard = rng.choice(draft.shards())
  outside = draft.folder.parent / "outside.safetensors"
  shard.rename(outside)
  return shard.name, outside


def _traversal(rng: random.Random, draft: Draft) -> None:
  shard, outside = _move_out(rng, draft)
  name = rng.choice(
    ("../outside.safetensors", str(outside), "./../outside.safetensors")
  )
  for tensor, mapped in draft.map().items():
    if mapped == shard:
      draft.map()[tensor] = name


def _symlink_out(rng: random.Random, draft: Draft) -> None:
  shard, outside = _move_out(rng, draft)
  target = rng.choice(("../outside.safetensors", str(outside)))
  (draft.folder / shard).symlink_to(target)


def _symlink_in(rng: random.Random, draft: Draft) -> None:
  shard = rng.choice(draft.shards())
  shard.rename(draft.folder / "kept")
  shard.symlink_to("kept")


def _symlink_loop(rng: random.Random, draft: Draft) -> None:
  shard = rng.choice(draft.shards())
  shard.unlink()
  shard.symlink_to(shard.name)


def _missing_shard(rng: random.Random, draft: Draft) -> None:
  rng.choice(draft.shards()).unlink()


def _swapped_shards(rng: random.Random, draft: Draft) -> None:
  one, other = rng.sample(draft.shards(), 2)
  first, second = one.read_bytes(), other.read_bytes()
  one.write_bytes(second)
  other.write_bytes(first)


def _same_shard_twice(rng: random.Random, draft: Draft) -> None:
  one, other = rng.sample(draft.shards(), 2)
  one.unlink()
  os.link(other, one)


def _missing_tensor(rng: random.Random, draft: Draft) -> None:
  draft.map()["z.weight"] = rng.choice(draft.shards()).name


def _unexpected_tensor(rng: random.Random, draft: Draft) -> None:
  del draft.map()[rng.choice(list(draft.map()))]


def _moved_tensor(rng: random.Random, draft: Draft) -> None:
  tensor = rng.choice(list(draft.map()))
  others = {shard.name for shard in draft.shards()} - {draft.map()[tensor]}
  draft.map()[tensor] = rng.choice(sorted(others))


def _single_too(rng: random.Random, draft: Draft) -> None:
  shard = rng.choice(draft.shards())
  (draft.folder / "model.safetensors").write_bytes(shard.read_bytes())


def _duplicate_key(rng: random.Random, draft: Draft) -> None:
  text = json.dumps(draft.index)
  tensor = rng.choice(list(draft.map()))
  draft.raw = text.replace(
    f'"{tensor}":', f'"{tensor}": "x.safetensors", "{tensor}":'
  ).encode()


def _not_a_number(rng: random.Random, draft: Draft) -> None:
  value = rng.choice((float("nan"), float("inf")))
  rng.choice((draft.map(), draft.index["metadata"]))["a"] = value


def _deep(rng: random.Random, draft: Draft) -> None:
  depth = rng.choice((5000, 100_000))
  draft.raw = b'{"a":' + b"[" * depth + b"]" * depth + b',"weight_map":{}}'


def _many_shards(rng: random.Random, draft: Draft) -> None:
  for number in range(4096 + rng.randint(1, 9)):
    draft.map()[f"t{number}"] = f"{number}.safetensors"


def _huge(rng: random.Random, draft: Draft) -> None:
  path = draft.folder / _INDEX
  path.write_text(json.dumps(draft.index))
  os.truncate(path, rng.choice((2**24 + 1, 2**40)))


def _pipe(rng: random.Random, draft: Draft) -> None:
  path = rng.choice((*draft.shards(), draft.folder / _INDEX))
  path.unlink(missing_ok=True)
  os.mkfifo(path)


def _device(rng: random.Random, draft: Draft) -> None:
  path = rng.choice((*draft.shards(), draft.folder / _INDEX))
  path.unlink(missing_ok=True)
  path.symlink_to(rng.choice(("/dev/zero", "/dev/stdin", "/etc")))


def _folder(rng: random.Random, draft: Draft) -> None:
  path = rng.choice((*draft.shards(), draft.folder / _INDEX))
  path.unlink(missing_ok=True)
  path.mkdir()


def _pickled(rng: random.Random, draft: Draft) -> None:
  for shard in draft.shards():
    shard.rename(shard.with_suffix(rng.choice((".bin", ".pth"))))
  draft.folder.joinpath(_INDEX + ".old").touch()
  draft.raw = b""


def _damaged_shard(rng: random.Random, draft: Draft) -> None:
  shard = rng.choice(draft.shards())
  shard.write_bytes(fuzz_cases.flip_bytes(rng, shard.read_bytes()))


def _flip_bytes(rng: random.Random, draft: Draft) -> None:
  draft.raw = fuzz_cases.flip_bytes(rng, json.dumps(draft.index).encode())


def _truncated(rng: random.Random, draft: Draft) -> None:
  text = json.dumps(draft.index).encode()
  draft.raw = text[: rng.randrange(len(text))]


def _wrong_types(rng: random.Random, draft: Draft) -> None:
  fuzz_cases.damage_json(rng, draft.index)


def _none(rng: random.Random, draft: Draft) -> None:
  del rng, draft


def _hub_cache(rng: random.Random, draft: Draft) -> None:
  """The layout of every download; sometimes into another repository."""
  repository = draft.folder.parents[1]
  (repository / "blobs").mkdir()
  for shard in draft.shards():
    blob = f"{rng.getrandbits(160):040x}"
    shard.rename(repository / "blobs" / blob)
    shard.symlink_to(f"../../blobs/{blob}")


# Each with whether the folder that it makes must be refused (True), must load
# (False), or may do either (None).
_MUTATIONS: tuple[
  tuple[Callable[[random.Random, Draft], None], bool | None], ...
]
_MUTATIONS = (
  (_traversal, True),
  (_symlink_out, True),
  (_symlink_in, False),
  (_symlink_loop, True),
  (_hub_cache, False),
  (_missing_shard, True),
  (_swapped_shards, True),
  (_same_shard_twice, True),
  (_missing_tensor, True),
  (_unexpected_tensor, True),
  (_moved_tensor, True),
  (_single_too, True),
  (_duplicate_key, True),
  (_not_a_number, True),
  (_deep, True),
  (_many_shards, True),
  (_huge, True),
  (_pipe, True),
  (_device, True),
  (_folder, True),
  (_pickled, True),
  (_damaged_shard, None),
  (_flip_bytes, None),
  (_flip_bytes, None),
  (_truncated, True),
  (_wrong_types, None),
  (_wrong_types, None),
  (_none, False),
)


def make_case(rng: random.Random, folder: pathlib.Path) -> Case:
  """Writes a folder of shards that is damaged in one way."""
  mutate, refuse = rng.choice(_MUTATIONS)
  # As deep as in the hub's cache, whose layout only one of them needs.
  model = folder / "models--org--name" / "snapshots" / "0a1b"
  model.mkdir(parents=True)
  draft = Draft(rng, model)
  mutate(rng, draft)
  index = model / _INDEX
  raw = draft.raw
  if not os.path.lexists(index) and raw != b"":
    index.write_bytes(json.dumps(draft.index).encode() if raw is None else raw)
  return Case(
    model, mutate.__name__[1:], refuse is True, must_load=refuse is False
  )
