# SPDX-License-Identifier: Apache-2.0
"""The hinge of SLiC-HF, with a reference, Llama 3 8B.

Zhao et al., arXiv 2305.10425; RSO, arXiv 2309.06657.

    ramjax train --config=configs/slic_hinge_llama3_8b.py \
        --workdir=runs/slic_hinge \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

The papers tuned T5 with Adafactor (SLiC-HF: 1e-4 and 512 a batch), numbers
that do not carry over: all of them are assumed, as in `sizes.llama3_8b`. not
yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  return sizes.llama3_8b(base.preference(hinge=dict(weight=1.0, beta=0.1)))
