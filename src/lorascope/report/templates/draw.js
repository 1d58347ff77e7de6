// Drawing: elements, colours, axes, lines, whiskers, tables. Text reaches the page through textContent alone.

const SVG = "http://www.w3.org/2000/svg";
const CIVIDIS =
  "00224e00285b002e6a0533711a386f273e6e32436d3b496c434e6c4b546c535a6d5a5f6e61656f686a716f70737676767d7c78848279" +
  "8c8878938e789b9476a39a74aba072b4a76fbcae6cc4b468cdbb63d5c25edec958e7d150f0d846f9e03afee838";
const STOPS = Array.from({ length: 33 }, (_, i) => [0, 2, 4].map((k) => parseInt(CIVIDIS.substr(6 * i + k, 2), 16)));
const DASHES = { attention: "", mlp: "7 3", embed: "7 3 2 3", lm_head: "2 2", other: "4 2 1 2 1 2" };
const MARKS = { attention: "circle", mlp: "square", embed: "up", lm_head: "diamond", other: "down" };

const narrow = () => window.innerWidth <= 820;
const dark = () => document.documentElement.dataset.theme === "dark";

/** Cividis; more always stands further from the page: dark on a light page, bright on a dark one. */
function colour(share) {
  const place = 32 * (dark() ? share : 1 - share);
  const low = Math.min(31, Math.floor(place));
  return `rgb(${STOPS[low].map((a, k) => Math.round(a + (place - low) * (STOPS[low + 1][k] - a))).join(", ")})`;
}

/** An element; attributes by setAttribute, text by textContent, children appended. */
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, text] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), text);
    else if (text !== undefined && text !== null && text !== false)
      element.setAttribute(name, text === true ? "" : text);
  }
  element.append(
    ...children.filter((child) => child !== null).map((child) => (child instanceof Node ? child : `${child}`)),
  );
  return element;
}

const text = (x, y, words, attributes = {}) => draw("text", { x, y, ...attributes }, words);
const byId = (id) => document.getElementById(id);

/** A marker of a group's shape. */
function mark(shape, x, y, size, attributes) {
  const s = size;
  const corners = {
    square: [
      [-s, -s],
      [s, -s],
      [s, s],
      [-s, s],
    ],
    diamond: [
      [0, -1.3 * s],
      [1.3 * s, 0],
      [0, 1.3 * s],
      [-1.3 * s, 0],
    ],
    up: [
      [0, -1.2 * s],
      [1.1 * s, s],
      [-1.1 * s, s],
    ],
    down: [
      [0, 1.2 * s],
      [1.1 * s, -s],
      [-1.1 * s, -s],
    ],
  }[shape];
  if (!corners) return draw("circle", { cx: x, cy: y, r: s, ...attributes });
  return draw("polygon", { points: corners.map(([dx, dy]) => `${x + dx},${y + dy}`).join(" "), ...attributes });
}

/** Round numbers between two: powers of ten with 1, 2, 5 on a logarithmic axis. */
function ticks(low, high, log, most = 6) {
  if (log) {
    const all = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const m of [1, 2, 5]) if (m * 10 ** e >= low * 0.999 && m * 10 ** e <= high * 1.001) all.push([m, e]);
    for (const kept of [all, all.filter(([m]) => m === 1), all.filter(([m, e]) => m === 1 && e % 2 === 0)])
      if (kept.length <= most && kept.length > 1) return kept.map(([m, e]) => m * 10 ** e);
    if (all.length > most)
      return all.filter((_, i) => i % Math.ceil(all.length / most) === 0).map(([m, e]) => m * 10 ** e);
  }
  const rough = (high - low) / Math.max(1, most - 1) || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * size).find((s) => s >= rough);
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step)
    found.push(Math.abs(t) < step / 1e6 ? 0 : t);
  return found;
}

/** A tick's label: no more digits than it needs. */
const label = (number) =>
  number !== 0 && (Math.abs(number) < 1e-3 || Math.abs(number) >= 1e5)
    ? number.toExponential(Number((number / 10 ** Math.floor(Math.log10(Math.abs(number)))).toFixed(3)) % 1 ? 1 : 0)
    : Number(number.toPrecision(4)).toLocaleString("en-US", { maximumFractionDigits: 6 });

/** Ends of an axis that holds the numbers; logarithmic where all are positive and span more than a decade. */
function domain(numbers, fromZero) {
  const there = numbers.filter(Number.isFinite);
  let [low, high] = there.length ? [Math.min(...there), Math.max(...there)] : [0, 1];
  if (low > 0 && high > 10 * low) return { log: true, low: low / 1.2, high: high * 1.2 };
  if (fromZero) low = Math.min(0, low);
  const pad = 0.06 * (high - low) || 0.1 * Math.abs(high) || 1;
  return { log: false, low: fromZero && low === 0 ? 0 : low - pad, high: high + pad };
}

