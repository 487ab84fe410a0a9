"use strict";
/* Small plots as SVG. */
(() => {
  const W = 460, H = 210, LEFT = 46, RIGHT = 12, TOP = 12, BOTTOM = 34;

  /* finest: the smallest step of the vertical axis, or null for an axis without numbers. */
  function frame(label, xs, ys, finest = 0) {
    const x = (v) => LEFT + (W - LEFT - RIGHT) * (v - xs[0]) / (xs[1] - xs[0] || 1);
    const y = (v) => H - BOTTOM - (H - TOP - BOTTOM) * (v - ys[0]) / (ys[1] - ys[0] || 1);
    const made = c2s.svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img" });
    made.append(c2s.svg("line", { x1: LEFT, x2: W - RIGHT, y1: y(ys[0]), y2: y(ys[0]), class: "axis" }));
    for (const at of ticks(...xs)) {
      made.append(c2s.svg("text", { x: x(at), y: H - BOTTOM + 15, class: "tick middle" }, short(at)));
    }
    if (finest !== null) for (const at of ticks(...ys, finest)) {
      made.append(c2s.svg("line", { x1: LEFT, x2: W - RIGHT, y1: y(at), y2: y(at), class: "grid" }));
      made.append(c2s.svg("text", { x: LEFT - 6, y: y(at) + 3.5, class: "tick end" }, short(at)));
    }
    made.append(c2s.svg("text", { x: (LEFT + W - RIGHT) / 2, y: H - 4, class: "label middle" }, label));
    return { made, x, y };
  }

  function ticks(low, high, finest = 0) {
    const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
    const step = Math.max(finest, [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough));
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
    return found;
  }

  const short = (value) => Number(value.toPrecision(3)).toString().replace("-", "−");

  /* Bars of counts on a logarithmic scale; marks are [value, text, color]. */
  c2s.histogram = (counts, range, label, marks = [], extra = null) => {
    const top = Math.log10(1 + Math.max(...counts.data, ...(extra ? [extra.n] : [])));
    const { made, x, y } = frame(label, range, [0, top], null);
    const n = counts.data.length, step = (range[1] - range[0]) / n;
    let path = "";
    counts.data.forEach((count, k) => {
      if (!count) return;
      const up = y(Math.log10(1 + count));
      path += `M${x(range[0] + k * step)} ${y(0)}V${up}H${x(range[0] + (k + 1) * step)}V${y(0)}Z`;
    });
    made.append(c2s.svg("path", { d: path, class: "bars" }));
    if (extra) {
      made.append(c2s.svg("rect", { x: x(range[1]) - 7, width: 7, y: y(Math.log10(1 + extra.n)),
        height: y(0) - y(Math.log10(1 + extra.n)), fill: extra.color }));
    }
    for (let p = 0; p <= top; p += Math.max(1, Math.ceil(top / 4))) {
      made.append(c2s.svg("text", { x: LEFT - 6, y: y(p) + 3.5, class: "tick end" },
        p < 3 ? String(10 ** p) : `1e${p}`));
    }
    for (const [value, text, color] of marks) {
      if (value < range[0] || value > range[1]) continue;
      made.append(c2s.svg("line", { x1: x(value), x2: x(value), y1: TOP, y2: y(0), stroke: color,
        "stroke-width": 1.5, "stroke-dasharray": "4 3" }));
      const left = x(value) > W * 0.6;
      made.append(c2s.svg("text", { x: x(value) + (left ? -5 : 5), y: TOP + 9,
        class: `tick ${left ? "end" : ""}`, fill: color }, text));
    }
    return made;
  };

  /* Stacked bars: groups are [name, color, values]. */
  c2s.stackedHistogram = (groups, label) => {
    const all = groups.flatMap(([, , values]) => values);
    if (!all.length) return null;
    let [low, high] = [Math.min(...all), Math.max(...all)];
    if (low === high) [low, high] = [low - 0.5, high + 0.5];
    const n = Math.min(30, Math.max(8, Math.round(Math.sqrt(all.length) * 2)));
    const bin = (v) => Math.min(n - 1, Math.floor((v - low) / (high - low) * n));
    const stacked = groups.map(() => new Array(n).fill(0)), sums = new Array(n).fill(0);
    groups.forEach(([, , values], g) => values.forEach((v) => { stacked[g][bin(v)]++; sums[bin(v)]++; }));
    const { made, x, y } = frame(label, [low, high], [0, Math.max(...sums)], 1);
    const under = new Array(n).fill(0);
    groups.forEach(([name, color], g) => {
      stacked[g].forEach((count, k) => {
        if (!count) return;
        const [a, b] = [low + k * (high - low) / n, low + (k + 1) * (high - low) / n];
        made.append(c2s.svg("rect", { x: x(a) + 0.5, width: Math.max(0.5, x(b) - x(a) - 1),
          y: y(under[k] + count), height: y(under[k]) - y(under[k] + count), fill: color }));
        under[k] += count;
      });
    });
    return made;
  };

  /* Points by group [name, color, points]; a point is [x, y, key]; a line is [[x, y], ...]. */
  c2s.scatter = (groups, label, line, onPick) => {
    const all = groups.flatMap(([, , points]) => points);
    if (!all.length) return null;
    const xs = all.map(([a]) => a), ys = all.map(([, b]) => b);
    const xr = [Math.min(...xs) - 0.2, Math.max(...xs) + 0.2];
    const yr = [Math.min(0, ...ys), Math.max(1, ...ys)];
    const { made, x, y } = frame(label, xr, yr);
    const inside = line.filter(([a]) => a >= xr[0] && a <= xr[1]);
    if (inside.length > 1) {
      made.append(c2s.svg("path", { class: "expected",
        d: inside.map(([a, b], k) => `${k ? "L" : "M"}${x(a)} ${y(b)}`).join("") }));
    }
    const size = all.length > 2000 ? 2.5 : all.length > 200 ? 4 : 7;
    for (const [, color, points] of groups) {
      made.append(c2s.svg("path", { stroke: color, "stroke-width": size, class: "points",
        d: points.map(([a, b]) => `M${x(a).toFixed(1)} ${y(b).toFixed(1)}h0`).join("") }));
    }
    made.addEventListener("click", (event) => {
      const box = made.getBoundingClientRect(), scale = W / box.width;
      const [px, py] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      let best = null, least = 12;
      for (const [a, b, key] of all) {
        const far = Math.hypot(x(a) - px, y(b) - py);
        if (far < least) [best, least] = [key, far];
      }
      if (best !== null) onPick(best);
    });
    return made;
  };

  /* One line per piece of a chain: values against residue number. */
  c2s.strip = (pieces, label, range) => {
    const numbers = pieces.flatMap((piece) => piece.map(([a]) => a));
    const { made, x, y } = frame(label, [Math.min(...numbers), Math.max(...numbers)], range);
    for (const piece of pieces) {
      made.append(c2s.svg("path", { class: "line",
        d: piece.map(([a, b], k) => `${k ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("")
          + (piece.length === 1 ? "h0.1" : "") }));
    }
    return made;
  };
})();
