"use strict";
/* The page of one map. */
(() => {
  const { el } = c2s, AXES = "zyx";
  const COLORINGS = [["status", "right or wrong"], ["secondary", "secondary structure"], ["chain", "chain"], ["amino", "amino acid"],
    ["q_score", "Q-score"], ["confidence", "confidence"]];
  const HALF_A = 3;

  const card = (title, ...children) => el("section", { className: "card" }, el("h2", {}, title), ...children);
  const facts = (pairs) => el("dl", { className: "facts" }, ...pairs.filter(([, value]) => value !== null)
    .flatMap(([name, value, kind]) => [el("dt", {}, name), el("dd", { className: kind ?? "" }, value)]));
  c2s.card = card;
  c2s.facts = facts;

  c2s.legend = (by, trace) => {
    const entries = by === "q_score" || by === "confidence"
      ? [0, 0.25, 0.5, 0.75, 1].map((v) => [v.toFixed(2), `rgb(${c2s.ramp(v).join(" ")})`])
      : by === "chain" ? trace.chain_names.slice(0, 20).map((n, k) => [n, `rgb(${c2s.chainColor(k).join(" ")})`])
        : c2s.palette[by].map(([, name, color]) => [name, color]);
    return el("div", { className: "legend" }, ...entries.map(([name, color]) => {
      const dot = el("i");
      dot.style.background = color;
      return el("span", {}, dot, name);
    }));
  };

  const hasColoring = (trace, by) => by === "chain" ? trace.chain : trace[by];
  c2s.colorings = (trace) => COLORINGS.filter(([by]) => hasColoring(trace, by));

  c2s.coloringSelect = (id, trace, onchange, none = false) => {
    const made = el("select", { id }, ...c2s.colorings(trace).map(([by, name]) => el("option", { value: by }, name)));
    if (none) made.append(el("option", { value: "" }, "none"));
    made.onchange = () => onchange(made.value);
    return made;
  };

  c2s.centerOf = (xyz_A, volume) => {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    const n = xyz_A.shape[0];
    const take = (p) => p.forEach((v, k) => { low[k] = Math.min(low[k], v); high[k] = Math.max(high[k], v); });
    for (let i = 0; i < n; i++) take(xyz_A.data.subarray(3 * i, 3 * i + 3));
    if (!n) {
      take(volume.origin_xyz_A);
      take(volume.origin_xyz_A.map((o, k) => o + volume.step_A * volume.codes.shape[2 - k]));
    }
    return [low.map((l, k) => (l + high[k]) / 2), Math.hypot(...low.map((l, k) => high[k] - l)) / 2 + 5];
  };

  /* Surface and trace with their controls. */
  c2s.sceneCard = (volume, trace, title = "Density and C-alpha trace") => {
    const canvas = el("canvas", { className: "scene", id: "scene" });
    const slider = el("input", { type: "range", id: "contour", min: 0.02, max: 0.98, step: 0.01, value: volume.contour });
    const shown = el("output", { id: "contour-value" }), legend = el("div");
    const surface = el("input", { type: "checkbox", id: "surface", checked: true });
    const tube = el("input", { type: "checkbox", id: "tube", checked: true });
    let scene = null, by = c2s.colorings(trace)[0]?.[0];
    const drawSurface = () => {
      shown.textContent = Number(slider.value).toFixed(2);
      scene?.set("surface", surface.checked ? c2s.surfaceMesh(volume, Number(slider.value), 0.42) : null);
    };
    const drawTube = () => {
      const radius = (i) => trace.secondary && trace.secondary.data[i] !== 1 ? 0.75 : 0.45;
      scene?.set("tube", tube.checked && by ? c2s.tube(trace, radius, (i) => c2s.residueColor(trace, by, i)) : null);
      legend.replaceChildren(by ? c2s.legend(by, trace) : "");
    };
    const coloring = c2s.coloringSelect("coloring", trace, (value) => { by = value; drawTube(); });
    slider.oninput = drawSurface;
    surface.onchange = drawSurface;
    tube.onchange = drawTube;
    const start = () => {
      try {
        scene = new c2s.Scene(canvas, ...c2s.centerOf(trace.xyz_A, volume));
      } catch (error) {
        canvas.replaceWith(el("p", { className: "error", id: "no-webgl" }, `No 3D view: ${error.message}.`));
      }
      drawSurface();
      drawTube();
    };
    const made = card(title,
      el("div", { className: "controls" }, el("label", {}, surface, "surface at"), slider, shown,
        el("label", {}, tube, "trace by"), coloring),
      canvas, legend, el("p", { className: "sub" }, "Drag turns, the wheel zooms, shift and drag move. "
        + `First contour ${c2s.number(volume.contour)}: ${volume.why}. Voxels of ${c2s.number(volume.step_A, 0)} Å.`));
    const mark = (xyz_A) => scene?.set("mark",
      c2s.dots({ shape: [1, 3], data: xyz_A }, () => 1.6, () => [255, 179, 0]));
    return { made, start, mark };
  };

  function planesCard(map) {
    const grid = el("div", { className: "grid3" }), legend = el("div"), drawers = [];
    let by = "secondary";
    for (const which of ["raw", "normalized"]) for (const plane of map.planes) {
      const canvas = el("canvas", { id: `${which}-${AXES[plane.axis]}` });
      const caption = el("figcaption");
      grid.append(el("figure", {}, canvas, caption));
      drawers.push(() => {
        const step = which === "raw" ? plane.raw_step_A : [plane.step_A, plane.step_A];
        const scale = c2s.drawPlane(canvas, plane[which], step);
        let text = `${which}, plane ${AXES[plane.axis]} = ${plane.index * plane.step_A} Å`;
        if (which === "normalized" && by) {
          const n = c2s.drawLabels(canvas, scale, map.trace, by, plane.axis, plane.index * plane.step_A, HALF_A);
          text += `; ${n} C-alphas within ${HALF_A} Å`;
        }
        c2s.scaleBar(canvas, scale);
        caption.textContent = text;
      });
    }
    const draw = () => {
      drawers.forEach((one) => one());
      legend.replaceChildren(by ? c2s.legend(by, map.trace) : "");
    };
    const choice = c2s.coloringSelect("labels", map.trace, (value) => { by = value; draw(); }, true);
    const below = el("i"), above = el("i");
    below.style.background = `rgb(${c2s.BELOW.join(" ")})`;
    above.style.background = c2s.palette.clipped;
    return { draw, made: card("Central planes, raw and normalized, on one gray scale",
      el("div", { className: "controls" }, el("label", {}, "labels by", choice)), grid, legend,
      el("div", { className: "legend" }, "black 0 to white 1 in units of the normalized map;",
        el("span", {}, below, "negative, cut to 0"), el("span", {}, above, "1 or more, cut to 1"))) };
  }

  function histogramsCard(map) {
    const { raw, normalized } = map.histograms;
    const share = normalized.n ? normalized.n_above / normalized.n : 0;
    return el("div", { className: "grid2 row" },
      card("Raw map: voxels by density", c2s.histogram(raw.counts, Array.from(raw.range.data), "density of the file",
        [[0, "0", "#1d3557"], [raw.percentile_value, "becomes 1", c2s.palette.clipped]])),
      card("Normalized map: voxels by density", c2s.histogram(normalized.counts, [0, 1], "normalized density",
        [[map.volume.contour, "contour", "#2563a8"]], { n: normalized.n_above, color: c2s.palette.clipped }),
      el("p", { className: "sub" }, `${c2s.percent(share, 2)} of the voxels are 1 (orange); `
        + `${c2s.percent(normalized.n_below / normalized.n)} were negative and are 0 (not drawn).`)));
  }

  function alongChains(map) {
    const { trace } = map;
    if (!trace.q_score) return null;
    const of = trace.chain_names.map(() => []);
    for (const [first, end] of c2s.pieces(trace)) {
      const piece = [];
      for (let i = first; i < end; i++) if (Number.isFinite(trace.q_score.data[i])) piece.push([trace.number.data[i], trace.q_score.data[i]]);
      if (piece.length) of[trace.chain.data[first]].push(piece);
    }
    const lowest = Math.min(-0.2, ...of.flat(2).map(([, q]) => q));
    const strips = of.map((pieces, k) => pieces.length
      ? el("div", {}, el("h3", {}, `chain ${trace.chain_names[k]}`), c2s.strip(pieces, "residue number", [lowest, 1])) : null)
      .filter(Boolean).slice(0, 12);
    return strips.length ? card("Q-score along the chains", el("div", { className: "strips" }, ...strips)) : null;
  }

  c2s.qualityTiles = (row) => {
    const tile = (value, label) => el("div", { className: "tile" }, el("b", {}, value), el("span", {}, label));
    return el("div", { className: "tiles", id: "quality" },
      tile(row.resolution_A === null ? "–" : `${c2s.number(row.resolution_A)} Å`, "resolution"),
      tile(c2s.number(row.q_score), `Q-score, expected ${c2s.number(row.q_score_expected)}`),
      tile(c2s.number(row.cc_mask), "CC mask"),
      tile(row.fsc_05_A === null ? "–" : `${c2s.number(row.fsc_05_A, 1)} Å`, "map-model FSC 0.5"),
      tile(c2s.percent(row.explained_density_share), "density explained"),
      tile(c2s.percent(row.ca_in_box), "C-alphas in the box"));
  };

  c2s.flags = (row) => {
    const said = [...(row.quality_flags ?? []), ...(row.notes ?? [])];
    return said.length ? el("section", { className: "card banner", id: "flags" }, el("h2", {}, "To know before it is trusted"),
      el("ul", {}, ...said.map((one) => el("li", {}, one)))) : null;
  };

  function factCards(map) {
    const { row, provenance, label_counts: counts } = map;
    const excluded = Object.entries(row.excluded_atoms ?? {}), known = new Set([...KNOWN, "excluded_atoms"]);
    const others = Object.entries(row).filter(([name, value]) => !known.has(name) && value !== null && typeof value !== "object");
    const count = (mask) => (counts[mask] ?? []).map((n, k) => `${c2s.number(n, 0)} ${c2s.classes[mask]?.[k + 1] ?? k + 1}`).join(", ");
    const excludedTable = excluded.length
      ? el("table", { id: "excluded" }, ...excluded.sort((a, b) => b[1] - a[1]).map(([why, n]) =>
        el("tr", {}, el("td", {}, why), el("td", { className: "number" }, c2s.number(n, 0)))))
      : el("p", { id: "excluded", className: "sub" }, "No atom was excluded.");
    return [el("div", { className: "grid2 row" },
      card("Map and labels", facts([
        ["EMDB, PDB", [row.emdb_id, row.pdb_id].filter(Boolean).join(", ") || "–"], ["split", row.split ?? "–"],
        ["source", `${row.source_shape_zyx.join(" × ")} voxels of ${row.source_voxel_size_zyx_A.map((v) => c2s.number(v, 3)).join(" × ")} Å (z, y, x)`],
        ["stored", `${row.shape_zyx.join(" × ")} voxels of 1 Å, ${c2s.number(row.n_subgrids, 0)} subgrids, ${c2s.number(row.n_occupied, 0)} with a C-alpha`],
        ["origin (x, y, z)", `${row.origin_xyz_A.map((v) => c2s.number(v)).join(", ")} Å`],
        ["contour level", c2s.significant(row.contour_level)],
        ["becomes 1.0", `${c2s.significant(row.percentile_value)} (raw mean ${c2s.significant(row.raw_mean)}, sd ${c2s.significant(row.raw_sd)})`],
        ["density at C-alphas", `${c2s.number(row.ca_density_sigma, 1)} sd above the mean; ${c2s.percent(row.saturated_ca_share)} of the voxels cut to 1`],
        ["residues", `${c2s.number(row.n_residues, 0)}, ${c2s.number(row.n_observed_residues, 0)} of ${c2s.number(row.n_sequence_residues, 0)} in the sequence (${row.sequence_source ?? "–"})`],
        ["atoms outside the map", c2s.number(row.n_atoms_outside, 0)], ["in one voxel with another", c2s.number(row.n_collisions, 0)],
        ["atom labels", count("atom") || "–"], [`secondary (${row.secondary_source})`, count("secondary") || "–"],
        ...others.map(([name, value]) => [name, String(value)])])),
      el("div", {}, card("Atoms left out, by reason", excludedTable),
        card("Provenance", facts([
          ...provenance.inputs.flatMap((one) => [[one.role, `${one.name}, ${c2s.number(one.nbytes, 0)} bytes`], ["sha256", one.sha256, "digest"]]),
          ["made by", `version ${provenance.code_version}, preset ${provenance.preset}`],
          ["generation", `${provenance.generation}, group ${provenance.group}`], ["fingerprint", provenance.fingerprint, "digest"]]),
        el("details", {}, el("summary", {}, "options of the build"),
          facts(Object.entries(provenance.config).map(([name, value]) => [name, String(value)]))))))];
  }
  const KNOWN = ["entry_id", "emdb_id", "pdb_id", "resolution_A", "split", "map_index", "revision", "first_subgrid", "n_subgrids",
    "n_occupied", "percentile_value", "raw_mean", "raw_sd", "ca_density_sigma", "n_residues", "n_observed_residues",
    "n_sequence_residues", "sequence_source", "n_atoms_outside", "n_collisions", "secondary_source", "q_score",
    "saturated_voxel_share", "n_ca", "explained_density_level", "contour_level", "q_score_expected", "cc_mask", "fsc_05_A", "explained_density_share", "ca_in_box", "saturated_ca_share", "notes"];

  c2s.showMap = (root, map, back) => {
    const { row } = map, scene = c2s.sceneCard(map.volume, map.trace), planes = planesCard(map);
    document.title = map.entry_id;
    root.replaceChildren(
      el("p", {}, el("a", { href: back, id: "to-catalog" }, "‹ catalog")),
      el("h1", {}, map.entry_id),
      el("p", { className: "sub" }, row.title ?? [row.emdb_id, row.pdb_id].filter((one) => one && one !== map.entry_id).join(", ")),
      c2s.flags(row) ?? "", c2s.qualityTiles(row), scene.made, planes.made, histogramsCard(map),
      alongChains(map) ?? "", ...factCards(map));
    scene.start();
    planes.draw();
    root.dataset.ready = map.entry_id;
  };
})();
