"""Record what the target reports: the calls of its progress callback, and its log records at every level."""

from __future__ import annotations

import functools
import logging
import re
from typing import Any, Callable

from .exceptions import described
from .recorder import Recorder, plain

Listener = Callable[[str, "dict[str, Any]"], None]

_KEYED = re.compile(r"([A-Z0-9_]+):(.*)", re.DOTALL)


class Events:
    """Record progress events, and pass them to listeners: some facts on tiles are in no function's arguments or result."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.listeners: list[Listener] = []

    def tee(self, callback: Callable[..., Any] | None) -> Callable[..., Any]:
        """Return a progress callback that records each call before it passes it on."""

        def teed(*args: Any, **kwargs: Any) -> Any:
            self.called(args, kwargs)
            return None if callback is None else callback(*args, **kwargs)

        return teed if callback is None else functools.wraps(callback)(teed)

    def queued(self, item: "tuple[Any, ...]") -> None:
        """Record a message of the entry point's queue: ``(key, progress, level, fields)``, of which the end may be missing."""
        fields = item[3] if len(item) > 3 and isinstance(item[3], dict) else {}
        self.called((item[0], None, item[2] if len(item) > 2 else "INFO"), dict(fields))

    def called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record one call of the progress callback. A call that the probe can't read is a recorded loss, not an error."""
        try:
            self._called(args, kwargs)
        except Exception as error:  # noqa: BLE001 -- the target must not see the probe's own fault
            self._recorder.problem(f"an event was lost ({error!r})")

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if len(args) == 3 and not kwargs and isinstance(args[0], str) and all(isinstance(a, int) for a in args[1:]):
            self._recorder.event("stage", args[0], f"{args[1]}/{args[2]}", "", {})
            return
        fields = {str(name): plain(value) for name, value in kwargs.items()}
        level = fields.pop("lvl", None) or fields.pop("level", None) or (args[2] if len(args) > 2 else "INFO")
        key, text = split(str(args[0]) if args else "")
        self._recorder.event("callback", key, text, str(level), fields)
        for listener in self.listeners:
            listener(key, fields)


def split(message: str) -> tuple[str, str]:
    """Split ``KEY:text`` into key and text. A message without such a key is returned as the key, with an empty text."""
    found = _KEYED.fullmatch(message)
    return (found[1], found[2]) if found else (message, "")


def install_log(recorder: Recorder) -> None:
    """Record once every log record that a logger passes to its handlers, and write the capability ``log``.

    ``Logger.callHandlers`` is wrapped instead of adding a handler. So no change of handlers, handler levels or propagation
    by the target can hide a record, and a target that configures logging only if there is no handler still does so.
    """
    original = logging.Logger.callHandlers

    @functools.wraps(original)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        try:
            fields = {"logger": record.name}
            if record.exc_info and record.exc_info[0] is not None:
                fields["exception"] = f"{record.exc_info[0].__name__}: {record.exc_info[1]}"[:500]
                if isinstance(record.exc_info[1], BaseException):
                    place = described(recorder, record.exc_info[1])
                    fields["at"] = f"{place['file']}:{place['line']}" if place["file"] else ""
            try:
                text = record.getMessage()
            except Exception as error:  # noqa: BLE001 -- arguments that don't fit their template: logging reports it too
                text = f"{record.msg} (not formatted: {error})"
            recorder.event("log", str(record.msg), text, record.levelname, fields)
        except Exception as error:  # noqa: BLE001 -- the target must not see the probe's own fault
            recorder.problem(f"a log record was lost ({error!r})")
        original(self, record)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]
    recorder.capability("log")
