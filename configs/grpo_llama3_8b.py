# SPDX-License-Identifier: Apache-2.0
"""GRPO on maths with a verifier (arXiv 2402.03300), Llama 3 8B.

    ramjax train --config=configs/grpo_llama3_8b.py --workdir=runs/grpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=gsm8k_train.jsonl

Rows are GSM8K's, `question` and `answer`; the last number of an answer is
compared with the one after ####. Of the paper: 1e-6, 64 answers a question, a KL
coefficient of 0.04, 1,024 questions a batch, 1,024 tokens. Assumed: 8 answers and
64 questions. not yet run
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """GRPO on GSM8K's questions."""
  return sizes.llama3_8b_online(
    policy_methods.grpo(number_match=dict(weight=1.0))
  )
