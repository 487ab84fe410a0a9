"use strict";
/* Meshes in WebGL 2, drawn only when something changed. Drag turns, wheel zooms, shift-drag moves. */
(() => {
  const VERTEX = `#version 300 es
    in vec3 place; in vec3 normal; in vec3 color;
    uniform mat4 view; uniform mat4 lens;
    out vec3 n; out vec3 c; out vec3 p;
    void main() {
      vec4 at = view * vec4(place, 1.0);
      n = mat3(view) * normal; c = color; p = at.xyz;
      gl_Position = lens * at;
    }`;
  const FRAGMENT = `#version 300 es
    precision highp float;
    in vec3 n; in vec3 c; in vec3 p;
    uniform float alpha; uniform vec2 fog;
    out vec4 shown;
    void main() {
      vec3 toEye = normalize(-p), m = normalize(n);
      if (dot(m, toEye) < 0.0) m = -m;
      float lit = 0.34 + 0.58 * max(dot(m, normalize(vec3(0.35, 0.55, 0.8))), 0.0)
        + 0.16 * max(dot(m, normalize(vec3(-0.7, -0.2, 0.5))), 0.0);
      float shine = pow(max(dot(m, normalize(toEye + vec3(0.35, 0.55, 0.8))), 0.0), 40.0);
      float rim = 1.0 - abs(dot(m, toEye));
      vec3 made = c * lit + 0.18 * shine;
      float far = clamp((-p.z - fog.x) / (fog.y - fog.x), 0.0, 1.0);
      made = mix(made, vec3(1.0), 0.55 * far);
      float a = alpha < 1.0 ? alpha * (0.62 + 1.4 * rim * rim) : 1.0;
      shown = vec4(made * a, a);
    }`;

  function program(gl) {
    const made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    ["place", "normal", "color"].forEach((name, k) => gl.bindAttribLocation(made, k, name));
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
    return made;
  }

  function uploaded(gl, mesh) {
    const vertices = gl.createVertexArray(), buffers = [];
    gl.bindVertexArray(vertices);
    const put = (k, data, kind, scaled) => {
      const buffer = gl.createBuffer();
      buffers.push(buffer);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(k);
      gl.vertexAttribPointer(k, 3, kind, scaled, 0, 0);
    };
    put(0, mesh.places, gl.FLOAT, false);
    put(1, mesh.normals, gl.FLOAT, false);
    if (mesh.colors) put(2, mesh.colors, gl.UNSIGNED_BYTE, true);
    const indices = gl.createBuffer();
    buffers.push(indices);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, indices);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.triangles, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    return { vertices, buffers, n: mesh.triangles.length, color: mesh.color, alpha: mesh.alpha ?? 1 };
  }

  const times = (a, b) => {  // 4 x 4, by column
    const c = new Float32Array(16);
    for (let i = 0; i < 4; i++) for (let j = 0; j < 4; j++) for (let k = 0; k < 4; k++) {
      c[4 * j + i] += a[4 * k + i] * b[4 * j + k];
    }
    return c;
  };
  const turn = (axis, angle) => {
    const m = new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    const [i, j] = [(axis + 1) % 3, (axis + 2) % 3], c = Math.cos(angle), s = Math.sin(angle);
    m[4 * i + i] = m[4 * j + j] = c;
    m[4 * i + j] = s;
    m[4 * j + i] = -s;
    return m;
  };
  const shift = (x, y, z) => new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, y, z, 1]);

  class Scene {
    constructor(canvas, center, radius_A) {
      this.canvas = canvas;
      this.gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
      if (!this.gl) throw new Error("this browser has no WebGL 2");
      this.center = center;
      this.radius = radius_A;
      this.turned = times(turn(0, -1.1), turn(2, 0.5));
      this.moved = [0, 0];
      this.distance = 2.05 * radius_A;
      this.meshes = new Map();
      this.program = program(this.gl);
      this.listen();
    }

    set(name, mesh) {
      const old = this.meshes.get(name);
      if (old) {
        old.buffers.forEach((one) => this.gl.deleteBuffer(one));
        this.gl.deleteVertexArray(old.vertices);
        this.meshes.delete(name);
      }
      if (mesh && mesh.triangles.length) this.meshes.set(name, uploaded(this.gl, mesh));
      this.canvas.dataset.triangles = [...this.meshes.values()].reduce((n, m) => n + m.n / 3, 0);
      this.ask();
    }

    ask() {
      if (this.asked) return;
      this.asked = true;
      requestAnimationFrame(() => { this.asked = false; this.draw(); });
    }

    draw() {
      const { gl, canvas } = this, ratio = window.devicePixelRatio || 1;
      const [w, h] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.round(n * ratio));
      if (!w || !h) return;
      if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
      gl.viewport(0, 0, w, h);
      gl.clearColor(1, 1, 1, 1);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      const near = Math.max(0.5, this.distance - 1.6 * this.radius);
      const far = this.distance + 1.6 * this.radius;
      const f = 2.6, view = times(shift(this.moved[0], this.moved[1], -this.distance),
        times(this.turned, shift(...this.center.map((one) => -one))));
      const wide = Math.max(1, w / h), high = Math.max(1, h / w);
      const lens = new Float32Array([f / wide, 0, 0, 0, 0, f / high, 0, 0, 0, 0,
        (far + near) / (near - far), -1, 0, 0, 2 * far * near / (near - far), 0]);
      gl.useProgram(this.program);
      const place = (name) => gl.getUniformLocation(this.program, name);
      gl.uniformMatrix4fv(place("view"), false, view);
      gl.uniformMatrix4fv(place("lens"), false, lens);
      gl.uniform2f(place("fog"), this.distance - 0.2 * this.radius, far + 0.5 * this.radius);
      gl.enable(gl.DEPTH_TEST);
      const solid = [...this.meshes.values()].filter((one) => one.alpha === 1);
      const clear = [...this.meshes.values()].filter((one) => one.alpha < 1);
      for (const mesh of solid) this.drawMesh(mesh, place);
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      for (const mesh of clear) {  // Its nearest layer only: what is behind would hide the trace.
        gl.colorMask(false, false, false, false);
        this.drawMesh(mesh, place);
        gl.colorMask(true, true, true, true);
        gl.depthFunc(gl.EQUAL);
        this.drawMesh(mesh, place);
        gl.depthFunc(gl.LESS);
      }
      gl.disable(gl.BLEND);
      canvas.dataset.drawn = Number(canvas.dataset.drawn || 0) + 1;
    }

    drawMesh(mesh, place) {
      const { gl } = this;
      gl.uniform1f(place("alpha"), mesh.alpha);
      gl.bindVertexArray(mesh.vertices);
      if (mesh.color) gl.vertexAttrib3f(2, ...mesh.color.map((one) => one / 255));
      gl.drawElements(gl.TRIANGLES, mesh.n, gl.UNSIGNED_INT, 0);
    }

    listen() {
      const { canvas } = this;
      let last = null;
      canvas.addEventListener("pointerdown", (event) => {
        last = [event.clientX, event.clientY];
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener("pointerup", () => { last = null; });
      canvas.addEventListener("pointermove", (event) => {
        if (!last) return;
        const [dx, dy] = [event.clientX - last[0], event.clientY - last[1]];
        last = [event.clientX, event.clientY];
        if (event.shiftKey) {
          const scale = this.distance / canvas.clientHeight / 1.3;
          this.moved = [this.moved[0] + dx * scale, this.moved[1] - dy * scale];
        } else this.turned = times(times(turn(0, dy / 120), turn(1, dx / 120)), this.turned);
        this.ask();
      });
      canvas.addEventListener("wheel", (event) => {
        event.preventDefault();
        this.distance *= Math.exp(Math.sign(event.deltaY) * 0.08);
        this.ask();
      }, { passive: false });
      new ResizeObserver(() => this.ask()).observe(canvas);
    }
  }
  c2s.Scene = Scene;

  c2s.surfaceMesh = (volume, contour, alpha) => {
    const made = c2s.surfaceNets(volume, Math.max(1, contour * 255));
    return { ...made, normals: c2s.normals(made.places, made.triangles), color: [120, 152, 188], alpha };
  };
})();
