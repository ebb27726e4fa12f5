# SPDX-License-Identifier: Apache-2.0
"""The peer's side of `ramjax bench sample`: transformers' `generate`.

Batches are left-padded, and each runs until its longest answer is done, which
is what `generate` does. Prompts are sorted by length, so that padding is least;
how long an answer becomes is not known beforehand.
"""

# The peer's packages are an extra, which type checks run without.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import importlib.util
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ramjax.tools import bench_machine, bench_sample_queue, bench_training
from ramjax.tools.bench_cases import Report

_PACKAGES = ("torch", "transformers")
# The softmax itself: their default would keep 50 tokens.
_SETTINGS: Mapping[str, Any] = dict(
  do_sample=True, temperature=1.0, top_k=0, top_p=1.0
)


def require() -> None:
  """Checks that transformers is there, without importing it.

  Raises:
    ValueError: A package is missing; says how to install it.
  """
  missing = [
    name for name in _PACKAGES if importlib.util.find_spec(name) is None
  ]
  if missing:
    raise ValueError(
      f"--against=hf needs {', '.join(missing)}, which this Python does not"
      " have: pip install 'ramjax[peers]'"
    )


def main(argv: Sequence[str]) -> int:
  """Child process: measures the case in SPEC, into OUT."""
  spec_path, out_path = map(pathlib.Path, argv)
  spec = json.loads(spec_path.read_text())
  # Everything is local: nothing may be looked up or sent.
  os.environ["HF_HOME"] = spec["folder"]
  os.environ["HF_HUB_OFFLINE"] = "1"
  os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
  import torch
  from transformers import LlamaForCausalLM

  from ramjax.tools import bench_trl_inputs

  del LlamaForCausalLM  # Loads its modules when the name is asked for.
  import_bytes = bench_machine.peak_memory_bytes()
  model = bench_trl_inputs.make_model(spec).eval()
  # No answer ends before its length, on either side.
  model.generation_config.eos_token_id = None
  with torch.no_grad():
    report = _measure(model, spec)
  report["import_bytes"] = import_bytes
  out_path.write_text(json.dumps(report))
  return 0


def left_padded(
  prompts: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
  """Prompts as [B, T] int64, padded at their start, and the mask of them."""
  longest = max(map(len, prompts))
  tokens = np.full((len(prompts), longest), bench_training.PAD_ID, np.int64)
  mask = np.zeros_like(tokens)
  for i, prompt in enumerate(prompts):
    tokens[i, longest - len(prompt) :] = prompt
    mask[i, longest - len(prompt) :] = 1
  return tokens, mask


def batches(
  lengths: Sequence[int], limits: np.ndarray, size: int
) -> list[tuple[list[int], int]]:
  """Prompts that go together, by index, and how long each batch runs."""
  order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
  groups = [order[at : at + size] for at in range(0, len(order), size)]
  return [(group, int(limits[group].max())) for group in groups]


def _measure(model: Any, spec: Mapping[str, Any]) -> Report:
  import torch

  prompts, limits = bench_sample_queue.load(spec)
  plan = batches([len(p) for p in prompts], limits, spec["batch"])
  computed = np.concatenate([np.full(len(g), most) for g, most in plan])

  def generate(group: Sequence[int], most: int, **settings: Any) -> Any:
    tokens, mask = left_padded([prompts[i] for i in group])
    made = model.generate(
      torch.tensor(tokens),
      attention_mask=torch.tensor(mask),
      max_new_tokens=most,
      pad_token_id=bench_training.PAD_ID,
      **settings,
    )
    assert made.shape == (len(group), tokens.shape[1] + most)
    return made[:, tokens.shape[1] :]

  greedy = generate(
    range(spec["batch"]), bench_sample_queue.GREEDY_TOKENS, do_sample=False
  )

  def one_pass(seed: int) -> None:
    torch.manual_seed(seed)
    for group, most in plan:
      generate(group, most, **_SETTINGS)

  times = bench_sample_queue.timed(one_pass, spec)
  return dict(
    bench_sample_queue.report(times, limits, computed),
    greedy=greedy.tolist(),
    compile_s=None,
    peak_bytes=bench_machine.peak_memory_bytes(),
    device_peak_bytes=0,
    threads=torch.get_num_threads(),
    versions=bench_machine.versions(_PACKAGES),
  )


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
