"""Everything the project exists for, measured against peers and physical limits in one run.

``python -m benchmarks.suite`` runs it, ``benchmarks/results.json`` keeps what it found, and
``docs/performance.md`` explains each row.
"""
