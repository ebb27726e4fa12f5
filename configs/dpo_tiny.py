# SPDX-License-Identifier: Apache-2.0
"""DPO (Rafailov et al., arXiv 2305.18290) on generated pairs, at tiny size.

    ramjax train --config=configs/dpo_tiny.py --workdir=runs/dpo

Random weights: it shows that the machinery runs, in 1 minute on two CPU cores.
Add `--config.init.from_run=runs/quickstart` to start from a model that answers.
not yet run
"""

from ramjax.configs import base


def get_config():
  """DPO, beta 0.1."""
  config = base.preference(dpo=dict(weight=1.0, beta=0.1))
  config.data.sources.pairs = base.source("task_pairs:2000?seed=0", eval_rows=64)
  config.data.max_length = 128
  config.data.batch_size = 8
  config.model.preset = "tiny"
  config.optim.learning_rate = 1e-4
  config.optim.warmup_steps = 5
  config.run.total_steps = 20
  config.evals.every_steps = 10
  return config
