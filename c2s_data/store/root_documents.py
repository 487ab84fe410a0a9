"""The Zarr documents above the maps: the root, ``maps`` and ``subgrids`` with its arrays.

They follow from the plan alone. A commit writes them, so that no other program can open a store
that is not finished, and a store that grew shows all its rows.
"""

from __future__ import annotations

from typing import Any

from c2s_data import __version__
from c2s_data.plan import Plan, PlannedEntry
from c2s_data.schema import ROOT_CONSOLIDATED_MAPS, SCHEMA_VERSION
from c2s_data.store.documents import Document, encode_document, group_document
from c2s_data.store.layout import Layout
from c2s_data.store.map_group import map_documents


def root_attributes(plan: Plan) -> dict[str, Any]:
    """Return what the root group says of the whole store."""
    config = plan.config
    return {
        "c2s": {
            "schema_version": SCHEMA_VERSION,
            "code_version": __version__,
            "preset": config.preset,
            "config": config.model_dump(),
            "lineage": plan.lineage,
            "box": config.box,
            "core": config.core,
            "voxel_size_A": 1.0,
            "label_rule": config.label_rule,
            "label_error_A": config.label_error_A,
            "decode_offset_voxel": config.decode_offset_voxel,
        }
    }


def root_documents(plan: Plan, done: list[PlannedEntry]) -> dict[str, bytes]:
    """Return the documents by key.

    Parameters
    ----------
    plan
        Its options and number of rows.
    done
        The entries of the generation: small stores describe their groups in the root as well, see
        `ROOT_CONSOLIDATED_MAPS`.
    """
    attributes = root_attributes(plan)
    subgrids = Layout.of(plan.config).subgrids_group(plan.n_rows, attributes)
    documents = {
        "zarr.json": _root(plan, attributes, subgrids, done),
        "maps/zarr.json": group_document({}),
        "subgrids/zarr.json": subgrids,
    }
    for name, child in subgrids["consolidated_metadata"]["metadata"].items():
        documents[f"subgrids/{name}/zarr.json"] = child
    return {key: encode_document(document) for key, document in documents.items()}


def _root(
    plan: Plan, attributes: dict[str, Any], subgrids: Document, done: list[PlannedEntry]
) -> Document:
    if len(done) > ROOT_CONSOLIDATED_MAPS:
        return group_document(attributes)
    children = {"maps": group_document({}), "subgrids": subgrids}
    for name, child in subgrids["consolidated_metadata"]["metadata"].items():
        children[f"subgrids/{name}"] = child
    for entry in done:
        children |= map_documents(entry, Layout.of(plan.config))
    # Inside a consolidated document groups carry no consolidation of their own.
    bare = {
        path: {key: value for key, value in child.items() if key != "consolidated_metadata"}
        for path, child in children.items()
    }
    return group_document(attributes, bare)
