"""The differential suite: the same code on an object and on its proxy has the same outcome. `check` says how, `zoo` has the objects."""