function scale({ log, low, high }, from, to) {
  const at = log ? (v) => Math.log(v / low) / Math.log(high / low) : (v) => (v - low) / (high - low);
  return (v) => from + at(v) * (to - from);
}

/**
 * Lines over steps. lines: [{name, steps, values, color, dash, mark, width, dots, rings: [i]}];
 * phases: [[start, end, name]].
 * `onstep(step)` is called for a click; the figure's `cursor(step)` moves the dashed line.
 */
function lineChart({ title, unit, lines, phases = [], bounds, onstep, fromZero = true, zeroNote, width }) {
  const W = width ?? (narrow() ? 366 : 460);
  const [H, left, right, top, bottom] = [230, 62, 16, 22, 34];
  const steps = lines.flatMap((line) => line.steps);
  const ends = [Math.min(...steps), Math.max(...steps)];
  const pad = Math.max(0.5, 0.015 * (ends[1] - ends[0]));
  const y =
    bounds ??
    domain(
      lines.flatMap((line) => line.values),
      fromZero,
    );
  const [sx, sy] = [scale({ low: ends[0] - pad, high: ends[1] + pad }, left, W - right), scale(y, H - bottom, top)];
  const svg = draw("svg", {
    viewBox: `0 0 ${W} ${H}`,
    width: "100%",
    role: "img",
    "aria-label": `${title}; a table with the numbers follows`,
  });
  phases.forEach(([start, end, name], i) => {
    const [a, b] = [Math.max(left, sx(start + 0.5)), Math.min(W - right, sx(end + 0.5))];
    if (b <= a) return;
    if (i % 2 === 0 && phases.length <= 60)
      svg.append(draw("rect", { x: a, y: top, width: b - a, height: H - bottom - top, class: "phase" }));
    if (b - a > 6.2 * name.length)
      svg.append(text((a + b) / 2, top + 11, name, { "text-anchor": "middle", class: "soft" }));
  });
  for (const t of ticks(y.low, y.high, y.log))
    svg.append(
      draw("line", { x1: left, x2: W - right, y1: sy(t), y2: sy(t), class: "grid" }),
      text(left - 6, sy(t) + 4, label(t), { "text-anchor": "end", class: "soft" }),
    );
  for (const t of ticks(ends[0], ends[1], false).filter((t) => Number.isInteger(t)))
    svg.append(text(sx(t), H - bottom + 16, label(t), { "text-anchor": "middle", class: "soft" }));
  svg.append(
    draw("line", { x1: left, x2: W - right, y1: H - bottom, y2: H - bottom, class: "axis" }),
    text(W - right, H - 4, "optimizer step", { "text-anchor": "end", class: "soft" }),
    text(4, 12, unit, { class: "soft" }),
  );
  for (const line of [...lines].sort((a, b) => (a.width ?? 2) - (b.width ?? 2))) {
    const there = line.steps.map((step, i) => [sx(step), sy(line.values[i]), line.values[i]]);
    let path = "";
    let open = false;
    for (const [px, py, v] of there) {
      const shown = Number.isFinite(v) && !(y.log && v <= 0);
      if (shown) path += `${open ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`;
      open = shown;
    }
    svg.append(
      draw("path", {
        d: path,
        fill: "none",
        stroke: line.color,
        "stroke-width": line.width ?? 2,
        "stroke-dasharray": line.dash || null,
        "stroke-opacity": line.opacity,
        "stroke-linejoin": "round",
      }),
    );
    there.forEach(([px, py, v], i) => {
      const alone = there.length === 1 || line.dots;
      if (Number.isFinite(v) && (alone || (line.mark && i % Math.ceil(there.length / 8) === 0)) && !(y.log && v <= 0))
        svg.append(mark(line.mark ?? "circle", px, py, 3.2, { fill: line.color }));
      if (v === Infinity) svg.append(text(px, top + 4, "x", { "text-anchor": "middle" }));
      if (line.rings?.includes(i))
        svg.append(draw("circle", { cx: px, cy: py, r: 7, fill: "none", stroke: line.color, "stroke-width": 2 }));
    });
  }
  const cursor = draw("line", { y1: top, y2: H - bottom, class: "cursor", visibility: "hidden" });
  svg.append(cursor);
  if (onstep)
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      const share = (((event.clientX - box.left) / box.width) * W - left) / (W - right - left);
      onstep(ends[0] + Math.min(1, Math.max(0, share)) * (ends[1] - ends[0]));
    });
  const figure = make("figure", {}, svg);
  figure.cursor = (step) => {
    cursor.setAttribute("visibility", step === null ? "hidden" : "visible");
    if (step !== null) ["x1", "x2"].forEach((name) => cursor.setAttribute(name, sx(step)));
  };
  if (zeroNote && y.log && lines.some((line) => line.values.includes(0)))
    figure.append(make("p", { class: "small" }, zeroNote));
  figure.append(asTable(["step", ...lines.map((line) => line.name)], () => lineRows(lines)));
  return figure;
}

