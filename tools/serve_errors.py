# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with a request, as OpenAI's clients expect to be told."""

from typing import Any

_TYPES = {
  401: "authentication_error",
  429: "rate_limit_error",
}


class ApiError(Exception):
  """An answer other than 200.

  Attributes:
    status: Of HTTP.
    message: For the client: what was given, what is allowed, what to do.
    param: The field of the request that it is about.
    code: A short name that programs look for.
  """

  def __init__(
    self,
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
  ):
    super().__init__(message)
    self.status = status
    self.message = message
    self.param = param
    self.code = code

  def as_json(self) -> dict[str, Any]:
    """The body of the answer."""
    fallback = "server_error" if self.status >= 500 else "invalid_request_error"
    return {
      "error": {
        "message": self.message,
        "type": _TYPES.get(self.status, fallback),
        "param": self.param,
        "code": self.code,
      }
    }


def invalid(param: str, message: str) -> ApiError:
  """A field that cannot be what it is."""
  return ApiError(400, message, param=param, code="invalid_value")


def too_long(message: str) -> ApiError:
  """A prompt that does not fit with what is asked of it."""
  return ApiError(
    400, message, param="max_tokens", code="context_length_exceeded"
  )
