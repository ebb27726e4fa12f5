# SPDX-License-Identifier: Apache-2.0
"""What `ramjax convert verify` says: lines to read, and fields for JSON."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ramjax.evals.output_difference import LOGITS, OutputDifference
from ramjax.models.model_difference import ModelDifference
from ramjax.models.tensors import Source

# Lines of one kind on the terminal; all of them are in the JSON.
_MOST_LINES = 10


class Verdict(NamedTuple):
  """Whether two models are the same, and in which sense.

  Attributes:
    is_same: The exit status follows from it.
    sentence: Says why.
  """

  is_same: bool
  sentence: str


def verdict(
  weights: ModelDifference,
  outputs: OutputDifference | str,
  *,
  tolerance: float,
  sizes: tuple[int, int],
) -> Verdict:
  """Judges a comparison.

  Args:
    weights: What differs in the tensors.
    outputs: What differs in the outputs, or why they were not compared.
    tolerance: Largest |a - b| of outputs that count as the same.
    sizes: Of the vocabularies.
  """
  if weights.is_none:
    return Verdict(True, "every tensor is equal to the byte.")
  if isinstance(outputs, str):
    only_dtypes = not (
      weights.fields
      or weights.shapes
      or weights.only_first
      or weights.only_second
      or any(any(values) for values in weights.values.values())
    )
    what = "the bytes differ"
    if _equal_tensors(weights):
      what = (
        f"every tensor is equal, but the configs differ in {_fields(weights)}"
      )
    elif only_dtypes:
      what = "every value is equal, but stored in another dtype"
    return Verdict(False, f"{what}; outputs were not compared: {outputs}.")
  largest = _peak(outputs.largest)[0]
  # Not `>`: NaN is not within anything.
  within = largest <= tolerance
  positions = sum(map(len, outputs.largest))
  compared = f"{outputs.kind} at the {positions} positions compared"
  if sizes[0] != sizes[1]:
    compared += f", on the {outputs.num_outputs:,} ids that both models have,"
  if not within:
    return Verdict(
      False, f"{compared} differ by up to {largest:.3g} (over {tolerance:g})."
    )
  rest = "The bytes differ."
  if _equal_tensors(weights):
    rest = f"The tensors are equal, the configs differ in {_fields(weights)}."
  return Verdict(
    True,
    f"all {compared} are within {tolerance:g} (largest: {largest:.3g}). {rest}",
  )


def _equal_tensors(weights: ModelDifference) -> bool:
  return not (
    weights.shapes
    or weights.only_first
    or weights.only_second
    or weights.dtypes
    or weights.values
  )


def _fields(weights: ModelDifference) -> str:
  return ", ".join(weights.fields)


def lines(
  names: tuple[str, str],
  sources: tuple[Source, Source],
  weights: ModelDifference,
  outputs: OutputDifference | str,
  judged: Verdict,
) -> list[str]:
  """The comparison for a reader.

  Args:
    names: What the models are called.
    sources: Both models.
    weights: What differs in the tensors.
    outputs: What differs in the outputs, or why they were not compared.
    judged: From `verdict`.
  """
  shown = []
  models = zip("AB", names, sources, weights.digests, strict=True)
  for letter, name, source, digest in models:
    dtypes = sorted({spec.dtype for spec in source.specs.values()})
    shown.append(
      f"{letter}: {name}, {len(source.specs)} tensors of {', '.join(dtypes)},"
      f" {source.config.num_parameters:,} parameters"
    )
    shown.append(f"   sha256 {digest.total}")
  shown += ["", *_weight_lines(weights)]
  if isinstance(outputs, str):
    shown += ["", f"outputs: not compared: {outputs}"]
  else:
    sizes = tuple(source.config.vocab_size for source in sources)
    shown += ["", *_output_lines(outputs, sizes)]
  said = "SAME" if judged.is_same else "NOT THE SAME"
  return [*shown, "", f"{said}: {judged.sentence}"]


def _weight_lines(weights: ModelDifference) -> list[str]:
  fields = [
    f"  {name}: {ours} in A, {theirs} in B"
    for name, (ours, theirs) in weights.fields.items()
  ]
  first, second = weights.digests
  both = first.tensors.keys() & second.tensors.keys()
  equal = len(both) - len(weights.values) - len(weights.shapes)
  shown = [
    "config: " + ("differs in" if fields else "equal"),
    *fields,
    f"tensors: {len(both)} in both, of which {equal} equal to the byte",
  ]
  for letter, lone in (("A", weights.only_first), ("B", weights.only_second)):
    shown += _few([f"  {name}: in {letter} alone" for name in lone])
  shown += _few(
    [
      f"  {name}: {list(ours)} in A, {list(theirs)} in B"
      for name, (ours, theirs) in weights.shapes.items()
    ]
  )
  shown += [
    f"  {count} are {ours} in A and {theirs} in B"
    for (ours, theirs), count in Counter(weights.dtypes.values()).items()
  ]
  worst = sorted(weights.values.items(), key=lambda item: item[1])[::-1]
  if worst:
    width = max(len(name) for name, _ in worst[:_MOST_LINES])
    shown.append(f"  {'':<{width}}  max |a - b|  relative")
    shown += _few(
      [
        f"  {name:<{width}}  {values.absolute:>11.3g}  {values.relative:>8.2g}"
        for name, values in worst
      ]
    )
  return shown


def _few(listed: Sequence[str]) -> list[str]:
  more = len(listed) - _MOST_LINES
  tail = [f"  ... and {more} more (--json has all)"] if more > 0 else []
  return [*listed[:_MOST_LINES], *tail]


def _output_lines(
  outputs: OutputDifference, sizes: tuple[int, ...]
) -> list[str]:
  shown = [
    f"{outputs.kind}: {len(outputs.largest)} prompts,"
    f" {sum(map(len, outputs.largest))} positions, {outputs.num_outputs:,}"
    f" {'ids' if outputs.kind == LOGITS else 'labels'}, float32"
  ]
  if outputs.kind == LOGITS and sizes[0] != sizes[1]:
    shown.append(
      f"  the vocabularies have {sizes[0]:,} and {sizes[1]:,} ids: the"
      f" {outputs.num_outputs:,} that both have are compared, with"
      " probabilities among them alone"
    )
  measures = [(f"max |a - b| of {outputs.kind}", outputs.largest)]
  if outputs.kl:
    measures.insert(0, ("KL(A || B), nats", outputs.kl))
  width = max(len(name) for name, _ in measures)
  shown.append(f"  {'':<{width}}       mean      worst  at")
  for name, rows in measures:
    worst, prompt, position = _peak(rows)
    shown.append(
      f"  {name:<{width}}  {np.concatenate(rows).mean():>9.3g}"
      f"  {worst:>9.3g}  prompt {prompt}, position {position}"
    )
  return shown


def _peak(rows: Sequence[np.ndarray]) -> tuple[float, int, int]:
  """The largest of all values (NaN counts as such), its row and position."""
  # `argmax` takes the first NaN where there is one.
  flat = int(np.argmax(np.concatenate(rows)))
  for prompt, row in enumerate(rows):
    if flat < len(row):
      return float(row[flat]), prompt, flat
    flat -= len(row)
  raise AssertionError("argmax is outside of the rows")


def as_json(
  names: tuple[str, str],
  weights: ModelDifference,
  outputs: OutputDifference | str,
  judged: Verdict,
) -> dict[str, Any]:
  """The whole comparison, JSON-ready; arguments as of `lines`."""
  report: dict[str, Any] = {
    "models": names,
    "same": judged.is_same,
    "verdict": judged.sentence,
    "config": weights.fields,
    "only_in_first": weights.only_first,
    "only_in_second": weights.only_second,
    "shapes": weights.shapes,
    "dtypes": weights.dtypes,
    "values": {
      name: {"max_absolute": values.absolute, "max_relative": values.relative}
      for name, values in weights.values.items()
    },
    "sha256": [
      {"total": digest.total, "tensors": digest.tensors}
      for digest in weights.digests
    ],
  }
  if isinstance(outputs, str):
    report["outputs"] = {"not_compared": outputs}
  else:
    largest, prompt, position = _peak(outputs.largest)
    report["outputs"] = {
      "kind": outputs.kind,
      "num_outputs": outputs.num_outputs,
      "worst": {"max": largest, "prompt": prompt, "position": position},
      "mean_max": float(np.concatenate(outputs.largest).mean()),
      "max": [row.tolist() for row in outputs.largest],
      "kl_nats": [row.tolist() for row in outputs.kl],
    }
  return _without_nonfinite(report)


def _without_nonfinite(tree: Any) -> Any:
  """NaN and infinities as text, which JSON has no numbers for."""
  if isinstance(tree, Mapping):
    return {key: _without_nonfinite(value) for key, value in tree.items()}
  if isinstance(tree, list | tuple):
    return [_without_nonfinite(value) for value in tree]
  if isinstance(tree, float) and not math.isfinite(tree):
    return str(tree)
  return tree
