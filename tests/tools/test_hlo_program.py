# SPDX-License-Identifier: Apache-2.0
"""A program's text: what runs how often."""

import jax
import jax.numpy as jnp
import pytest

from ramjax.tools import hlo_program

# A loop of 6, in steps of 2, in one of 5; and one whose length is data.
_TEXT = """\
HloModule m

%inner_body (p.1: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p.1 = (s32[], f32[4]{0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%p.1), index=0
  %two = s32[] constant(2)
  %next.1 = s32[] add(%i.1, %two)
  %x.1 = f32[4]{0:T(128)} get-tuple-element(%p.1), index=1
  %deep = f32[4]{0:T(128)} negate(%x.1), metadata={op_name="a(b)"}
  ROOT %t.1 = (s32[], /*index=1*/f32[4]{0}) tuple(%next.1, %deep)
}

%inner_condition (p.2: (s32[], f32[4])) -> pred[] {
  %p.2 = (s32[], f32[4]{0}) parameter(0)
  %i.2 = s32[] get-tuple-element(%p.2), index=0
  %six = s32[] constant(6)
  ROOT %less.2 = pred[] compare(%i.2, %six), direction=LT
}

%body (p.3: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p.3 = (s32[], f32[4]{0}) parameter(0)
  ROOT %w.3 = (s32[], f32[4]{0}) while(%p.3), condition=%inner_condition, body=%inner_body
}

%condition (p.4: (s32[], f32[4])) -> pred[] {
  %p.4 = (s32[], f32[4]{0}) parameter(0)
  ROOT %never = pred[] constant(false)
}

%data_condition (p.5: (s32[], s32[])) -> pred[] {
  %p.5 = (s32[], s32[]) parameter(0)
  %i.5 = s32[] get-tuple-element(%p.5), index=0
  %n.5 = s32[] get-tuple-element(%p.5), index=1
  ROOT %less.5 = pred[] compare(%i.5, %n.5), direction=LT
}

%data_body (p.6: (s32[], s32[])) -> (s32[], s32[]) {
  %p.6 = (s32[], s32[]) parameter(0)
  ROOT %shallow = (s32[], s32[]) copy(%p.6)
}

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %added = f32[] add(%a, %b)
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %start = (s32[], f32[4]{0}) copy(%x)
  %w = (s32[], f32[4]{0}) while(%start), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %d = (s32[], s32[]) while(%start), condition=%data_condition, body=%data_body
  ROOT %r = f32[4]{0} all-reduce(%x), to_apply=%sum
}
"""


def _times(text):
  return {
    instruction.name: (times, known)
    for instruction, times, known in hlo_program.parse_program(text).runs()
  }


def test_a_body_runs_as_often_as_its_loops_let_it():
  times = _times(_TEXT)
  assert times["x"] == (1, True)
  assert times["w.3"] == (5, True)
  assert times["deep"] == (15, True)


def test_a_loop_over_data_counts_once_and_is_not_known():
  assert _times(_TEXT)["shallow"] == (1, False)


_FUSED = """\
HloModule m

%fused_add (p.0: s32[]) -> s32[] {
  %p.0 = s32[] parameter(0)
  %two = s32[] constant(2)
  ROOT %next = s32[] add(%p.0, %two)
}

%fused_compare (p.1: s32[]) -> pred[] {
  %p.1 = s32[] parameter(0)
  %fifteen = s32[] constant(15)
  ROOT %less = pred[] compare(%p.1, %fifteen), direction=LT
}

%body (p.2: (f32[4], s32[])) -> (f32[4], s32[]) {
  %p.2 = (f32[4]{0}, s32[]) parameter(0)
  %i.2 = s32[] get-tuple-element(%p.2), index=1
  %more = s32[] fusion(%i.2), kind=kLoop, calls=%fused_add
  %x.2 = f32[4]{0} get-tuple-element(%p.2), index=0
  ROOT %t.2 = (f32[4]{0}, s32[]) tuple(%x.2, %more)
}

%condition (p.3: (f32[4], s32[])) -> pred[] {
  %p.3 = (f32[4]{0}, s32[]) parameter(0)
  %i.3 = s32[] get-tuple-element(%p.3), index=1
  ROOT %is_less = pred[] fusion(%i.3), kind=kLoop, calls=%fused_compare
}

ENTRY %main (x: (f32[4], s32[])) -> (f32[4], s32[]) {
  %x = (f32[4]{0}, s32[]) parameter(0)
  ROOT %w = (f32[4]{0}, s32[]) while(%x), condition=%condition, body=%body
}
"""


def test_a_loop_whose_comparison_and_step_are_fused_is_known():
  # 0, 2, ... 14.
  assert _times(_FUSED)["x.2"] == (8, True)
  over_data = _FUSED.replace("constant(15)", "parameter(1)")
  over_data = over_data.replace("fusion(%i.3)", "fusion(%i.3, %i.3)")
  assert _times(over_data)["x.2"] == (1, False)


def test_a_loop_whose_first_turn_is_done_before_it_runs_once_less():
  peeled = _FUSED.replace(
    "ROOT %w = (f32[4]{0}, s32[]) while(%x)",
    "%one = s32[] constant(1)\n"
    "  %copied = s32[] copy(%one)\n"
    "  %given = (f32[4]{0}, s32[]) tuple(%x, %copied)\n"
    "  ROOT %w = (f32[4]{0}, s32[]) while(%given)",
  )
  # 1, 3, ... 13.
  assert _times(peeled)["x.2"] == (7, True)


def test_a_loop_that_starts_at_its_bound_does_not_run():
  done = _FUSED.replace(
    "ROOT %w = (f32[4]{0}, s32[]) while(%x)",
    "%all = s32[] constant(15)\n"
    "  %given = (f32[4]{0}, s32[]) tuple(%x, %all)\n"
    "  ROOT %w = (f32[4]{0}, s32[]) while(%given)",
  )
  assert _times(done)["x.2"] == (0, True)


def test_what_a_reduction_adds_with_is_not_run():
  assert "added" not in _times(_TEXT)


def test_shapes_with_parentheses_are_read():
  program = hlo_program.parse_program(_TEXT)
  deep = next(i for i in program.computations["inner_body"] if i.name == "deep")
  assert (deep.op, deep.shape) == ("negate", "f32[4]{0:T(128)}")
  assert deep.operands == ["x.1"]


def test_text_without_an_entry_is_refused():
  with pytest.raises(ValueError, match="no ENTRY computation"):
    hlo_program.parse_program("HloModule m\n")


def test_a_compiled_scan_counts_its_length():
  def f(x):
    return jax.lax.scan(lambda c, _: (jnp.sin(c) @ c, None), x, length=7)[0]

  x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
  text = jax.jit(f).lower(x).compile().as_text()
  matmuls = [
    (times, known)
    for instruction, times, known in hlo_program.parse_program(text).runs()
    if instruction.op == "dot" or "dot" in instruction.name
  ]
  assert (7, True) in matmuls
