"use strict";
/* Reads what c2s_data/explore/pages/packed.py packs, and makes elements. Text from a store reaches
   the page as text nodes only, never as markup. */
window.c2s = {};
(() => {
  const kinds = {
    "|u1": Uint8Array, "<i2": Int16Array, "<u2": Uint16Array, "<i4": Int32Array,
    "<u4": Uint32Array, "<f4": Float32Array, "<f8": Float64Array,
  };

  function revived(value, buffer, base) {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map((one) => revived(one, buffer, base));
    if (kinds[value.dtype] && Array.isArray(value.shape) && typeof value.at === "number") {
      const size = value.shape.reduce((a, b) => a * b, 1);
      return { shape: value.shape, data: new kinds[value.dtype](buffer, base + value.at, size) };
    }
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, revived(one, buffer, base)]));
  }

  c2s.unpack = (buffer) => {
    const length = new DataView(buffer).getUint32(0, true);
    const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
    return revived(JSON.parse(text), buffer, 4 + length);
  };

  c2s.embedded = async (id) => {
    const text = atob(document.getElementById(id).textContent);
    const bytes = Uint8Array.from(text, (one) => one.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return c2s.unpack(await new Response(plain).arrayBuffer());
  };

  c2s.el = (name, properties = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key.startsWith("data-") || key.startsWith("aria-") || key === "role") {
        made.setAttribute(key, value);
      } else made[key] = value;
    }
    made.append(...children.filter((one) => one !== null && one !== undefined));
    return made;
  };

  c2s.svg = (name, attributes = {}, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  c2s.number = (value, digits = 2) =>
    value === null || value === undefined ? "–"
      : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
        .replace("-", "−");
  c2s.percent = (value, digits = 1) =>
    value === null || value === undefined ? "–" : `${c2s.number(100 * value, digits)} %`;
  c2s.significant = (value) =>
    value === null || value === undefined ? "–"
      : Number(value.toPrecision(4)).toString().replace("-", "−");
})();
