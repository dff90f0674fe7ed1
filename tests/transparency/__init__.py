"""CPython's own regression tests, run on proxies: how much of Python cannot tell the difference. `python -m tests.transparency`."""
