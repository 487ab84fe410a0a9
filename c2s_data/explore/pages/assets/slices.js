"use strict";
/* Three planes that slide: from the coarse level at once, at full resolution when it has come. */
(() => {
  const { el } = c2s, AXES = "zyx", MOST_DOTS = 3000;

  class Slices {
    /* map: the overview; ask(name, axis, index): a promise of a plane; onMove(position_zyx). */
    constructor(map, ask, onMove) {
      Object.assign(this, { map, ask, onMove, mask: "", around: true, gain: 1 });
      this.position = map.shape_zyx.map((n) => Math.floor(n / 2));
      this.box = map.shape_zyx.map((n) => [0, n]);
      this.readout = el("p", { className: "sub", id: "readout", "aria-live": "polite" });
      this.views = [0, 1, 2].map((axis) => this.view(axis));
      this.made = el("div", { className: "grid3" }, ...this.views.map((one) => one.made));
    }

    view(axis) {
      const n = this.map.shape_zyx[axis];
      const canvas = el("canvas", { className: "cross", id: `plane-${AXES[axis]}` });
      const slider = el("input", { type: "range", id: `slider-${AXES[axis]}`, min: 0, max: n - 1,
        value: this.position[axis], "aria-label": `plane along ${AXES[axis]}` });
      const caption = el("output");
      const view = { axis, canvas, slider, caption, planes: new Map(), waits: new Set() };
      slider.oninput = () => this.move({ [axis]: Number(slider.value) });
      canvas.addEventListener("wheel", (event) => {
        event.preventDefault();
        this.move({ [axis]: this.position[axis] - Math.sign(event.deltaY) });
      }, { passive: false });
      const [down, across] = [0, 1, 2].filter((k) => k !== axis);
      const pick = (event) => {
        const box = canvas.getBoundingClientRect();
        const right = (event.clientX - box.left) / box.width, up = 1 - (event.clientY - box.top) / box.height;
        const at = (k, share) => this.box[k][0] + Math.floor(share * (this.box[k][1] - this.box[k][0]));
        this.move({ [across]: at(across, right), [down]: at(down, up) });
      };
      canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); pick(event); });
      canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) pick(event); });
      view.made = el("figure", {}, canvas, el("div", { className: "controls" },
        el("label", {}, AXES[axis], slider), caption));
      return view;
    }

    move(to) {
      for (const [axis, index] of Object.entries(to)) {
        this.position[axis] = Math.min(this.map.shape_zyx[axis] - 1, Math.max(0, index));
      }
      this.show();
      this.onMove(this.position);
    }

    show() { this.views.forEach((view) => this.draw(view)); this.tell(); }

    /* The coarse plane nearest to where the view is, cut out of the overview. */
    coarse(axis) {
      const { codes, step } = this.map, [, ny, nx] = codes.shape;
      const steps = [ny * nx, nx, 1], [down, across] = [0, 1, 2].filter((k) => k !== axis);
      const at = Math.min(codes.shape[axis] - 1, Math.floor(this.position[axis] / step));
      const shape = [codes.shape[down], codes.shape[across]], data = new Uint8Array(shape[0] * shape[1]);
      for (let r = 0; r < shape[0]; r++) for (let c = 0; c < shape[1]; c++) {
        data[r * shape[1] + c] = codes.data[at * steps[axis] + r * steps[down] + c * steps[across]];
      }
      return { shape, data };
    }

    /* A plane that has come, or null, and then it is asked for. */
    plane(view, name) {
      const index = this.position[view.axis], key = `${name} ${index}`;
      if (view.planes.has(key)) return view.planes.get(key);
      if (!view.waits.size) {  // One at a time: of a fast slide only the last place is fetched.
        view.waits.add(key);
        this.ask(name, view.axis, index).then((found) => {
          view.planes.set(key, found);
          if (view.planes.size > 24) view.planes.delete(view.planes.keys().next().value);
        }, (error) => { this.error = error.message; view.planes.set(key, null); }).finally(() => {
          view.waits.delete(key);
          this.draw(view);
          this.tell();
        });
      }
      return null;
    }

    draw(view) {
      const { axis, canvas } = view, [down, across] = [0, 1, 2].filter((k) => k !== axis);
      const full = this.plane(view, "density"), labels = this.mask ? this.plane(view, this.mask) : null;
      const shown = full ? full.plane : this.coarse(axis);
      const bright = (code) => c2s.grayColor(code === 255 ? 255 : Math.min(254, 1 + Math.round((code - 1) * this.gain)));
      const [bottom, top] = this.box[down], [left, right] = this.box[across];
      const scale = canvas.clientWidth * (window.devicePixelRatio || 1) / (right - left);
      [canvas.width, canvas.height] = [right - left, top - bottom].map((n) => Math.round(n * scale));
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      this.paste(context, view, c2s.bitmap(c2s.planeImage(shown, (code) => bright(Math.max(1, code)))));
      if (labels) this.drawLabels(canvas, view, this.around ? labels.around : labels.plane, scale);
      const x = (this.position[across] + 0.5 - left) * scale;
      const y = canvas.height - (this.position[down] + 0.5 - bottom) * scale;
      context.strokeStyle = "#ffd166aa";
      context.lineWidth = window.devicePixelRatio || 1;
      context.beginPath();
      const gap = 8 * context.lineWidth;
      for (const [a, b, c, d] of [[0, y, x - gap, y], [x + gap, y, canvas.width, y], [x, 0, x, y - gap], [x, y + gap, x, canvas.height]]) {
        context.moveTo(a, b);
        context.lineTo(c, d);
      }
      context.stroke();
      c2s.scaleBar(canvas, scale);
      view.slider.value = this.position[axis];
      view.caption.textContent = `${this.position[axis]}`;
      canvas.dataset.index = this.position[axis];
      canvas.dataset.level = full ? 0 : this.map.level;
      canvas.dataset.labels = labels ? labels.name : "";
    }

    /* Draws the part of a whole plane's picture that lies in the box, over all of the canvas. The
       pixels of a coarse level are stretched: it leaves out a last odd plane. */
    paste(context, { axis }, bitmap) {
      const [down, across] = [0, 1, 2].filter((k) => k !== axis), shape = this.map.shape_zyx;
      const [bottom, top] = this.box[down], [left, right] = this.box[across];
      const [wide, high] = [bitmap.width / shape[across], bitmap.height / shape[down]];
      context.drawImage(bitmap, left * wide, (shape[down] - top) * high, (right - left) * wide,
        (top - bottom) * high, 0, 0, context.canvas.width, context.canvas.height);
    }

    /* Shows no more than the surroundings of the labeled C-alphas, or the whole map again. */
    closer(trace, margin = 12) {
      this.box = this.map.shape_zyx.map((n, k) => {
        const at = Array.from({ length: trace?.voxel_zyx.shape[0] ?? 0 }, (_, i) => trace.voxel_zyx.data[3 * i + k])
          .filter((one) => one >= 0);
        if (!at.length) return [0, n];
        const [low, high] = at.reduce(([a, b], one) => [Math.min(a, one), Math.max(b, one)], [n, 0]);
        return [Math.max(0, low - margin), Math.min(n, high + margin + 1)];
      });
      this.show();
    }

    /* Sparse labels as dots that stand out, others as the voxels they are. */
    drawLabels(canvas, view, plane, scale) {
      const context = canvas.getContext("2d"), color = this.labelColor(), [, columns] = plane.shape;
      const places = [];
      plane.data.forEach((code, at) => { if (code && places.length <= MOST_DOTS) places.push(at); });
      if (places.length > MOST_DOTS) {
        this.paste(context, view, c2s.bitmap(c2s.planeImage(plane, color)));
        return;
      }
      const [down, across] = [0, 1, 2].filter((k) => k !== view.axis);
      const [bottom, left] = [this.box[down][0], this.box[across][0]];
      context.lineWidth = Math.max(0.8, 0.15 * scale);
      context.strokeStyle = "#ffffff";
      for (const at of places) {
        const x = (at % columns + 0.5 - left) * scale;
        const y = canvas.height - (Math.floor(at / columns) + 0.5 - bottom) * scale;
        context.beginPath();
        context.arc(x, y, Math.max(2.2, 0.9 * scale), 0, 2 * Math.PI);
        context.fillStyle = `rgb(${color(plane.data[at]).slice(0, 3).join(" ")})`;
        context.fill();
        context.stroke();
      }
    }

    labelColor() {
      const known = new Map((c2s.palette[this.mask] ?? []).map(([value, , color]) => [value, c2s.channels(color)]));
      return (code) => code === 0 ? [0, 0, 0, 0] : [...(known.get(code) ?? [242, 84, 140]), 235];
    }

    tell() {
      const [z, y, x] = this.position, origin = this.map.origin_xyz_A;
      const world = [x, y, z].map((v, k) => c2s.number(v + origin[k], 1)).join(", ");
      const view = this.views[0], at = y * this.map.shape_zyx[2] + x;
      const full = view.planes.get(`density ${z}`), labels = this.mask ? view.planes.get(`${this.mask} ${z}`) : null;
      let text = `voxel z ${z}, y ${y}, x ${x}; at (${world}) Å`;
      if (full) {
        const code = full.plane.data[at];
        text += `; density ${code === 255 ? "1" : c2s.number(Math.max(0, code - 1) / 254, 2)}`;
      }
      if (labels) text += `; ${this.mask} ${c2s.classes[this.mask]?.[labels.plane.data[at]] ?? labels.plane.data[at]}`;
      if (this.error) text += `; ${this.error}`;
      this.readout.textContent = text;
    }
  }
  c2s.Slices = Slices;
})();
