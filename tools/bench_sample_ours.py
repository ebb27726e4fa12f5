# SPDX-License-Identifier: Apache-2.0
"""Our side of `ramjax bench sample`, one case in one process."""

import functools
import json
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ramjax.models import llama, presets, sampler
from ramjax.models.config import LlamaConfig
from ramjax.models.sampler import Request
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import bench_calls, bench_machine, bench_sample_queue
from ramjax.tools.bench_cases import Report


def main(argv: Sequence[str]) -> int:
  """Child process: measures the case in SPEC, into OUT."""
  import_bytes = bench_machine.peak_memory_bytes()
  spec_path, out_path = map(pathlib.Path, argv)
  spec = json.loads(spec_path.read_text())
  if spec["kind"] == "peaks":
    out_path.write_text(json.dumps(bench_calls.find_peaks()._asdict()))
    return 0
  config = presets.llama_config(**spec["model"])
  params = _init_params(config)
  if spec["kind"] == "weights":
    _save_weights(params, pathlib.Path(spec["folder"]) / "weights.npz")
    out_path.write_text("{}")
    return 0
  report = _measure(params, config, spec)
  report["import_bytes"] = import_bytes
  out_path.write_text(json.dumps(report))
  return 0


@functools.partial(jax.jit, static_argnums=0)
def _init_params(config: LlamaConfig) -> llama.Params:
  """As a server has them: no float32 beside the dtype of the computation."""
  params = llama.init_params(config, jax.random.key(0))
  return jax.tree.map(lambda leaf: leaf.astype(config.dtype), params)


def _save_weights(params: llama.Params, path: pathlib.Path) -> None:
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  named = {
    jax.tree_util.keystr(key, simple=True, separator="/"): np.asarray(leaf)
    for key, leaf in leaves
  }
  np.savez(path, allow_pickle=False, **named)


def _measure(
  params: llama.Params, config: LlamaConfig, spec: Mapping[str, Any]
) -> Report:
  prompts, limits = bench_sample_queue.load(spec)
  greedy = SamplingOptions(
    temperature=0.0, max_tokens=bench_sample_queue.GREEDY_TOKENS
  )
  first = [Request(p, greedy) for p in prompts[: spec["batch"]]]
  agreed = sampler.sample(params, config, first)

  def one_pass(seed: int, num: int | None = None) -> None:
    requests = [
      Request(
        prompt,
        SamplingOptions(max_tokens=int(limit)),
        seed=seed * len(prompts) + i,
      )
      for i, (prompt, limit) in enumerate(zip(prompts, limits, strict=True))
    ]
    samples = sampler.sample(
      params, config, requests[:num], num_slots=spec["batch"]
    )
    assert [len(one.tokens) for one in samples] == limits[:num].tolist()

  start = time.perf_counter()
  one_pass(0, spec.get("warm"))
  first_s = time.perf_counter() - start
  times = bench_sample_queue.timed(one_pass, spec)
  return dict(
    bench_sample_queue.report(times, limits, limits),
    greedy=[one.tokens.tolist() for one in agreed],
    # Unknown where the first pass was over fewer prompts than the others.
    compile_s=None if "warm" in spec else first_s - float(np.median(times)),
    peak_bytes=bench_machine.peak_memory_bytes(),
    device_peak_bytes=bench_machine.device_peak_bytes(),
    threads=bench_machine.usable_cores(),
    versions=bench_machine.versions(("jax", "jaxlib", "flax")),
  )


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
