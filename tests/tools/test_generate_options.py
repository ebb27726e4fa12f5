# SPDX-License-Identifier: Apache-2.0
"""Options of `ramjax generate`: defaults, and what does not go together."""

import pytest

from ramjax.data import parse_prompts
from ramjax.tools import generate_options

_FILES = ["--prompts=p.jsonl", "--output=o.jsonl"]
_LOCAL = [*_FILES, "--model=m"]
_ENDPOINT = [*_FILES, "--endpoint=http://localhost", "--endpoint-model=m"]


def test_defaults_are_the_models_own_distribution():
  args = generate_options.parse(_LOCAL)
  assert (args.temperature, args.top_p, args.top_k, args.min_p) == (1, 1, 0, 0)
  assert (args.repetition_penalty, args.samples, args.seed) == (1, 1, 0)
  assert (args.stop, args.slots, args.max_tokens) == ([], 64, 256)
  args = generate_options.parse(_ENDPOINT)
  assert (args.concurrency, args.timeout, args.cache) == (16, 600, None)


@pytest.mark.parametrize(
  "argv,problem",
  [
    (_FILES, "one of the arguments --model --endpoint is required"),
    ([*_LOCAL, *_ENDPOINT], "not allowed with argument"),
    (_ENDPOINT[:-1], "--endpoint needs --endpoint-model"),
    ([*_ENDPOINT, "--template=plain"], "--template goes with --model"),
    ([*_ENDPOINT, "--step=0"], "--step goes with --model"),
    ([*_ENDPOINT, "--average"], "--average goes with --model"),
    ([*_ENDPOINT, "--dtype=float32"], "--dtype goes with --model"),
    ([*_ENDPOINT, "--slots=2"], "--slots goes with --model"),
    ([*_LOCAL, "--endpoint-model=m"], "--endpoint-model goes with --endpoint"),
    ([*_LOCAL, "--api-key-env=K"], "--api-key-env goes with --endpoint"),
    ([*_LOCAL, "--concurrency=2"], "--concurrency goes with --endpoint"),
    ([*_LOCAL, "--timeout=2"], "--timeout goes with --endpoint"),
    ([*_LOCAL, "--no-logprobs"], "--no-logprobs goes with --endpoint"),
    ([*_LOCAL, "--cache=c"], "--cache goes with --endpoint"),
    ([*_LOCAL, "--output=o.txt"], "must end in .jsonl"),
    ([*_LOCAL, "--stop="], "would end every answer"),
    ([*_LOCAL, "--samples=0"], "no whole number above 0"),
    ([*_LOCAL, "--limit=many"], "no whole number above 0"),
    ([*_LOCAL, "--temperature=hot"], "invalid float"),
    ([*_LOCAL, "--template=mine"], "invalid choice"),
  ],
)
def test_what_does_not_fit_is_refused(argv, problem, capsys):
  with pytest.raises(SystemExit, match="2"):
    generate_options.parse(argv)
  assert problem in capsys.readouterr().err


def test_help_lists_the_formats_of_prompts(capsys):
  with pytest.raises(SystemExit, match="0"):
    generate_options.parse(["--help"])
  out = capsys.readouterr().out
  assert all(form in out for form in parse_prompts.PROMPT_FORMATS)
