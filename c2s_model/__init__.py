"""The store becomes networks and backbone models."""
