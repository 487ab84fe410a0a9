"""The command that ends the demonstration with a backbone and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2s_data.outputs import local_place
from c2s_model.cli.app import app, say


@app.command()
def demo(
    out: Annotated[
        Path,
        typer.Argument(
            parser=local_place, metavar="OUT", help="Folder that `c2s-data demo` was given."
        ),
    ],
) -> None:
    """Trace a backbone through a simulated prediction of the demo's first map, and score it."""
    from c2s_model.demo import backbone_demo

    say(f"6. a backbone from a simulated prediction, in {out / 'backbone'}")
    done = backbone_demo(out, say)
    whole, placed = done.evaluation.comparison.whole, done.evaluation.placed[-1]
    say(f"7. c2s-model evaluate {out / 'inputs' / done.entry_id}.cif {done.model}")
    say(
        f"   matching {whole.found_percent:.1f} %, sequence match "
        f"{whole.sequence_match_percent:.1f} %, RMSD {whole.rmsd or float('nan'):.2f} A; C-alpha "
        f"F1 within {placed.radius_A:.0f} A {placed.match.f1:.3f}; "
        f"TM-score {done.evaluation.tm_map_frame:.3f}"
    )
    say(f"   drawn in {done.picture}")
