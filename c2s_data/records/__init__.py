"""The published data records: export of a store to their directory layout, and import of it."""
