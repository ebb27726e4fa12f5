# SPDX-License-Identifier: Apache-2.0
"""R-DPO (Park et al., arXiv 2403.19159), Llama 3 8B.

    ramjax train --config=configs/r_dpo_llama3_8b.py --workdir=runs/r_dpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

The paper's numbers were not recovered: beta 0.1 and penalty 0.05 are assumed,
in the range of SimPO's comparison (arXiv 2405.14734, as recalled). The rest is
assumed: as in `sizes.llama3_8b`. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  return sizes.llama3_8b(
    base.preference(r_dpo=dict(weight=1.0, beta=0.1, length_penalty=0.05))
  )
