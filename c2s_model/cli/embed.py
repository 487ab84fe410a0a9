"""The command that adds sequence embeddings to a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2s_data.cluster_options import (
    ClusterOption,
    InsecureOption,
    ReportOption,
    WorkersOption,
    asked_cluster,
    spread_over,
)
from c2s_data.errors import ConfigError
from c2s_data.staged import staged_input
from c2s_model.cli.app import JsonOption, app, print_json, say, tell_unless

if TYPE_CHECKING:
    from c2s_data.cluster.spec import ClusterSpec
    from c2s_model.embedding.embed import Embedded
    from c2s_model.embedding.embedders import Embedder


@app.command()
def embed(
    store: Annotated[str, typer.Argument(help="Path or URL of a committed store.")],
    esm: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Folder of ESM-2 weights as transformers saves them; never downloaded.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            parser=staged_input,
            metavar="PATH",
            help="Embeddings computed elsewhere: .npz with a vector for each entry_id.",
        ),
    ] = None,
    trigrams: Annotated[
        bool,
        typer.Option("--trigrams", help="Hashed residue triplets: for trials, needs no weights."),
    ] = False,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    insecure: InsecureOption = False,
    performance_report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed the sequences of every entry, for networks of a variant that ends in -seq.

    Each distinct sequence is embedded once; the result is a new generation of the store. The same
    command again embeds what joined the store since.
    """
    if (esm is not None) + (file is not None) + trigrams != 1:
        raise ConfigError(
            "say what embeds the sequences: --esm FOLDER (ESM-2), --file FILE.npz (computed "
            "elsewhere) or --trigrams (for trials)"
        )
    from c2s_data.store.objects import open_objects

    objects = open_objects(store)
    if file is not None:
        from c2s_model.embedding.embed import take_file

        done = take_file(objects, file)
    else:
        from c2s_model.embedding.embedders import Esm, Trigrams

        model = Esm(_absolute(esm)) if esm is not None else Trigrams()
        asked = asked_cluster(cluster, workers, insecure, performance_report)
        files = [] if esm is None else [_absolute(esm)]
        done = _computed(store, model, asked, insecure, performance_report, files, silent=as_json)
    if as_json:
        print_json(
            {
                "generation": done.generation,
                "new": list(done.new),
                "earlier": list(done.earlier),
                "without": dict(done.without),
            }
        )
        return
    say(
        f"{store}: generation {done.generation} has embeddings of "
        f"{len(done.new) + len(done.earlier)} entries, {len(done.new)} of them new"
    )
    for entry_id, why in done.without.items():
        say(f"{entry_id}: no embedding: {why}")


def _absolute(address: str) -> str:
    """Return an address that means the same on workers, wherever they started."""
    return address if "://" in address else str(Path(address).absolute())


def _computed(
    url: str,
    model: Embedder,
    cluster: ClusterSpec | None,
    insecure: bool,
    report: str | None,
    files: list[str],
    *,
    silent: bool,
) -> Embedded:
    from c2s_data.store.objects import open_objects
    from c2s_model.embedding.embed import embed_store

    def show(done: int, total: int) -> None:
        if not silent and (done == total or done % max(1, total // 20) == 0):
            say(f"{done} of {total} distinct sequences")

    objects = open_objects(url)
    from c2s_model.embedding.embed import one_after_another

    memory = 8 * 10**9  # ESM-2 650M takes 2.6 GB, attention over 2,750 residues as much again
    tell = tell_unless(silent)
    with spread_over(
        cluster, memory, insecure=insecure, report=report, files=files, tell=tell
    ) as spread:
        return embed_store(objects, model, spread=spread or one_after_another, on_sequence=show)
