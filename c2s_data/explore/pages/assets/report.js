"use strict";
/* Decides what a page of the report shows: the catalog, a map of the same file, or a map alone. */
(async () => {
  const root = document.getElementById("page");
  try {
    Object.assign(c2s, await c2s.embedded("constants"));
    if (document.getElementById("map")) {
      const map = await c2s.embedded("map");
      c2s.showMap(root, map, map.back);
      return;
    }
    const catalog = await c2s.embedded("catalog"), rows = c2s.catalogRows(catalog.columns);
    const hasPage = (row) => c2s.hasMap(row) && !(catalog.errors ?? {})[row.entry_id];
    const address = (row) => !hasPage(row) ? `#${row.entry_id}`
      : catalog.pages === "inline" ? `#${row.entry_id}` : `${catalog.pages}/${encodeURIComponent(row.entry_id)}.html`;
    const open = (entry) => { location.href = address(rows.find((row) => row.entry_id === entry)); };
    const show = async () => {
      const row = rows.find((one) => one.entry_id === decodeURIComponent(location.hash.slice(1)));
      delete root.dataset.ready;
      window.scrollTo(0, 0);
      if (!row) c2s.showCatalog(root, catalog, open, address);
      else if (!hasPage(row)) c2s.showReason(root, { ...row, why: catalog.errors?.[row.entry_id] ?? row.why }, "#");
      else c2s.showMap(root, await c2s.embedded(`map-${row.entry_id}`), "#");
      root.dataset.ready = row?.entry_id ?? "catalog";
    };
    window.onhashchange = show;
    await show();
  } catch (error) {
    root.replaceChildren(c2s.el("p", { className: "error" }, `This page cannot be drawn: ${error.message}`));
    throw error;
  }
})();
