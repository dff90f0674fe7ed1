"""What the child runs: it takes over the link that its parent left at fd 0, and serves until the parent is gone."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Callable

from saranwrap import _exceptions, _home
from saranwrap._native import Session
from saranwrap.errors import SaranwrapError


def main() -> None:
    """Serve the parent. Returns when the conversation has ended; then the interpreter ends as it always does."""
    session, (path, argv, spin) = Session.adopt()
    if spin is not None:
        session.set_spin(spin)
    # The parent's comes first; what the environment gave to this process alone comes after it.
    own = [place for place in sys.path[1:] if place and place not in path]
    sys.path[:] = [*path, *own]
    sys.argv[:] = argv
    faulthandler.enable(2, all_threads=True)
    _home.move_in(session)
    signal.signal(signal.SIGINT, _interrupt(session))
    # Code that looks who called it finds `__main__`, not this package.
    main_module = sys.modules["__main__"]
    main_module.__dict__.pop("main", None)
    try:
        exec(compile("serve()", _exceptions.BOTTOM, "exec"), {"serve": session.serve, "__name__": "__main__"})
    except SaranwrapError:
        # The parent went without a word, as one does that is killed: there is nobody to tell, and nothing went wrong here.
        if session.alive:
            raise


def _interrupt(session: Session) -> Callable[[int, object], None]:
    def handler(_signum: int, _frame: object) -> None:
        """Ctrl-C reaches the whole process group; only a call that the parent gave up is to stop here."""
        if session.cancelled():
            raise KeyboardInterrupt

    return handler
