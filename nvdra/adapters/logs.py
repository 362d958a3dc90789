"""Log lines for a stranger at 3 a.m.: JSON or text, each with the key of the object that it is about."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

_FIELDS: Final = ("kind", "key", "source", "state", "because", "thing")


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _FIELDS if getattr(record, name, None) is not None}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextLines(logging.Formatter):
    """Time, level, message; the message begins with the key."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname).1s %(message)s", "%H:%M:%S")


def set_up(level: str = "info", *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("asyncio", "transitions", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
