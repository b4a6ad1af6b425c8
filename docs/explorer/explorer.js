"use strict";
// Interpolates certified limits between Chebyshev points and draws them; GRID comes from grid.js.

const NAMES = {
  keep_fraction: "share kept", samples_per_feature: "samples per feature", signal: "signal",
  alignment: "probe's cosine to the teacher", ridge: "ridge", exploit: "share of the budget by score",
};
const LABELS = {
  hardest: "keep hardest", easiest: "keep easiest", random: "random", calibrated: "hardest, calibrated",
};
const state = { keep_fraction: 0.3, samples_per_feature: 6, signal: 2, alignment: 0.8, ridge: 0.01, exploit: 0.5 };
const shown = { hardest: true, easiest: true, random: true, calibrated: true };

// Barycentric weights of the Chebyshev points at position t in [0, 1]; see explorer_grid.py.
function weights(t, count) {
  const terms = [];
  for (let i = 0; i < count; i++) {
    const gap = t - (1 - Math.cos(Math.PI * i / (count - 1))) / 2;
    if (Math.abs(gap) < 1e-12) return Array.from({ length: count }, (_, j) => (j === i ? 1 : 0));
    terms.push(((i % 2 ? -1 : 1) * (i === 0 || i === count - 1 ? 0.5 : 1)) / gap);
  }
  const total = terms.reduce((a, b) => a + b, 0);
  return terms.map((term) => term / total);
}

function position(name, value) {
  const [low, high] = GRID.ranges[name].map(Math.log);
  return (Math.log(value) - low) / (high - low);
}

function limit(policy, what, at) {
  const part = GRID.policies[policy];
  let block = 0;
  for (const name of part.axes) block = block * GRID.sliders[name].length + GRID.sliders[name].indexOf(at[name]);
  const rows = GRID.nodes.keep_fraction, columns = GRID.nodes.samples_per_feature;
  const across = weights(position("keep_fraction", at.keep_fraction), rows);
  const along = weights(position("samples_per_feature", at.samples_per_feature), columns);
  let value = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      value += across[i] * along[j] * part[what][(block * rows + i) * columns + j];
    }
  }
  return value / GRID.steps;
}

function command(policy, at) {
  const rule = { hardest: "--keep hardest --protocol threshold", easiest: "--keep easiest --protocol threshold",
    random: "--protocol random", calibrated: `--keep hardest --protocol exact --exploit ${at.exploit}` }[policy];
  return `nfl-pruning solve --signal ${at.signal} --probe fixed:${at.alignment} --ridge ${at.ridge} ` +
    `--samples-per-feature ${round(at.samples_per_feature)} --keep-fraction ${round(at.keep_fraction)} ${rule}`;
}

function round(value) { return String(Number(value.toPrecision(4))); }

function control(name) {
  const label = document.createElement("label"), input = document.createElement("input");
  const output = document.createElement("output");
  input.type = "range"; input.id = name;
  const snaps = GRID.sliders[name];
  if (snaps) { input.min = 0; input.max = snaps.length - 1; input.step = 1; input.value = snaps.indexOf(state[name]); }
  else { input.min = 0; input.max = 1; input.step = 0.005; input.value = position(name, state[name]); }
  const show = () => { output.textContent = snaps ? state[name] : round(state[name]); };
  input.addEventListener("input", () => {
    const [low, high] = snaps ? [0, 0] : GRID.ranges[name].map(Math.log);
    state[name] = snaps ? snaps[input.value] : Number(round(Math.exp(low + input.value * (high - low))));
    show(); draw();
  });
  label.append(NAMES[name], output, input); show();
  return label;
}

function toggle(policy) {
  const label = document.createElement("label"), box = document.createElement("input");
  box.type = "checkbox"; box.checked = shown[policy]; box.id = `show-${policy}`;
  box.addEventListener("input", () => { shown[policy] = box.checked; draw(); });
  const text = document.createElement("span");
  text.className = policy; text.textContent = ` ${LABELS[policy]}`;
  label.append(box, text);
  return label;
}

