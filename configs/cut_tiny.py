# SPDX-License-Identifier: Apache-2.0
"""CUT, LoRA (Xu et al., arXiv 2312.14591), tiny.

    ramjax train --config=configs/cut_tiny.py --workdir=runs/cut \
        --config.data.sources.main.path=judged.jsonl

A row: {"prompt": ..., "completion": ..., "judgement": ...}; the judgement is
null where the answer is fine. 20 updates from random weights, to see that it
runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  config = sizes.tiny(base.cut(cut=dict(weight=1.0, alpha=1.0, threshold=1.1)))
  config.data.sources.main = base.source("judged.jsonl", eval_rows=64)
  return config
