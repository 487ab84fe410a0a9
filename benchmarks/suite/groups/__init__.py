"""Groups of rows. Each has a ``TITLE`` and ``rows(size, folder)``, and runs in its own process."""
