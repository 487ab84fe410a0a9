"use strict";
/* A C-alpha trace as a tube: Catmull-Rom through the places, frames carried along without twist. */
(() => {
  const SIDES = 8, BETWEEN = 5, BREAK_A = 4.6;
  const minus = (a, b) => a.map((one, k) => one - b[k]);
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) =>
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = (a) => { const n = Math.hypot(...a) || 1; return a.map((one) => one / n); };
  const at = (trace, i) => Array.from(trace.xyz_A.data.subarray(3 * i, 3 * i + 3));

  /* Runs of residues [first, end) of one chain whose neighbors are bonded. */
  c2s.pieces = (trace) => {
    const found = [], n = trace.xyz_A.shape[0];
    let first = 0;
    for (let i = 1; i <= n; i++) {
      if (i < n && trace.chain.data[i] === trace.chain.data[i - 1]
        && Math.hypot(...minus(at(trace, i), at(trace, i - 1))) < BREAK_A) continue;
      found.push([first, i]);
      first = i;
    }
    return found;
  };

  function curve(trace, first, end) {
    const points = [];
    for (let i = first; i + 1 < end; i++) {
      const [p, q, r, s] = [i - 1, i, i + 1, i + 2].map(
        (k) => at(trace, Math.min(end - 1, Math.max(first, k))));
      for (let b = 0; b < BETWEEN; b++) {
        const t = b / BETWEEN;
        points.push([q.map((one, k) => 0.5 * (2 * one + (r[k] - p[k]) * t
          + (2 * p[k] - 5 * one + 4 * r[k] - s[k]) * t * t
          + (3 * one - p[k] - 3 * r[k] + s[k]) * t * t * t)), t < 0.5 ? i : i + 1]);
      }
    }
    points.push([at(trace, end - 1), end - 1]);
    return points;
  }

  /* radius_A and color (three bytes) by residue; a lone residue is a small ball of two rings. */
  c2s.tube = (trace, radiusOf, colorOf) => {
    const places = [], normals = [], colors = [], triangles = [];
    for (const [first, end] of c2s.pieces(trace)) {
      let points = curve(trace, first, end);
      if (points.length === 1) {
        const [p, i] = points[0];
        points = [-0.4, 0.4].map((d) => [[p[0] + d, p[1], p[2]], i]);
      }
      let side = null;
      points.forEach(([p, i], k) => {
        const along = unit(minus(points[Math.min(points.length - 1, k + 1)][0],
          points[Math.max(0, k - 1)][0]));
        side = side ?? cross(along, Math.abs(along[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0]);
        side = unit(minus(side, along.map((one) => one * dot(side, along))));
        const other = cross(along, side), radius = radiusOf(i), color = colorOf(i);
        const base = places.length / 3;
        for (let s = 0; s < SIDES; s++) {
          const [c, d] = [Math.cos(2 * Math.PI * s / SIDES), Math.sin(2 * Math.PI * s / SIDES)];
          const n = side.map((one, m) => c * one + d * other[m]);
          places.push(...p.map((one, m) => one + radius * n[m]));
          normals.push(...n);
          colors.push(...color);
          if (k === 0) continue;
          const [a, b] = [base + s, base + (s + 1) % SIDES];
          triangles.push(a - SIDES, b - SIDES, b, a - SIDES, b, a);
        }
      });
    }
    return {
      places: new Float32Array(places), normals: new Float32Array(normals),
      colors: new Uint8Array(colors), triangles: new Uint32Array(triangles),
    };
  };

  /* Octahedra at places (n, 3). */
  c2s.dots = (xyz_A, radiusOf, colorOf) => {
    const places = [], normals = [], colors = [], triangles = [];
    const corners = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]];
    const faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5],
      [0, 3, 5]];
    for (let i = 0; i < xyz_A.shape[0]; i++) {
      const base = places.length / 3, radius = radiusOf(i), color = colorOf(i);
      for (const n of corners) {
        places.push(...n.map((one, k) => xyz_A.data[3 * i + k] + radius * one));
        normals.push(...n);
        colors.push(...color);
      }
      for (const face of faces) triangles.push(...face.map((one) => base + one));
    }
    return {
      places: new Float32Array(places), normals: new Float32Array(normals),
      colors: new Uint8Array(colors), triangles: new Uint32Array(triangles),
    };
  };
})();
