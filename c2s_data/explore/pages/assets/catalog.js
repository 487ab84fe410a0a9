"use strict";
/* The catalog: tiles, plots, and a table that sorts, filters and turns its pages. */
(() => {
  c2s.hasMap = (row) => ["built", "noted", "flagged"].includes(row.state);
  const PER_PAGE = 50;
  const STATES = ["built", "noted", "flagged", "failed", "withdrawn"];
  const SPLITS = [["train", "#2563a8"], ["validation", "#e08e0b"], ["test", "#3a9d6e"]];
  const { el } = c2s;
  const HEAD = [
    ["entry_id", "entry", false, (r) => r.entry_id],
    ["state", "state", false, (r) => el("span", { className: `tag ${r.state}` }, r.state)],
    ["resolution_A", "Å", true, (r) => c2s.number(r.resolution_A)],
    ["split", "split", false, (r) => r.split ?? "–"],
    ["n_residues", "residues", true, (r) => c2s.number(r.n_residues, 0)],
    ["size", "box, z × y × x", true, (r) => r.shape_zyx ? r.shape_zyx.join(" × ") : "–"],
    ["q_score", "Q-score", true, (r) => c2s.number(r.q_score)],
    ["q_difference", "Q − expected", true, (r) => signed(r.q_difference)],
    ["cc_mask", "CC mask", true, (r) => c2s.number(r.cc_mask)],
    ["fsc_05_A", "FSC 0.5, Å", true, (r) => c2s.number(r.fsc_05_A, 1)],
    ["ca_in_box", "CA in box", true, (r) => c2s.percent(r.ca_in_box)],
    ["why", "flags, notes and reasons", false, (r) => {
      const text = [...(r.quality_flags ?? []), r.why].filter(Boolean).join("; ");
      return el("div", { title: text }, text);
    }],
  ];
  const signed = (v) => v === null ? "–" : (v > 0 ? "+" : "") + c2s.number(v);

  function rowsOf(columns) {
    const names = Object.keys(columns);
    return columns.entry_id.map((_, i) => {
      const row = Object.fromEntries(names.map((name) => [name, columns[name][i]]));
      row.size = row.shape_zyx ? row.shape_zyx.reduce((a, b) => a * b, 1) : null;
      const known = row.q_score !== null && row.q_score_expected !== null;
      row.q_difference = known ? row.q_score - row.q_score_expected : null;
      row.text = [row.entry_id, row.emdb_id, row.pdb_id, row.why, ...(row.quality_flags ?? [])]
        .join(" ").toLowerCase();
      return row;
    });
  }

  const compare = (a, b) => typeof a === "number" ? a - b
    : collator.compare(String(a), String(b));
  const collator = new Intl.Collator("en", { numeric: true });

  function ordered(rows, { key, down }) {
    const has = (r) => r[key] !== null && r[key] !== undefined && r[key] !== "";
    const known = rows.filter(has), empty = rows.filter((r) => !has(r));
    known.sort((a, b) => (down ? -1 : 1) * compare(a[key], b[key]) || compare(a.entry_id, b.entry_id));
    empty.sort((a, b) => compare(a.entry_id, b.entry_id));
    return [...known, ...empty];
  }

  function chosen(rows, want) {
    const words = want.text.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter((r) => words.every((word) => r.text.includes(word))
      && (!want.state || r.state === want.state) && (!want.split || (r.split ?? "") === want.split)
      && (want.from === null || (r.resolution_A !== null && r.resolution_A >= want.from))
      && (want.to === null || (r.resolution_A !== null && r.resolution_A <= want.to)));
  }

  const tile = (value, label) => el("div", { className: "tile" }, el("b", {}, value), el("span", {}, label));

  function tiles(catalog, rows) {
    const of = (state) => rows.filter((r) => r.state === state).length;
    const residues = rows.reduce((n, r) => n + (r.n_residues ?? 0), 0);
    return el("div", { className: "tiles" },
      tile(c2s.number(rows.filter(c2s.hasMap).length, 0), "maps in the store"),
      tile(c2s.number(of("flagged"), 0), "of them flagged"),
      tile(c2s.number(of("failed"), 0), "failed"),
      of("withdrawn") ? tile(c2s.number(of("withdrawn"), 0), "withdrawn") : null,
      tile(c2s.number(catalog.n_subgrids, 0), "subgrids"),
      tile(c2s.number(residues, 0), "residues"));
  }

  function plots(rows, open) {
    const here = [...SPLITS, [null, "#8c96a3"]].map(([split, color]) => [split ?? "no split", color,
      rows.filter((r) => (SPLITS.some(([s]) => s === r.split) ? r.split : null) === split
        && c2s.hasMap(r))]).filter(([, , some]) => some.length);
    const known = (some, ...keys) => some.filter((r) => keys.every((key) => r[key] !== null));
    const bars = c2s.stackedHistogram(here.map(([n, c, some]) =>
      [n, c, known(some, "resolution_A").map((r) => r.resolution_A)]), "resolution, Å");
    const line = Array.from({ length: 60 }, (_, k) => [1 + k * 0.09, 1.1192 - 0.1775 * (1 + k * 0.09)]);
    const points = c2s.scatter(here.map(([n, c, some]) =>
      [n, c, known(some, "resolution_A", "q_score").map((r) => [r.resolution_A, r.q_score, r.entry_id])]),
    "resolution, Å", line, open);
    const legend = () => el("div", { className: "legend" }, ...here.map(([n, color, some]) => {
      const dot = el("i");
      dot.style.background = color;
      return el("span", {}, dot, `${n} (${c2s.number(some.length, 0)})`);
    }));
    return el("div", { className: "grid2 row" },
      bars && el("section", { className: "card" }, el("h2", {}, "Maps by resolution"), bars, legend()),
      points && el("section", { className: "card" },
        el("h2", {}, "Q-score, and what is expected at this resolution (dashed)"), points, legend()));
  }

  const select = (label, options, id) => {
    const made = el("select", { id }, el("option", { value: "" }, "all"),
      ...options.map((one) => el("option", { value: one }, one)));
    return el("label", {}, label, made);
  };

  function thumbnail(plane) {
    const canvas = el("canvas", { className: "thumb" });
    const image = c2s.planeImage(plane, (code) => [code, code, code]);
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  c2s.showCatalog = (root, catalog, open, address) => {
    const rows = rowsOf(catalog.columns), thumbs = catalog.thumbnails ?? {};
    const want = { text: "", state: "", split: "", from: null, to: null };
    const order = { key: "entry_id", down: false };
    let page = 0;
    const body = el("tbody"), count = el("span", { id: "count", "aria-live": "polite" });
    const heads = HEAD.map(([key, label, number]) => {
      const button = el("button", { type: "button", onclick: () => sortBy(key, number) }, label);
      return el("th", { className: number ? "number" : "", "data-key": key }, button);
    });
    const back = el("button", { type: "button", id: "back", onclick: () => { page--; show(); } }, "‹ back");
    const next = el("button", { type: "button", id: "next", onclick: () => { page++; show(); } }, "next ›");
    const where = el("span", { id: "where" });
    const search = el("input", { type: "search", id: "search", placeholder: "entry, EMDB, PDB, flag, reason" });
    const number = (id, key, label) => {
      const input = el("input", { type: "number", id, step: 0.1, min: 0 });
      input.oninput = () => { want[key] = input.value === "" ? null : Number(input.value); restart(); };
      return el("label", {}, label, input);
    };
    const states = select("state", STATES.filter((s) => rows.some((r) => r.state === s)), "state");
    const splits = select("split", [...new Set(rows.map((r) => r.split).filter(Boolean))].sort(), "split");
    search.oninput = () => { want.text = search.value; restart(); };
    states.lastChild.onchange = (event) => { want.state = event.target.value; restart(); };
    splits.lastChild.onchange = (event) => { want.split = event.target.value; restart(); };

    function sortBy(key, number) {
      if (order.key === key) order.down = !order.down;
      else [order.key, order.down] = [key, number];
      restart();
    }
    function restart() { page = 0; show(); }
    function line(row) {
      const has = address(row) !== null;
      const cells = HEAD.map(([key, , number, cell]) => el("td",
        { className: [number ? "number" : "", key === "why" ? "why" : ""].join(" ").trim() },
        key === "entry_id" && has ? el("a", { href: address(row) }, cell(row)) : cell(row)));
      const made = el("tr", { className: has ? "link" : "", "data-entry": row.entry_id }, ...cells);
      if (Object.keys(thumbs).length) {
        made.prepend(el("td", {}, thumbs[row.entry_id] ? thumbnail(thumbs[row.entry_id]) : ""));
      }
      if (has) made.onclick = (event) => { if (event.target.tagName !== "A") open(row.entry_id); };
      return made;
    }
    function show() {
      const some = ordered(chosen(rows, want), order), pages = Math.max(1, Math.ceil(some.length / PER_PAGE));
      body.replaceChildren(...some.slice(page * PER_PAGE, (page + 1) * PER_PAGE).map(line));
      count.textContent = `${c2s.number(some.length, 0)} of ${c2s.number(rows.length, 0)} entries`;
      where.textContent = `page ${page + 1} of ${pages}`;
      back.disabled = page === 0;
      next.disabled = page + 1 >= pages;
      heads.forEach((head) => {
        if (head.dataset.key !== order.key) head.removeAttribute("aria-sort");
        else head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      });
    }

    const withThumbs = Object.keys(thumbs).length ? [el("th")] : [];
    document.title = catalog.title;
    root.replaceChildren(
      el("h1", {}, catalog.title),
      el("p", { className: "sub" }, `generation ${catalog.generation}, preset ${catalog.attrs.preset}, `
        + `made by version ${catalog.attrs.code_version}, fingerprint ${catalog.fingerprint.slice(0, 12)}`),
      tiles(catalog, rows), plots(rows, open),
      el("section", { className: "card" },
        el("div", { className: "controls" }, search, states, splits,
          number("from", "from", "from"), number("to", "to", "to"), "Å", count),
        el("div", { className: "scroll" }, el("table", { id: "catalog" },
          el("thead", {}, el("tr", {}, ...withThumbs, ...heads)), body)),
        el("div", { className: "pager" }, where, back, next)));
    show();
  };

  /* The page of an entry that has no map: why. */
  c2s.showReason = (root, row, back) => {
    root.replaceChildren(el("p", {}, el("a", { href: back }, "‹ catalog")), el("h1", {}, row.entry_id),
      el("section", { className: "card banner failed" }, el("h2", {}, row.state), el("p", {}, row.why)));
  };
  c2s.catalogRows = rowsOf;
})();
