// The model map: layers along one side, projections along the other, a cell for each; its keyboard; the chosen cell.

/** What the reader has chosen. `step` null is the whole run; `pin` is a cell's key. */
const state = { score: "", matrix: "", step: null, scale: "run", shown: [], pin: null, focus: null };
const listeners = [];

/** Change the state and show it everywhere. */
function choose(change) {
  Object.assign(state, change);
  listeners.forEach((listener) => listener(change));
}

/** Rows and columns of the cells of some sources, in the order of the data flow. */
function plan(sources) {
  const cells = sources.flatMap((source) => source.map.cells);
  const rows = [...new Map(cells.filter((cell) => cell.layer !== null).map((cell) => [cell.row, cell])).values()];
  const layers = [...new Set(cells.filter((cell) => cell.layer !== null).map((cell) => cell.layer))].sort(
    (a, b) => a - b,
  );
  const single = [...new Map(cells.filter((cell) => cell.layer === null).map((cell) => [cell.key, cell])).values()];
  return {
    rows,
    layers,
    before: single.filter((cell) => cell.group === "embed"),
    after: single.filter((cell) => cell.group !== "embed"),
    stacks: new Set(rows.map((row) => row.stack)).size,
  };
}

/**
 * One map. Returns {svg, paint(frame)}; `frame` null is the mean over the run. On a narrow page layers run downwards.
 * Every cell is a gridcell in a row of the grid; arrows move, Enter or a click pins, Escape frees.
 */
