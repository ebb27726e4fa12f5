# SPDX-License-Identifier: Apache-2.0
"""f-DPO with the Jensen-Shannon divergence, Llama 3 8B.

Wang et al., arXiv 2309.16240.

    ramjax train --config=configs/f_dpo_llama3_8b.py --workdir=runs/f_dpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper, as recalled: beta 0.1. Its other numbers were not recovered. The
rest is assumed: as in `sizes.llama3_8b`. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  return sizes.llama3_8b(
    base.preference(dpo=dict(weight=1.0, beta=0.1, divergence="js"))
  )
