def boot():
    import os, sys
    place, size = sys.argv[1], int(sys.argv[2])
    del sys.argv[2:]
    source = b""
    while len(source) < size:
        # The parent has gone when there is no more.
        part = os.read(0, size - len(source)) or os._exit(0)
        source += part
    if place and sys.version_info >= (3, 11) and sys.implementation.name == "cpython":
        # The place may hold the packages of another interpreter, and stays no longer than this takes. `*` is none of its own.
        before = sys.path[:]
        sys.path[:] = before if place == "*" else [place] + before
        try:
            from saranwrap._child import main
        except ImportError:
            main = None
        sys.path[:] = before
        if main is not None:
            os.write(0, b"r")
            return main
        for name in [name for name in sys.modules if name.split(".")[0] == "saranwrap"]:
            del sys.modules[name]
    os.write(0, b"s")
    # Code that looks who called it finds `__main__`.
    space = {"__name__": "__main__"}
    exec(compile(source, "<saranwrap>", "exec"), space)
    return space["main"]


main = boot()
del boot
main()
