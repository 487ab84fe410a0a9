"""Commands that only read: status, inspect."""

from __future__ import annotations

from c2s_data.cli.app import app, console, print_json, say
from c2s_data.cli.options import JsonOption, StoreArgument


@app.command()
def status(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Say what of a store is finished, failed, withdrawn or still to be built."""
    from c2s_data.store.begin import load_plan
    from c2s_data.store.commit import failure_lines, outcomes
    from c2s_data.store.generation import generations
    from c2s_data.store.lease import current
    from c2s_data.store.objects import open_objects
    from c2s_data.store.receipt import Receipt

    objects = open_objects(store)
    planned = load_plan(objects)
    found = outcomes(objects, planned)
    finished = [name for name, outcome in found.items() if isinstance(outcome, Receipt)]
    pending = [name for name, outcome in found.items() if outcome is None]
    failures = {
        name: outcome
        for name, outcome in found.items()
        if outcome is not None and not isinstance(outcome, Receipt)
    }
    withdrawn = {e.group: e.withdrawn for e in planned.entries if e.withdrawn is not None}
    numbers = [generation.number for generation in generations(objects)]
    _, holder = current(objects)
    busy = str(holder) if holder is not None and holder.in_force else None
    if as_json:
        print_json(
            {
                "store": objects.url,
                "preset": planned.config.preset,
                "generation": numbers[0] if numbers else 0,
                "generations": numbers,
                "held_by": busy,
                "finished": finished,
                "pending": pending,
                "failed": {name: vars(failure) for name, failure in failures.items()},
                "withdrawn": {name: vars(why) for name, why in withdrawn.items()},
            }
        )
        return
    state = f"generation {numbers[0]} is committed" if numbers else "not committed"
    say(
        f"{objects.url}: {state}; {len(finished)} finished, {len(pending)} to be built, "
        f"{len(failures)} failed, {len(withdrawn)} withdrawn"
    )
    if len(numbers) > 1:
        say(f"earlier generations that can be opened: {', '.join(map(str, numbers[1:]))}")
    if busy:
        say(f"held by {busy}")
    if failures:
        say(failure_lines(failures))


@app.command()
def inspect(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Show what a store holds: options, maps, labels, warnings; also before it is committed."""
    from c2s_data.errors import NotCommittedError
    from c2s_data.inspect import print_store, store_summary, unfinished_summary
    from c2s_data.store.begin import load_plan
    from c2s_data.store.objects import open_objects
    from c2s_data.store.reader import open_store

    try:
        summary = store_summary(open_store(store))
    except NotCommittedError:
        objects = open_objects(store)
        summary = unfinished_summary(objects, load_plan(objects))
    if as_json:
        print_json(summary)
    else:
        print_store(console(), summary)
