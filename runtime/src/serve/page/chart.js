// Draws: a sparkline, lines over windows, bars by key. Pure functions of their arguments to an SVG element.

import { clock, day, short } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const DAY_MS = 86_400_000;

function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function canvas(width, height, label) {
  return element("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

/** Round steps that cover `low` to `high` in about `count` parts. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) * power;
  const made = [];
  for (let index = Math.floor(low / step); index <= Math.ceil(high / step - 1e-9); index += 1) made.push(index * step);
  return made;
}

/** The newest value stands at the right edge; `room` is how many values the width holds. */
export function spark(values, room) {
  const [width, height] = [200, 60];
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const top = Math.max(...values, 1);
  const x = (index) => width - ((values.length - 1 - index) * width) / (room - 1);
  const y = (value) => height - 1 - (value / top) * (height - 4);
  svg.append(element("line", { class: "base", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }));
  if (values.length > 1) {
    const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join("L");
    svg.append(
      element("path", { class: "area", d: `M${x(0).toFixed(1)},${height}L${points}L${width},${height}Z` }),
      element("path", { class: "line", d: `M${points}`, "vector-effect": "non-scaling-stroke" }),
    );
  }
  return svg;
}

/**
 * Lines over windows.
 * `windows`: starts in ms, equally spaced; `series`: [{ values: [number | null] }]; `openFrom`: index of the first
 * provisional window; `marked`: index of the window that the reader points at, or null.
 */
export function lines({ width, height, windows, series, openFrom, marked, label }) {
  const svg = canvas(width, height, label);
  const values = series.flatMap((one) => one.values.filter((value) => value !== null));
  const scale = ticks(Math.min(0, ...values), Math.max(0, ...values), 4);
  const [low, high] = [scale[0], Math.max(scale.at(-1), scale[0] + 1)];
  const left = 12 + 7 * Math.max(...scale.map((tick) => short(tick).length));
  const [right, top, bottom] = [12, 18, 26];
  const step = (width - left - right) / Math.max(1, windows.length - 1);
  const x = (index) => left + index * step;
  const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);

  if (openFrom < windows.length) {
    const from = Math.max(left, x(openFrom) - step / 2);
    const band = { class: "open-band", x: from, y: top, width: width - right - from, height: height - top - bottom };
    svg.append(element("rect", band));
    svg.append(element("text", { x: width - right, y: 11, "text-anchor": "end" }, "provisional"));
  }
  for (const tick of scale) {
    const at = Math.round(y(tick)) + 0.5;
    svg.append(element("line", { class: tick === 0 ? "zero" : "grid", x1: left, x2: width - right, y1: at, y2: at }));
    svg.append(element("text", { x: left - 8, y: at + 4, "text-anchor": "end" }, short(tick)));
  }
  svg.append(...timeLabels(windows, x, step, height, width));
  for (const [hue, one] of series.entries()) {
    svg.append(path(one.values, x, y, 0, openFrom - 1, `series hue-${hue}`));
    svg.append(path(one.values, x, y, Math.max(0, openFrom - 1), windows.length - 1, `series provisional hue-${hue}`));
  }
  if (marked !== null) {
    svg.append(element("line", { class: "cross", x1: x(marked), x2: x(marked), y1: top, y2: height - bottom }));
  }
  const shown = marked ?? windows.length - 1;
  for (const [hue, one] of series.entries()) {
    const value = one.values[shown];
    if (value === null || value === undefined) continue;
    svg.append(element("circle", { class: `point hue-${hue}`, cx: x(shown), cy: y(value), r: 3.5 }));
  }
  return { svg, windowAt: (position) => Math.min(windows.length - 1, Math.max(0, Math.round((position - left) / step))) };
}

function path(values, x, y, from, to, name) {
  let d = "";
  let pen = "M";
  for (let index = from; index <= to; index += 1) {
    const value = values[index];
    if (value === null || value === undefined) {
      pen = "M";
      continue;
    }
    d += `${pen}${x(index).toFixed(1)},${y(value).toFixed(1)}`;
    pen = "L";
  }
  return element("path", { class: name, d });
}

/** As many labels as fit; days where the day changes, times between. */
function timeLabels(windows, x, step, height, width) {
  const wide = windows.length > 1 ? windows[1] - windows[0] : DAY_MS;
  const every = [1, 2, 3, 4, 6, 12, 24, 48, 96, 192].find((count) => count * step >= 64) ?? windows.length;
  const made = [];
  let lastDay = null;
  for (const [index, start] of windows.entries()) {
    if (Math.round(start / wide) % every !== 0) continue;
    const newDay = day(start) !== lastDay;
    lastDay = day(start);
    const at = Math.min(Math.max(x(index), 24), width - 24);
    made.push(element("text", { x: at, y: height - 8, "text-anchor": "middle" }, newDay ? day(start) : clock(start)));
  }
  return made;
}

/** Bars by key: `bars`: [{ name, value, before, text }], largest first; hatched while the window is provisional. */
export function bars({ width, height, bars: rows, open, label }) {
  const svg = canvas(width, height, label);
  svg.append(hatch());
  const names = Math.min(150, Math.round(width * 0.3));
  const amounts = 16 + 8 * Math.max(1, ...rows.map((row) => row.text.length));
  const room = width - names - amounts;
  const values = rows.flatMap((row) => [row.value, row.before ?? 0]);
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const x = (value) => names + ((value - low) / (high - low || 1)) * room;
  const tall = Math.min(34, height / Math.max(rows.length, 1));
  for (const [index, row] of rows.entries()) {
    const middle = index * tall + tall / 2;
    const [from, to] = [Math.min(x(0), x(row.value)), Math.max(x(0), x(row.value))];
    const thick = Math.min(18, tall - 8);
    svg.append(
      element("text", { class: "name", x: names - 10, y: middle + 4, "text-anchor": "end" }, cut(row.name, names)),
      element("rect", {
        class: open ? "bar provisional" : "bar",
        x: from,
        y: middle - thick / 2,
        width: Math.max(1, to - from),
        height: thick,
        rx: 2,
      }),
      element("text", { class: "amount", x: Math.max(to, x(row.before ?? 0)) + 10, y: middle + 4 }, row.text),
    );
    if (row.before !== null) {
      const at = x(row.before);
      svg.append(element("line", { class: "before-mark", x1: at, x2: at, y1: middle - thick / 2 - 3, y2: middle + thick / 2 + 3 }));
    }
  }
  svg.append(element("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: rows.length * tall }));
  return svg;
}

function cut(text, width) {
  const room = Math.max(4, Math.floor((width - 14) / 7));
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}

function hatch() {
  const size = { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
  return element(
    "defs",
    {},
    element(
      "pattern",
      size,
      element("rect", { class: "hatch-ground", width: 6, height: 6 }),
      element("line", { class: "hatch-line", x1: 0, x2: 0, y1: 0, y2: 6 }),
    ),
  );
}
