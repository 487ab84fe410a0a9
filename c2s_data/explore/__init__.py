"""Looking at what was built. Needs the extra ``explore`` (matplotlib)."""
