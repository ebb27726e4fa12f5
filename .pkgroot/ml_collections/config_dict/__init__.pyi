# SPDX-License-Identifier: Apache-2.0
from typing import Any

def placeholder(field_type: Any, required: bool = ...) -> Any: ...
