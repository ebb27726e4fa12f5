# SPDX-License-Identifier: Apache-2.0
"""DNO, one round (Rosset et al., arXiv 2404.03715), Llama 3 8B.

    ramjax train --config=configs/dno_llama3_8b.py --workdir=runs/dno \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

A row: {"prompt": ..., "chosen": ..., "rejected": ..., "preference_prob": 0.8};
without the last it is DNO-Prct. The paper's numbers were not recovered: all of
them are assumed, as in `sizes.llama3_8b`. The answers are to be this model's
own samples. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  return sizes.llama3_8b(base.preference(dno=dict(weight=1.0, beta=0.1)))