function drawMap(source, plan_, width, tall, ends, fixed) {
  const { rows, layers, before, after } = plan_;
  const columns = [...before, ...layers, ...after];
  const gap = rows.map((row, i) => (i > 0 && row.group !== rows[i - 1].group ? 6 : 0));
  const offset = rows.map((_, i) => gap.slice(0, i + 1).reduce((a, b) => a + b, 0));
  const margin = tall ? 54 : 190;
  const [left, top] = tall ? [58, 40] : [plan_.stacks > 1 ? 150 : 92, 24];
  const along = Math.max(8, Math.min(74, (width - left - margin) / columns.length));
  const across = tall ? Math.min(52, (width - left - margin - offset.at(-1)) / Math.max(1, rows.length)) : 26;
  const down = tall ? 24 : across;
  const span = offset.at(-1) + rows.length * (tall ? across : down);
  const long = columns.length * (tall ? down : along);
  const extra = tall ? 34 : 42;
  const [W, H] = tall ? [left + span + margin, top + long + extra] : [left + long + margin, top + span + extra];
  const svg = draw("svg", { viewBox: `0 0 ${W} ${H}`, width: W, height: H });
  const place = (r, c) =>
    tall
      ? { x: left + offset[r] + r * across, y: top + c * down, width: across, height: down }
      : { x: left + c * along, y: top + offset[r] + r * down, width: along, height: down };
  const band = (c) =>
    tall
      ? { x: left, y: top + c * down, width: span, height: down }
      : { x: left + c * along, y: top, width: along, height: span };
  const painted = [];
  const grid = draw("g", {
    role: "grid",
    "aria-label": `${source.name}: layers by projections; arrow keys move, Enter pins a cell, Escape frees it`,
  });
  const at = new Map();

  function addCell(cell, box, group, row, column) {
    const rect = draw("rect", {
      x: box.x + 0.5,
      y: box.y + 0.5,
      width: box.width - 1,
      height: box.height - 1,
      rx: 1.5,
      class: "cellbox",
      role: "gridcell",
      tabindex: "-1",
      "data-key": cell.key,
    });
    const hatched = draw("rect", {
      x: box.x + 0.5,
      y: box.y + 0.5,
      width: box.width - 1,
      height: box.height - 1,
      fill: "url(#hatch)",
      "pointer-events": "none",
      visibility: "hidden",
    });
    group.append(rect);
    painted.push({ cell, rect, hatched });
    at.set(cell.key, { rect, box, row, column });
    if (fixed) return;
    rect.addEventListener("click", () => {
      move(cell.key, false);
      choose({ pin: state.pin === cell.key ? null : cell.key });
    });
    rect.addEventListener("pointerenter", () => choose({ hover: cell.key }));
    rect.addEventListener("pointerleave", () => choose({ hover: null }));
    rect.addEventListener("focus", () => {
      ring(at.get(cell.key).box);
      say(cell);
      choose({ focus: cell.key });
    });
    rect.addEventListener("blur", () => ring(null));
  }

  rows.forEach((row, r) => {
    const words = (plan_.stacks > 1 ? `${row.stack} ` : "") + row.projection;
    const group = draw("g", { role: "row", "aria-label": words });
    layers.forEach((layer, i) => {
      const cell = source.byKey.get(`${row.row} ${layer}`);
      const box = place(r, before.length + i);
      if (cell) addCell(cell, box, group, r, before.length + i);
      else
        svg.append(
          draw("rect", {
            x: box.x + box.width / 2 - 1,
            y: box.y + box.height / 2 - 1,
            width: 2,
            height: 2,
            fill: "var(--soft)",
          }),
        );
    });
    if (group.childNodes.length) grid.append(group);
    const box = place(r, 0);
    const named = tall
      ? text(box.x + box.width / 2, top - 8, words, { "text-anchor": "middle" })
      : text(left - 8, box.y + box.height / 2 + 4, words, { "text-anchor": "end" });
    named.style.fill = `var(--${row.group}-text)`;
    svg.append(named);
    if (r === 0 || row.group !== rows[r - 1].group) {
      const title = tall ? text(box.x, 14, GROUPS[row.group]) : text(2, box.y + box.height / 2 + 4, GROUPS[row.group]);
      title.style.fill = `var(--${row.group}-text)`;
      title.style.fontWeight = 600;
      svg.append(title);
    }
  });
  const outside = draw("g", { role: "row", "aria-label": "outside the layers" });
  [...before.map((cell, i) => [cell, i]), ...after.map((cell, i) => [cell, before.length + layers.length + i])].forEach(
    ([one, c]) => {
      const cell = source.byKey.get(one.key);
      if (cell) addCell(cell, band(c), outside, 0, c);
      const box = band(c);
      const words = GROUPS[one.group] === "embedding" ? "emb" : GROUPS[one.group];
      svg.append(
        tall
          ? text(left - 6, box.y + 16, words, { "text-anchor": "end" })
          : text(box.x + box.width / 2, top - 8, words, { "text-anchor": "middle" }),
      );
    },
  );
  if (outside.childNodes.length) grid.append(outside);
  const every = Math.ceil(
    layers.length / Math.max(1, Math.floor((layers.length * (tall ? down : along)) / (tall ? 16 : 26))),
  );
  layers.forEach((layer, i) => {
    if (i % every) return;
    const box = band(before.length + i);
    svg.append(
      tall
        ? text(left - 6, box.y + box.height / 2 + 4, layer, { "text-anchor": "end", class: "soft" })
        : text(box.x + box.width / 2, top - 8, layer, { "text-anchor": "middle", class: "soft" }),
    );
  });
  if (layers.length)
    svg.append(text(left - (before.length ? 50 : 8), top - 8, "layer", { "text-anchor": "end", class: "soft" }));
  svg.append(grid, ...painted.map(({ hatched }) => hatched));

  // margins: each layer and each projection, of the same sums
  const sums = layers.map((layer, i) => {
    const box = tall
      ? { x: left + span + 8, y: top + (before.length + i) * down, width: 26, height: down }
      : { x: left + (before.length + i) * along, y: top + span + 8, width: along, height: 16 };
    const rect = draw("rect", {
      x: box.x + 0.5,
      y: box.y + 0.5,
      width: box.width - 1,
      height: box.height - 1,
      rx: 1.5,
    });
    svg.append(rect);
    return { rect, cells: source.map.cells.filter((cell) => cell.layer === layer) };
  });
  svg.append(
    tall
      ? text(left + span + 21, top - 8, "all", { "text-anchor": "middle", class: "soft" })
      : text(left - 8, top + span + 20, "all, per layer", { "text-anchor": "end", class: "soft" }),
  );
  const totals = rows.map((row, r) => ({
    row,
    r,
    cells: source.map.cells.filter((cell) => cell.row === row.row),
    drawn: draw("g"),
  }));
  svg.append(...totals.map(({ drawn }) => drawn));
  if (!tall) svg.append(text(W - margin + 12, top - 8, "all layers", { class: "soft" }));

  const rings = [
    draw("rect", { class: "ring", rx: 2, visibility: "hidden" }),
    draw("rect", { class: "ring", rx: 2, visibility: "hidden" }),
    draw("rect", { class: "ring", rx: 2, visibility: "hidden" }),
  ];
  ["var(--page)", "var(--ink)", "var(--ink)"].forEach((c, i) => {
    rings[i].style.stroke = c;
    rings[i].style.strokeWidth = [6, 3, 2][i];
  });
  rings[2].style.strokeDasharray = "3 2";
  svg.append(...rings);
  const around = (which, box) => {
    which.setAttribute("visibility", box ? "visible" : "hidden");
    if (box) for (const [k, v] of Object.entries(box)) which.setAttribute(k, v);
  };
  const ring = (box) => {
    around(rings[0], box);
    around(rings[1], box);
  };

  /** Where the keyboard is: one tab stop for the whole grid. */
  function move(key, focus = true) {
    const there = at.get(key);
    if (!there) return;
    grid.querySelectorAll('[tabindex="0"]').forEach((rect) => rect.setAttribute("tabindex", "-1"));
    there.rect.setAttribute("tabindex", "0");
    if (focus) there.rect.focus();
  }
  if (!fixed) {
    const first = state.focus && at.has(state.focus) ? state.focus : at.keys().next().value;
    if (first) move(first, false);
    grid.addEventListener("keydown", (event) => {
      const here = at.get(event.target.dataset.key);
      if (!here) return;
      const steps = {
        ArrowRight: [0, 1],
        ArrowLeft: [0, -1],
        ArrowDown: [1, 0],
        ArrowUp: [-1, 0],
        Home: [0, -1e6],
        End: [0, 1e6],
      }[event.key];
      if (steps) {
        const [dr, dc] = tall && !["Home", "End"].includes(event.key) ? [steps[1], steps[0]] : steps;
        const key = neighbour(here, dr, dc);
        if (key) move(key);
      } else if (event.key === "Enter" || event.key === " ") choose({ pin: event.target.dataset.key });
      else if (event.key === "Escape") choose({ pin: null });
      else return;
      event.preventDefault();
    });
  }

  function neighbour(here, dr, dc) {
    let best = null;
    for (const [key, { row, column, box }] of at) {
      const wide = (tall ? box.width : box.height) === span && rows.length > 1;
      const ahead = dr
        ? Math.sign(row - here.row) === dr && column === here.column
        : Math.sign(column - here.column) === Math.sign(dc) && (row === here.row || wide || here.box === box);
      if (!ahead) continue;
      const far = Math.abs(row - here.row) + Math.abs(column - here.column);
      const wanted = Math.abs(dc) > 1 ? -far : far;
      if (!best || wanted < best.wanted) best = { key, wanted };
    }
    if (!best && dc && (tall ? here.box.width : here.box.height) === span)
      for (const [key, { row, column }] of at)
        if (row === 0 && Math.sign(column - here.column) === Math.sign(dc)) return key;
    return best && best.key;
  }

  function say(cell) {
    byId("live").textContent = sentence(source, cell);
  }

  function paint(step) {
    const score = scoreOf(source, state.score);
    const frames = score && framesOf(source, score, state.matrix);
    const frame = score && step !== null ? frameAt(frames, step) : null;
    const shade = (rect, number, words) => {
      const there = Number.isFinite(number) && number > 0;
      rect.style.fill = there ? colour(position(number, ends)) : "var(--hole)";
      rect.dataset.value = number;
      rect.setAttribute("aria-label", words);
    };
    for (const { cell, rect, hatched } of painted) {
      const number = score ? value(source, score, state.matrix, [cell], frame) : NaN;
      shade(rect, number, `${nameOf(cell, source)}: ${Number.isNaN(number) ? "not measured" : short(number)}`);
      rect.setAttribute("aria-selected", cell.key === state.pin ? "true" : "false");
      hatched.setAttribute("visibility", score?.above && !score.above[cell.at] ? "visible" : "hidden");
    }
    for (const { rect, cells } of sums) {
      const number = score ? value(source, score, state.matrix, cells, frame) : NaN;
      rect.style.fill = Number.isFinite(number) && number > 0 ? colour(position(number, ends)) : "var(--hole)";
    }
    if (score) paintTotals(score, frame);
    around(rings[2], state.pin && at.has(state.pin) && !fixed ? at.get(state.pin).box : null);
  }

  function paintTotals(score, frame) {
    const rowsOf = totals.map(({ row, cells }) => {
      if (!cells.length) return null;
      const [low, high] = spread(source, score, state.matrix, row.row, cells);
      return { now: value(source, score, state.matrix, cells, frame), low, high };
    });
    const axis = domain(
      rowsOf
        .filter(Boolean)
        .flatMap((t) => [t.now, t.low, t.high])
        .filter((v) => v > 0),
      true,
    );
    const sx = scale(axis, W - margin + 12, W - margin + 122);
    totals.forEach(({ row, r, drawn }, i) => {
      drawn.replaceChildren();
      if (!rowsOf[i]) return;
      const { now, low, high } = rowsOf[i];
      const box = place(r, 0);
      if (tall) {
        drawn.append(
          text(box.x + box.width / 2, top + long + 20, Number.isFinite(now) ? label(Number(now.toPrecision(2))) : "-", {
            "text-anchor": "middle",
            class: "soft",
          }),
        );
        return;
      }
      const y = box.y + box.height / 2;
      const shown = (v) => Number.isFinite(v) && (!axis.log || v > 0);
      if (shown(low) && shown(high))
        drawn.append(
          draw("line", { x1: sx(low), x2: sx(high), y1: y, y2: y, stroke: `var(--${row.group})`, "stroke-width": 2 }),
        );
      if (shown(now)) drawn.append(mark(MARKS[row.group], sx(now), y, 4, { fill: `var(--${row.group})` }));
      drawn.append(text(W - margin + 130, y + 4, short(now)));
    });
  }
  return { svg, paint };
}

/** What a cell's number is, in words: for the live region and the panel. */
function sentence(source, cell) {
  const score = scoreOf(source, state.score);
  if (!score || !cell) return "";
  const frames = framesOf(source, score, state.matrix);
  const frame = state.step === null ? null : frameAt(frames, state.step);
  const number = value(source, score, state.matrix, [cell], frame);
  const all = source.map.cells
    .map((other) => value(source, score, state.matrix, [other], frame))
    .filter(Number.isFinite);
  const rank = Number.isFinite(number)
    ? `, rank ${1 + all.filter((other) => other > number).length} of ${all.length}`
    : "";
  const interval =
    score.interval && frame === null
      ? `, interval ${short(score.interval[cell.at][0])} to ${short(score.interval[cell.at][1])}`
      : "";
  const noise = score.above ? (score.above[cell.at] ? ", above noise" : ", not above noise") : "";
  return `${nameOf(cell, source)}, ${Number.isNaN(number) ? "not measured" : short(number)}${interval}${rank}${noise}`;
}
