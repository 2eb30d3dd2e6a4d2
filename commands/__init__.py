import common  # noqa: F401  so that a Python that is too old gets its line
