# SPDX-License-Identifier: Apache-2.0
"""DPO plus SFT, MPO without its third term, Llama 3 8B.

MPO, Wang et al., arXiv 2411.10442.

    ramjax train --config=configs/dpo_plus_nll_llama3_8b.py \
        --workdir=runs/dpo_plus_nll \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper: weights 0.8, 0.2 and 1 of DPO, BCO and SFT (TRL's documentation);
BCO learns from single answers, so its 0.2 is left out. Beta 0.1 is assumed.
The rest is assumed: as in `sizes.llama3_8b`. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  return sizes.llama3_8b(
    base.preference(dpo=dict(weight=0.8, beta=0.1), chosen_nll=dict(weight=1.0))
  )
