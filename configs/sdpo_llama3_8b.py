# SPDX-License-Identifier: Apache-2.0
"""sDPO, a chain of runs (Kim et al., arXiv 2403.19270), Llama 3 8B.

    ramjax train --config=configs/sdpo_llama3_8b.py --workdir=runs/sdpo1 \
        --config.data.sources.main.path=easy.jsonl
    ramjax train --config=configs/sdpo_llama3_8b.py --workdir=runs/sdpo2 \
        --config.init.from_hf= --config.init.from_run=runs/sdpo1 \
        --config.data.sources.main.path=hard.jsonl

The paper's numbers were not recovered: all of them are assumed, as in
`sizes.llama3_8b`, with half of the pairs a run. The paper puts the easy pairs
first. A run's reference is its own start: the model that the run before
aligned. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.preference(dpo=dict(weight=1.0, beta=0.1)))
  config.optim.warmup_steps = 24
  config.run.total_steps = 238
  return config
