"""Any Python module or object in a process of its own, used as if it were here."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saranwrap._names import *  # noqa: F403  these are the names
    from saranwrap._names import __all__ as __all__
    from saranwrap._names import __version__ as __version__
else:
    # Out of the sight of type checkers, which would take any name for a good one.
    def __getattr__(name: str) -> object:
        """The names, as soon as somebody asks for one. A child asks for none, and would wait for what it does not use."""
        # What begins like this is a room, which the import system looks for here first.
        if name.startswith("_") and name not in {"__all__", "__version__"}:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "aio":
            from importlib import import_module

            return import_module("saranwrap.aio")
        from saranwrap import _names

        now = {*_names.__all__, "__all__"} - _names.LATER.keys()
        globals().update({known: getattr(_names, known) for known in now})
        if name in _names.LATER:
            globals()[name] = getattr(_names, name)
        try:
            return globals()[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})


# It would be a public name.
del TYPE_CHECKING