function lineRows(lines) {
  const rows = new Map();
  lines.forEach((line, k) =>
    line.steps.forEach((step, i) => {
      if (!rows.has(step)) rows.set(step, [step, ...lines.map(() => null)]);
      rows.get(step)[k + 1] = line.values[i];
    }),
  );
  return [...rows.values()].sort((a, b) => a[0] - b[0]);
}

/** The key of a chart: a line and a name for each. */
function key(entries) {
  return make(
    "div",
    { class: "legend" },
    ...entries.map(({ name, color, dash, mark: shape }) =>
      make(
        "span",
        {},
        draw(
          "svg",
          { width: 34, height: 12, "aria-hidden": "true" },
          draw("line", {
            x1: 0,
            x2: 34,
            y1: 6,
            y2: 6,
            stroke: color,
            "stroke-width": 2,
            "stroke-dasharray": dash || null,
          }),
          ...(shape ? [mark(shape, 17, 6, 3.2, { fill: color })] : []),
        ),
        name,
      ),
    ),
  );
}

/** Rows of a dot and a whisker on one axis: rows: [{name, value, low, high, color, mark, other}]. */
function dotChart({ title, unit, rows, bounds, width }) {
  const [left, right, top, h] = [Math.min(190, 12 + 7 * Math.max(...rows.map((row) => row.name.length))), 185, 8, 24];
  const H = top + h * rows.length + 34;
  const numbers = rows.flatMap((row) => [row.value, row.low, row.high, row.other]).filter(Number.isFinite);
  const axis = bounds ?? domain(numbers, true);
  const sx = scale(axis, left, width - right);
  const inside = (v) => Number.isFinite(v) && !(axis.log && v <= 0);
  const svg = draw("svg", {
    viewBox: `0 0 ${width} ${H}`,
    width: "100%",
    role: "img",
    "aria-label": `${title}; a table with the numbers follows`,
  });
  for (const t of ticks(axis.low, axis.high, axis.log, 4))
    svg.append(
      draw("line", { x1: sx(t), x2: sx(t), y1: top, y2: top + h * rows.length, class: "grid" }),
      text(sx(t), H - 20, label(t), { "text-anchor": "middle", class: "soft" }),
    );
  svg.append(text(left, H - 4, unit, { class: "soft" }));
  rows.forEach((row, i) => {
    const at = top + h * (i + 0.5);
    svg.append(text(left - 8, at + 4, row.name, { "text-anchor": "end" }));
    if (inside(row.low) && inside(row.high))
      svg.append(
        draw("line", { x1: sx(row.low), x2: sx(row.high), y1: at, y2: at, stroke: row.color, "stroke-width": 2 }),
      );
    if (inside(row.other))
      svg.append(
        draw("circle", { cx: sx(row.other), cy: at, r: 4.5, fill: "none", stroke: "var(--soft)", "stroke-width": 2 }),
      );
    if (inside(row.value)) svg.append(mark(row.mark ?? "circle", sx(row.value), at, 4.5, { fill: row.color }));
    const ends = Number.isFinite(row.low) ? ` [${short(row.low)}, ${short(row.high)}]` : "";
    svg.append(text(width - right + 10, at + 4, `${short(row.value)}${ends}`));
  });
  return make("figure", {}, svg);
}

/** A table. Numbers are set right; the header stays text. */
function table(headers, rows) {
  const numeric = headers.map((_, i) => rows.some((row) => typeof row[i] === "number"));
  return make(
    "table",
    {},
    make(
      "thead",
      {},
      make("tr", {}, ...headers.map((words, i) => make("th", { scope: "col", class: numeric[i] && "number" }, words))),
    ),
    make(
      "tbody",
      {},
      ...rows.map((row) =>
        make(
          "tr",
          {},
          ...row.map((cell, i) =>
            make(
              "td",
              { class: numeric[i] && "number" },
              typeof cell === "number"
                ? Number.isInteger(cell)
                  ? cell.toLocaleString("en-US")
                  : short(cell)
                : (cell ?? "-"),
            ),
          ),
        ),
      ),
    ),
  );
}

/** The same numbers as a table, made when it is opened (and before printing). */
function asTable(headers, rows) {
  const details = make("details", { class: "astable" }, make("summary", {}, "as table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1)
      details.append(
        make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "table" }, table(headers, rows())),
      );
  });
  return details;
}
