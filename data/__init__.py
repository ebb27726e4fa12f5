# SPDX-License-Identifier: Apache-2.0
"""Rows, chat templates, tokenizers, packing and batches."""
