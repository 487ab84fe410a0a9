"use strict";
/* The colors of c2s_data/explore/palette.py, which the page carries, as the pictures need them. */
(() => {
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const chains = ["#2563a8", "#e08e0b", "#3a9d6e", "#8e5bc7", "#d1495b", "#1c9aa8", "#8a5a2b",
    "#5e6b78", "#c26aa8", "#7d9b1f"];
  const low = [198, 40, 40], middle = [246, 222, 141], high = [37, 99, 168];

  c2s.channels = channels;
  c2s.chainColor = (chain) => channels(chains[chain % chains.length]);

  /* Red through yellow to blue over 0 to 1. */
  c2s.ramp = (value) => {
    const at = Math.min(1, Math.max(0, value));
    const [from, to, share] = at < 0.5 ? [low, middle, 2 * at] : [middle, high, 2 * at - 1];
    return from.map((one, k) => Math.round(one + share * (to[k] - one)));
  };

  /* Color, as three bytes, of residue i of a trace. */
  c2s.residueColor = (trace, by, i) => {
    if (by === "chain") return c2s.chainColor(trace.chain.data[i]);
    if (by === "q_score") return c2s.ramp(trace.q_score.data[i]);
    if (by === "confidence") return c2s.ramp(trace.confidence.data[i]);
    const value = trace[by].data[i];
    const found = c2s.palette[by].find(([one]) => one === value);
    return channels(found ? found[2] : "#8c96a3");
  };
})();