function element(name, attributes, text) {
  const found = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  if (text !== undefined) found.textContent = text;
  return found;
}

function draw() {
  const plot = document.getElementById("plot"), what = document.getElementById("what").value;
  const policies = Object.keys(GRID.policies).filter((policy) => shown[policy]);
  const shares = Array.from({ length: 81 }, (_, i) => Math.exp(Math.log(0.1) * (1 - i / 80)));
  const curves = policies.map((policy) => shares.map((r) => limit(policy, what, { ...state, keep_fraction: r })));
  const all = curves.flat(), low = Math.min(...all, what === "cosine" ? 1 : 0.5), high = Math.max(...all, low + 1e-3);
  const x = (r) => 66 + 554 * position("keep_fraction", r), y = (v) => 285 - 265 * (v - low) / (high - low);
  plot.replaceChildren();
  for (const r of [0.1, 0.2, 0.3, 0.5, 0.7, 1]) plot.append(element("text", { x: x(r), y: 305, "text-anchor": "middle" }, r));
  plot.append(element("text", { x: 335, y: 326, "text-anchor": "middle" }, "share kept"));
  for (let i = 0; i <= 4; i++) {
    const v = low + (high - low) * i / 4;
    plot.append(element("line", { x1: 66, x2: 620, y1: y(v), y2: y(v), stroke: "#e5e5e5" }));
    plot.append(element("text", { x: 60, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(3)));
  }
  plot.append(element("line", { x1: x(state.keep_fraction), x2: x(state.keep_fraction), y1: 20, y2: 285, stroke: "#bbb" }));
  policies.forEach((policy, k) => {
    const path = curves[k].map((v, i) => `${i ? "L" : "M"}${x(shares[i]).toFixed(1)},${y(v).toFixed(1)}`).join("");
    const colour = getComputedStyle(document.documentElement).getPropertyValue(`--${policy}`);
    plot.append(element("path", { d: path, fill: "none", stroke: colour, "stroke-width": 2.5, "data-policy": policy }));
  });
  const rows = document.getElementById("rows");
  rows.replaceChildren();
  for (const policy of policies) {
    const row = document.createElement("tr");
    const cells = [LABELS[policy], ...["cosine", "test_error"].map((name) => limit(policy, name, state).toFixed(4))];
    cells.forEach((text, i) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      if (i) { cell.id = `${policy}-${["cosine", "test_error"][i - 1]}`; } else { cell.className = policy; }
      row.append(cell);
    });
    row.addEventListener("click", () => { chosen = policy; draw(); });
    rows.append(row);
  }
  if (!policies.includes(chosen)) chosen = policies[0] || "hardest";
  document.getElementById("command").textContent = command(chosen, state);
  const numbers = Object.entries(state).map(([name, value]) => `${name}=${round(value)}`).join("&");
  document.getElementById("link").href = `#${numbers}`;
}

let chosen = "hardest";

function start() {
  for (const part of location.hash.slice(1).split("&")) {
    const [name, text] = part.split("="), value = Number(text);
    if (!(name in state) || !Number.isFinite(value)) continue;
    const snaps = GRID.sliders[name], range = GRID.ranges[name];
    if (snaps ? snaps.includes(value) : value >= range[0] && value <= range[1]) state[name] = value;
  }
  const controls = document.getElementById("controls");
  controls.replaceChildren(...Object.keys(NAMES).map(control), ...Object.keys(LABELS).map(toggle));
  const worst = Math.max(...Object.values(GRID.errors).flatMap((found) => Object.values(found)));
  document.getElementById("accuracy").textContent =
    `Every stored limit is certified. Between them the page interpolates: at ${GRID.points} random points a ` +
    `policy, the largest difference from a fresh solution was ${worst.toExponential(1)}. ` +
    "Click a row for its command.";
  draw();
}

document.getElementById("what").addEventListener("input", draw);
document.getElementById("copy").addEventListener("click", () =>
  navigator.clipboard && navigator.clipboard.writeText(document.getElementById("command").textContent));
window.addEventListener("hashchange", start);
start();
