# SPDX-License-Identifier: Apache-2.0
"""Conservative DPO, Llama 3 8B.

Mitchell, ericmitchell.ai/cdpo.pdf; DPO, arXiv 2305.18290.

    ramjax train --config=configs/cdpo_llama3_8b.py --workdir=runs/cdpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of DPO's paper: beta 0.1. The note has no experiment: a share of 0.1 swapped
labels is assumed. The rest is assumed: as in `sizes.llama3_8b`. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  return sizes.llama3_8b(
    base.preference(dpo=dict(weight=1.0, beta=0.1, label_smoothing=0.1))
  )
