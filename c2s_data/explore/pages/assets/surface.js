"use strict";
/* Surface nets: one vertex in each cell that the surface crosses, at the mean of its crossings
   (S. F. F. Gibson, Constrained elastic surface nets, MICCAI 1998). Values are bytes (z, y, x). */
(() => {
  /* Crossings of the cell's twelve edges, as sums of x, y, z and their number. */
  function crossings(values, corner, offsets, level, sums) {
    let n = 0;
    sums[0] = sums[1] = sums[2] = 0;
    for (let a = 0; a < 8; a++) {
      for (let axis = 0; axis < 3; axis++) {
        if (a & (1 << axis)) continue;
        const va = values[corner + offsets[a]], vb = values[corner + offsets[a | (1 << axis)]];
        if ((va >= level) === (vb >= level)) continue;
        const t = (level - va) / (vb - va);
        for (let k = 0; k < 3; k++) sums[k] += k === axis ? t : (a >> k) & 1;
        n++;
      }
    }
    return n;
  }

  c2s.surfaceNets = (volume, level) => {
    const [nz, ny, nx] = volume.codes.shape, values = volume.codes.data;
    const steps = [1, nx, nx * ny];
    const offsets = Array.from({ length: 8 }, (_, c) =>
      (c & 1) * steps[0] + ((c >> 1) & 1) * steps[1] + ((c >> 2) & 1) * steps[2]);
    const vertexOf = new Int32Array(values.length).fill(-1);
    const places = [], triangles = [], sums = [0, 0, 0], origin = volume.origin_xyz_A;
    for (let z = 0; z + 1 < nz; z++) for (let y = 0; y + 1 < ny; y++) {
      for (let x = 0; x + 1 < nx; x++) {
        const at = x + nx * (y + ny * z);
        let inside = 0;
        for (let c = 0; c < 8; c++) inside += values[at + offsets[c]] >= level;
        if (inside === 0 || inside === 8) continue;
        const n = crossings(values, at, offsets, level, sums);
        vertexOf[at] = places.length / 3;
        [x, y, z].forEach((one, k) =>
          places.push(origin[k] + volume.step_A * (one + sums[k] / n)));
        const from = values[at] >= level;
        for (let axis = 0; axis < 3; axis++) {
          const u = steps[(axis + 1) % 3], v = steps[(axis + 2) % 3];
          const place = [x, y, z];
          if (!place[(axis + 1) % 3] || !place[(axis + 2) % 3]) continue;
          if (from === (values[at + steps[axis]] >= level)) continue;
          const [a, b, c, d] = [at, at - u, at - u - v, at - v].map((one) => vertexOf[one]);
          if (Math.min(a, b, c, d) < 0) continue;
          if (from) triangles.push(a, b, c, a, c, d);
          else triangles.push(a, c, b, a, d, c);
        }
      }
    }
    return { places: new Float32Array(places), triangles: new Uint32Array(triangles) };
  };

  c2s.normals = (places, triangles) => {
    const normals = new Float32Array(places.length);
    for (let t = 0; t < triangles.length; t += 3) {
      const [a, b, c] = [0, 1, 2].map((k) => 3 * triangles[t + k]);
      const p = [0, 1, 2].map((k) => places[b + k] - places[a + k]);
      const q = [0, 1, 2].map((k) => places[c + k] - places[a + k]);
      for (let k = 0; k < 3; k++) {
        const n = p[(k + 1) % 3] * q[(k + 2) % 3] - p[(k + 2) % 3] * q[(k + 1) % 3];
        for (const one of [a, b, c]) normals[one + k] += n;
      }
    }
    return normals;
  };
})();
