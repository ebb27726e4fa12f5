# SPDX-License-Identifier: Apache-2.0
"""Digests of all that a checkpoint holds, as an item of the checkpoint itself.

They are asked for before Orbax copies the arrays to the host, and fetched (8
bytes an array) by the thread that writes: training never waits for them, and a
step appears with its digests or not at all.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import future

from ramjax.models import array_digest, saved_digests
from ramjax.trainers import processes

# By item, then by the name of a leaf.
Described = dict[str, dict[str, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Pending:
  """Digests that the devices still work on.

  Attributes:
    described: Dtype and shape of each leaf.
    started: What `array_digest.start` gave for each, by item and name.
  """

  described: Described
  started: dict[tuple[str, str], jax.Array]

  def fetch(self) -> Described:
    """Dtype, shape and sums of what this process holds; waits for these."""
    sums = array_digest.finish(list(self.started.values()))
    found = dict(zip(self.started, sums, strict=True))
    return {
      item: {
        name: {**leaf, "sums": list(found[item, name])}
        for name, leaf in leaves.items()
      }
      for item, leaves in self.described.items()
    }


def start(items: Mapping[str, Any]) -> Pending:
  """Queues the digest of every leaf on the devices that hold it.

  Args:
    items: Trees of arrays, by item.

  Returns:
    What to fetch them from. All processes call this, in the same order.
  """
  return Pending(
    described=describe(items),
    started={
      (item, name): array_digest.start(leaf)
      for item, tree in items.items()
      for name, leaf in _leaves(tree)
    },
  )


def of_all(items: Mapping[str, Any]) -> Described:
  """Dtype, shape and sums of each leaf over all processes; waits for them."""
  parts = processes.gather(start(items).fetch())
  return {
    item: {
      name: {
        **leaf,
        "sums": list(array_digest.add([p[item][name]["sums"] for p in parts])),
      }
      for name, leaf in leaves.items()
    }
    for item, leaves in parts[0].items()
  }


def describe(items: Mapping[str, Any]) -> Described:
  """Dtype and shape of each leaf; reads no array."""
  return {
    item: {
      name: {"dtype": str(leaf.dtype), "shape": list(leaf.shape)}
      for name, leaf in _leaves(tree)
    }
    for item, tree in items.items()
  }


def refuse_other(saved: Described, wanted: Described, *, where: str) -> None:
  """Raises if a sound checkpoint is of another state than the run's.

  Args:
    saved: From the record.
    wanted: Of the run's state.
    where: The checkpoint, for the message.

  Raises:
    ValueError: Names up to three leaves that differ.
  """
  differing = []
  for item, name in _names(saved, wanted):
    there, here = (
      _said(described.get(item, {}).get(name)) for described in (saved, wanted)
    )
    if there != here:
      differing.append(f"{item}/{name}: {there} there, {here} in this run")
  if differing:
    more = len(differing) - 3
    raise ValueError(
      f"{where} is sound, but of another model, optimizer or loss:\n  "
      + "\n  ".join(differing[:3])
      + (f"\n  and {more} more" if more > 0 else "")
      + "\nGo back to the config that it was trained with, or give another"
      " --workdir."
    )


def require_equal(saved: Described, found: Described) -> None:
  """Raises if an array is not the one that was saved.

  Raises:
    saved_digests.Damaged: Names up to three.
  """
  wrong = [
    f"{item}/{name}"
    for item, name in _names(saved, found)
    if saved[item][name]["sums"] != found[item][name]["sums"]
  ]
  if wrong:
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    raise saved_digests.Damaged(
      f"the digest of {', '.join(wrong[:3])}{more} is not the one saved"
    )


class _Handler(ocp.AsyncCheckpointHandler):
  """Writes the record when the devices have it."""

  async def async_save(
    self, directory: Any, args: "Save"
  ) -> list[future.Future]:
    async def write() -> None:
      self.save(directory, args)

    return [
      future.CommitFutureAwaitingContractedSignals(write(), name="digests")
    ]

  def save(self, directory: Any, args: "Save") -> None:
    record = {
      "step": args.step,
      "processes": jax.process_count(),
      "arrays": args.pending.fetch(),
      "texts": {
        item: saved_digests.text_digest(value)
        for item, value in args.texts.items()
      },
    }
    name = saved_digests.file_name(jax.process_index())
    (pathlib.Path(directory) / name).write_text(saved_digests.seal(record))

  def restore(self, directory: Any, args: "Restore") -> Any:
    return saved_digests.read(pathlib.Path(directory).parent)


@ocp.args.register_with_handler(_Handler, for_save=True)
@dataclasses.dataclass
class Save(ocp.args.CheckpointArgs):
  """Saves digests.

  Attributes:
    step: Of the checkpoint.
    pending: Of the arrays.
    texts: Values that JSON holds, by item, which are digested here.
  """

  step: int
  pending: Pending
  texts: Mapping[str, Any]


@ocp.args.register_with_handler(_Handler, for_restore=True)
@dataclasses.dataclass
class Restore(ocp.args.CheckpointArgs):
  """Reads the record; Orbax wants to know how before it lets one be saved."""


def _leaves(tree: Any) -> Iterator[tuple[str, Any]]:
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


def _names(one: Described, other: Described) -> list[tuple[str, str]]:
  pairs = {
    (item, name)
    for described in (one, other)
    for item, leaves in described.items()
    for name in leaves
  }
  return sorted(pairs)


def _said(leaf: Mapping[str, Any] | None) -> str:
  if leaf is None:
    return "absent"
  return f"{leaf['dtype']}{leaf['shape']}"
