"""resourceVersions and continue tokens, as clients send them."""

import base64

import msgspec

from nvdra.sim.apiserver.status import StatusError, bad_request


def version_number(text: str) -> int:
    """A resourceVersion as a number; 0 for none. 400 when it is not one."""
    if text and not text.isdigit():
        raise bad_request(f'Invalid value: "{text}": a resourceVersion is a number')
    return int(text or 0)


def too_large(asked: int, current: int) -> StatusError:
    """504: the client knows more than the server."""
    text = f"Timeout: Too large resource version: {asked}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return StatusError(504, "Timeout", text, {"causes": causes}, after=1)


def token(version: int, key: tuple[str, str]) -> str:
    """Where the next page begins, for the client to bring back."""
    return base64.urlsafe_b64encode(msgspec.json.encode((version, *key))).decode()


def read_token(text: str) -> tuple[int, tuple[str, str]]:
    """The version and the last key of the page before. 400 for what is not ours."""
    try:
        version, namespace, name = msgspec.json.decode(base64.urlsafe_b64decode(text), type=tuple[int, str, str])
    except (ValueError, msgspec.MsgspecError) as error:
        raise bad_request("continue key is not valid: it did not come from this server") from error
    return version, (namespace, name)
