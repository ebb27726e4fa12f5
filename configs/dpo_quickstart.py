# SPDX-License-Identifier: Apache-2.0
"""DPO with the likelihood of the right answer, on the quickstart's tasks.

    ramjax train --config=configs/dpo_quickstart.py \
        --workdir=runs/quickstart-dpo

Starts from the model in `runs/quickstart`, which is also the reference. not yet
run

Without the likelihood (`--config.loss.terms.rpo.nll_weight=0.0`) made-up mistakes
teach so small a model to trust its own answers less: 40 updates at a learning rate
of 1e-4 took verified accuracy from 71 % to 66 %, while pairs told apart rose to
86 %.
"""

from ramjax.configs import base, sizes


def get_config():
  """RPO (arXiv 2404.19733): DPO at beta 0.1, plus the NLL of the chosen one."""
  config = base.preference(rpo=dict(weight=1.0, beta=0.1, nll_weight=1.0))
  return sizes.quickstart_stage(config)
