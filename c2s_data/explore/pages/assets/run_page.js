"use strict";
/* The page of a backbone. */
(async () => {
  const root = document.getElementById("page"), { el } = c2s;
  const tile = (value, label) => el("div", { className: "tile" }, el("b", {}, value), el("span", {}, label));

  function scoreTiles(run) {
    const n = run.built.xyz_A.shape[0], mean = run.built.confidence.data.reduce((a, b) => a + b, 0) / n;
    const { scores } = run;
    return el("div", { className: "tiles", id: "scores" },
      tile(c2s.number(n, 0), `residues built, in ${c2s.number(c2s.pieces(run.built).length, 0)} pieces`),
      tile(c2s.number(mean), "mean confidence"),
      ...(scores ? [
        tile(`${c2s.number(scores.matching_percent, 1)} %`, "C-alphas matched within 3 Å"),
        tile(`${c2s.number(scores.sequence_match_percent, 1)} %`, "of them the right residue"),
        tile(scores.rmsd_A === null ? "–" : `${c2s.number(scores.rmsd_A)} Å`, "RMSD of the matched"),
        tile(c2s.number(scores.f1_3A, 3), "F1 within 3 Å"),
        tile(c2s.number(scores.tm_map_frame, 3), "TM-score in the map"),
        tile(c2s.number(scores.lddt_ca, 3), "lDDT of C-alphas")] : []));
  }

  function sceneCard(run) {
    const canvas = el("canvas", { className: "scene", id: "scene" }), legend = el("div");
    const { built, truth, candidates, volume } = run;
    const check = (id, label, checked) => {
      const input = el("input", { type: "checkbox", id, checked });
      input.onchange = () => draw(id);
      return [input, el("label", {}, input, label)];
    };
    const [showBuilt, builtLabel] = check("show-built", "built model by", true);
    const [showTruth, truthLabel] = check("show-truth", "known model (gray)", true);
    const [showPoints, pointsLabel] = check("show-candidates", "candidates by p(CA)", !truth);
    const [showSurface, surfaceLabel] = check("show-surface", "p(CA) above", true);
    const slider = el("input", { type: "range", id: "contour", min: 0.05, max: 0.95, step: 0.05, value: volume?.contour ?? 0.4 });
    const value = el("output");
    let by = built.status ? "status" : "confidence", scene = null;
    const choice = c2s.coloringSelect("coloring", built, (chosen) => { by = chosen; draw("show-built"); });
    choice.value = by;
    slider.oninput = () => draw("show-surface");
    const shown = {
      "show-built": () => {
        legend.replaceChildren(c2s.legend(by, built));
        return showBuilt.checked ? c2s.tube(built, () => 0.6, (i) => c2s.residueColor(built, by, i)) : null;
      },
      "show-truth": () => truth && showTruth.checked ? c2s.tube(truth, () => 0.28, () => [168, 178, 188]) : null,
      "show-candidates": () => candidates && showPoints.checked
        ? c2s.dots(candidates.xyz_A, (i) => 0.35 + 0.55 * candidates.p_ca.data[i], (i) => c2s.ramp(candidates.p_ca.data[i])) : null,
      "show-surface": () => {
        value.textContent = Number(slider.value).toFixed(2);
        return volume && showSurface.checked ? c2s.surfaceMesh(volume, Number(slider.value), 0.42) : null;
      },
    };
    function draw(id) { scene?.set(id, shown[id]()); }
    const made = c2s.card("Built model over the known one",
      el("div", { className: "controls" }, builtLabel, choice, truth ? truthLabel : null,
        candidates ? pointsLabel : null, ...(volume ? [surfaceLabel, slider, value] : [])),
      canvas, legend, el("p", { className: "sub" }, "Drag turns, the wheel zooms, shift and drag move."));
    const start = () => {
      try {
        scene = new c2s.Scene(canvas, ...c2s.centerOf((truth ?? built).xyz_A, volume));
      } catch (error) {
        canvas.replaceWith(el("p", { className: "error", id: "no-webgl" }, `No 3D view: ${error.message}.`));
      }
      Object.keys(shown).forEach(draw);
    };
    return { made, start };
  }

  function confidenceCard({ built }) {
    const of = built.chain_names.map(() => []);
    for (const [first, end] of c2s.pieces(built)) {
      of[built.chain.data[first]].push(Array.from({ length: end - first }, (_, k) =>
        [built.number.data[first + k], built.confidence.data[first + k]]));
    }
    return c2s.card("Confidence along the chains", el("div", { className: "strips" }, ...of.map((pieces, k) =>
      pieces.length ? el("div", {}, el("h3", {}, `chain ${built.chain_names[k]}`),
        c2s.strip(pieces, "residue number", [0, 1])) : null).filter(Boolean).slice(0, 24)));
  }

  function tables(run) {
    const head = (...names) => el("tr", {}, ...names.map((one) => el("th", {}, one)));
    const line = (...cells) => el("tr", {}, ...cells.map((one) => el("td", {}, String(one))));
    const said = (facts) => Object.entries(facts).map(([k, v]) =>
      `${k.replaceAll("_", " ")} ${typeof v === "number" ? c2s.significant(v) : v}`).join(", ");
    return el("div", { className: "grid2 row" },
      run.stages.length ? c2s.card("Stages", el("table", { id: "stages" }, head("stage", "seconds", "found"),
        ...run.stages.map((one) => line(one.name, c2s.number(one.seconds, 1),
          [said(one.facts), ...one.notes].filter(Boolean).join("; "))))) : "",
      run.scores ? c2s.card("Chains of the known model", el("table", { id: "chains" },
        head("chain", "residues", "within 3 Å of their place", "found by chain"),
        ...run.scores.chains.map((one) => line(one.chain, one.n_residues, one.n_near, one.by.join(", ") || "–")))) : "");
  }

  try {
    Object.assign(c2s, await c2s.embedded("constants"));
    const run = await c2s.embedded("run");
    Object.assign(c2s.palette, run.palette);
    document.title = run.title;
    const scene = sceneCard(run);
    root.replaceChildren(el("h1", {}, run.title),
      el("p", { className: "sub" }, run.truth_name ? `scored against ${run.truth_name}` : "no known model to score against"),
      scoreTiles(run), scene.made, confidenceCard(run), tables(run));
    scene.start();
    root.dataset.ready = run.title;
  } catch (error) {
    root.replaceChildren(el("p", { className: "error" }, `This page cannot be drawn: ${error.message}`));
    throw error;
  }
})();
