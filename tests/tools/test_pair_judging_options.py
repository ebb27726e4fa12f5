# SPDX-License-Identifier: Apache-2.0
"""Options of a judge: which of them are given, and which need one another."""

import argparse

import pytest

from ramjax.tools import pair_judging_options


def _parser(**options):
  parser = argparse.ArgumentParser(allow_abbrev=False)
  parser.add_argument("--out")
  pair_judging_options.add_options(parser, **options)
  return parser


def _recorded(*argv):
  parser = _parser(recorded="annotations.json", required=False)
  args = parser.parse_args(argv)
  pair_judging_options.check_recorded(args, parser, argv)
  return args


def test_every_option_of_a_judge_is_refused_where_none_is_asked(tmp_path):
  """All of the parser's, so that one that is added cannot be forgotten."""
  words = {
    "--prices": "1,2",
    "--judge-template": "plain",
    "--identifiers": "a,b",
    "--temperature": "0.5",
    "--max-invalid": "0.5",
    "--judge-dtype": "float32",
  }
  flags = ("--both-orders", "--judge-average")
  parser = _parser(recorded="annotations.json")
  told = parser.format_usage()
  names = {word.strip("[]|") for word in told.split() if "--" in word}
  names -= {"--out", "--judge", "-h"}
  assert len(names) == 22
  path = tmp_path / "annotations.json"
  path.write_text("[]")
  for name in names:
    argv = [name if name in flags else f"{name}={words.get(name, 3)}"]
    with pytest.raises(
      ValueError, match=rf"^{name}: .*annotations.json is a f"
    ):
      _recorded(f"--judge={path}", *argv)


def test_an_option_at_its_default_is_given_all_the_same(tmp_path):
  with pytest.raises(ValueError, match=r"^--canaries: .* there is no --judge"):
    _recorded("--canaries=5")
  with pytest.raises(ValueError, match=r"^--prompt, --seed: .* is not there"):
    _recorded(f"--judge={tmp_path / 'no'}", "--seed=0", "--prompt=p.txt")


def test_without_any_the_defaults_stand():
  args = _recorded("--judge=annotations.json", "--out=x")
  assert args.canaries == 5 and args.identifiers == ("m", "M")
  assert args.prompt is args.references is None


@pytest.mark.parametrize(
  "argv,match",
  [
    (["--out=x"], r"is a directory.* needs --prompt=FILE"),
    (["--prompt=p.txt"], r"is a directory.* needs --out=DIR, for"),
    (["--prompt=p.txt", "--out=x", "--samples=2"], "--samples=2 is for"),
  ],
)
def test_a_judge_that_is_asked_needs_a_prompt_and_what_else_there_is(
  tmp_path, argv, match
):
  parser = _parser(recorded="annotations.json")
  args = parser.parse_args([f"--judge={tmp_path}", *argv])
  assert pair_judging_options.is_asked(args.judge)
  with pytest.raises(ValueError, match=match):
    pair_judging_options.check_asked(args, out="DIR, for verdicts")


def test_an_endpoint_is_asked_and_a_file_is_not(tmp_path):
  path = tmp_path / "annotations.json"
  path.write_text("[]")
  assert pair_judging_options.is_asked("https://example.com/v1")
  assert not pair_judging_options.is_asked(str(path))


@pytest.mark.parametrize(
  "argv,match",
  [
    (["--temperature=0.5"], r"^--temperature=0.5 is for --pattern"),
    (["--temperature=0"], r"^--temperature=0.0 is for --pattern"),
    (["--samples=1"], r"^--samples=1 is for --pattern"),
    (["--judge-max-tokens=9"], r"^--judge-max-tokens=9 is for --pattern"),
    (["--pattern=x", "--top-logprobs=20"], r"^--top-logprobs=20 is for --id"),
    (["--max-invalid=nan"], r"--max-invalid=nan must be a share"),
  ],
)
def test_an_option_of_the_other_way_to_read_is_refused(tmp_path, argv, match):
  args = _parser().parse_args([f"--judge={tmp_path}", "--prompt=p", *argv])
  with pytest.raises(ValueError, match=match):
    pair_judging_options.check(args)


def test_what_is_not_given_is_filled_in(tmp_path):
  args = _parser().parse_args([f"--judge={tmp_path}", "--prompt=p"])
  pair_judging_options.check(args)
  assert (args.samples, args.temperature, args.top_logprobs) == (1, 0.0, 5)
  args = _parser().parse_args(
    [f"--judge={tmp_path}", "--prompt=p", "--pattern=x", "--samples=3"]
  )
  pair_judging_options.check(args)
  assert (args.samples, args.temperature) == (3, 0.0)
