"""What the child runs: it takes over the link that its parent left at fd 0, and serves until the parent is gone."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Callable

from saranwrap import _exceptions, _home
from saranwrap._native import Session


def main() -> None:
    """Serve the parent. Returns when the conversation has ended; then the interpreter ends as it always does."""
    session, (path, argv) = Session.adopt()
    sys.path[:] = path
    sys.argv[:] = argv
    faulthandler.enable(2, all_threads=True)
    _home.move_in(session)
    signal.signal(signal.SIGINT, _interrupt(session))
    # Code that looks who called it finds `__main__`, not this package.
    main_module = sys.modules["__main__"]
    main_module.__dict__.pop("main", None)
    exec(compile("serve()", _exceptions.BOTTOM, "exec"), {"serve": session.serve, "__name__": "__main__"})


def _interrupt(session: Session) -> Callable[[int, object], None]:
    def handler(_signum: int, _frame: object) -> None:
        """Ctrl-C reaches the whole process group; only a call that the parent gave up is to stop here."""
        if session.cancelled():
            raise KeyboardInterrupt

    return handler
