"use strict";
/* The pages of `c2s-data view`: the catalog, and a map that is read as far as one looks. */
(async () => {
  const root = document.getElementById("page"), { el } = c2s;

  async function fetched(...parts) {
    const answer = await fetch(parts.map(encodeURIComponent).join("/"));
    if (!answer.ok) throw new Error(await answer.text());
    return c2s.unpack(await answer.arrayBuffer());
  }

  function overlayControls(slices) {
    const legend = el("div");
    const mask = el("select", { id: "mask" }, el("option", { value: "" }, "none"),
      ...slices.map.masks.map((name) => el("option", { value: name }, name)));
    const around = el("input", { type: "checkbox", id: "around", checked: true });
    const gain = el("input", { type: "range", id: "gain", min: 0.5, max: 4, step: 0.1, value: 1 });
    mask.onchange = () => {
      slices.mask = mask.value;
      legend.replaceChildren(c2s.palette[mask.value] ? c2s.legend(mask.value, {}) : "");
      slices.show();
    };
    around.onchange = () => { slices.around = around.checked; slices.show(); };
    gain.oninput = () => { slices.gain = Number(gain.value); slices.show(); };
    return [el("div", { className: "controls" }, el("label", {}, "labels", mask),
      el("label", {}, around, "also of planes within 2 Å"), el("label", {}, "brightness", gain)), legend];
  }

  async function showMap(entry) {
    const map = await fetched("overview", entry);
    let mark = () => {};
    const slices = new c2s.Slices(map, (...what) => fetched("plane", entry, ...what), (at) => mark(at));
    const [controls, legend] = overlayControls(slices), place = el("div");
    const closer = el("input", { type: "checkbox", id: "closer", disabled: true });
    controls.append(el("label", {}, closer, "only around the model"));
    document.title = entry;
    root.replaceChildren(el("p", {}, el("a", { href: "#", id: "to-catalog" }, "‹ catalog")), el("h1", {}, entry),
      el("p", { className: "sub" }, `${map.shape_zyx.join(" × ")} voxels of 1 Å (z, y, x); click sets the point, the wheel slides`),
      c2s.flags(map.row) ?? "",
      c2s.card("Planes", controls, slices.made, slices.readout, legend), place, c2s.qualityTiles(map.row));
    slices.show();
    root.dataset.ready = entry;
    const { volume, trace } = await fetched("volume", entry);
    if (root.dataset.ready !== entry) return;  // Somebody went elsewhere meanwhile.
    const card = c2s.sceneCard(volume, trace);
    place.replaceChildren(card.made);
    card.start();
    mark = ([z, y, x]) => card.mark(map.origin_xyz_A.map((o, k) => o + [x, y, z][k]));
    mark(slices.position);
    closer.onchange = () => slices.closer(closer.checked ? trace : null);
    closer.disabled = false;
    root.dataset.volume = entry;
  }

  try {
    Object.assign(c2s, await c2s.embedded("constants"));
    const catalog = await c2s.embedded("catalog"), rows = c2s.catalogRows(catalog.columns);
    const open = (entry) => { location.hash = entry; };
    const show = async () => {
      const row = rows.find((one) => one.entry_id === decodeURIComponent(location.hash.slice(1)));
      delete root.dataset.ready;
      delete root.dataset.volume;
      window.scrollTo(0, 0);
      try {
        if (!row) c2s.showCatalog(root, catalog, open, (one) => `#${one.entry_id}`);
        else if (!c2s.hasMap(row)) c2s.showReason(root, row, "#");
        else return await showMap(row.entry_id);
      } catch (error) {
        c2s.showReason(root, { ...row, state: "cannot be shown", why: error.message }, "#");
      }
      root.dataset.ready = row?.entry_id ?? "catalog";
    };
    window.onhashchange = show;
    await show();
  } catch (error) {
    root.replaceChildren(el("p", { className: "error" }, `This page cannot be drawn: ${error.message}`));
    throw error;
  }
})();
