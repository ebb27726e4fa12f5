# SPDX-License-Identifier: Apache-2.0
"""What the exit status of a run tells whoever started it."""

# All is done.
FINISHED = 0
# A mistake, or something that would happen again: look at the message.
FAILED = 1
# sysexits.h EX_TEMPFAIL: SIGTERM came, and a checkpoint was saved.
PREEMPTED = 75
# The watchdog ended a run in which nothing moved.
HUNG = 76
# A device or another process of the run was lost, or the disk did not answer.
LOST = 77

# The same command, started again, goes on from the last checkpoint.
WORTH_A_RESTART = (PREEMPTED, HUNG, LOST)
