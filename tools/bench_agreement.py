# SPDX-License-Identifier: Apache-2.0
"""Do both sides of a benchmark compute the same? If not, no figure counts."""

import numpy as np

from ramjax.tools.bench_cases import Finding, Plan, Summaries

# Largest difference of the first loss on the same batch, by compute dtype.
LOSS_TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}


def require_same_tokens(plan: Plan, summaries: Summaries) -> None:
  """Checks that TRL has all our examples, and the same raw batch.

  Args:
    plan: Whose `facts["data"]` holds our counts.
    summaries: Of every case.

  Raises:
    ValueError: A count differs.
  """
  data = plan.facts["data"]
  expected = {
    name: data[name] for name in ("examples", "tokens", "supervised_tokens")
  }
  for report in summaries["trl default"]["rounds"]:
    if report["data"] != expected:
      raise ValueError(
        f"TRL prepared {report['data']} and we {expected}: the two sides do not"
        " train on the same tokens, so their speeds cannot be compared."
      )
  batches = {
    name: {count: value / summary["steps"] for count, value in counts.items()}
    for name, summary in summaries.items()
    if " raw" in name
    for counts in [summary["counts"]]
  }
  if any(counts != batches["ours raw"] for counts in batches.values()):
    raise ValueError(
      f"the raw batches differ: {batches}. A newer TRL may pad differently;"
      " compare with the version in requirements-peers.lock."
    )


def same_losses(plan: Plan, summaries: Summaries) -> Finding:
  """Compares the losses of the first raw steps, from the same weights.

  Args:
    plan: Whose `facts["model"]` holds the dtype, which sets the tolerance.
    summaries: Of every case.

  Returns:
    How far apart the losses are: the first, and after each update.

  Raises:
    ValueError: The first losses are further apart than the tolerance.
  """
  ours, trl = (
    np.asarray(
      [
        report["losses"]
        for name, summary in summaries.items()
        if name.startswith(side)
        for report in summary["rounds"]
      ]
    )
    for side in ("ours raw", "trl raw")
  )
  apart = np.abs(ours[:, None] - trl[None]).max(axis=(0, 1))
  tolerance = LOSS_TOLERANCE[plan.facts["model"]["dtype"]]
  if not apart[0] <= tolerance:
    raise ValueError(
      f"the first loss on the raw batch is {ours[0, 0]:.6f} for ours and"
      f" {trl[0, 0]:.6f} for TRL, further apart than {tolerance}: the two sides"
      " do not compute the same, so their speeds cannot be compared."
    )
  updates = len(apart) - 1
  return Finding(
    f"first loss on the raw batch: ours {ours[0, 0]:.6f}, TRL {trl[0, 0]:.6f},"
    f" apart by at most {apart[0]:.1e} (allowed {tolerance:.0e});"
    f" after {updates} updates by {apart[-1]:.1e}",
    dict(
      figure="loss",
      ours=ours[0].tolist(),
      trl=trl[0].tolist(),
      apart=apart.tolist(),
      tolerance=tolerance,
    ),
  )
