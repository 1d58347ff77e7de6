// Around the map: its switches and slider, the maps side by side, the key of the colours, the chosen cell.

let playing = null;

function controls() {
  const sources = page.sources.filter((source) => source.map.scores.length);
  if (!sources.length) {
    byId("map")
      .querySelector(".maps")
      .replaceChildren(make("p", {}, "Nothing was measured."));
    return;
  }
  const scores = [...new Map(sources.flatMap((s) => s.map.scores).map((one) => [one.name, one])).values()];
  const having = (name) => sources.find((source) => scoreOf(source, name));
  const pick = (words, id, options, now, act) =>
    make(
      "label",
      {},
      words,
      make(
        "select",
        { id, onchange: (event) => act(event.target.value) },
        ...options.map(([name, shown]) => make("option", { value: name, selected: name === now }, shown)),
      ),
    );
  const known = having(state.score);
  const matrices = () => scoreOf(known, state.score).matrices.map(({ label: words }) => [words, words]);
  const score = pick(
    "score",
    "score",
    scores.map((one) => [one.name, one.label + (one.hint.startsWith("depends") ? ` (${one.hint})` : "")]),
    state.score,
    (name) => {
      const labels = scoreOf(having(name), name).matrices.map((one) => one.label);
      choose({ score: name, matrix: labels.includes(state.matrix) ? state.matrix : labels[0] });
      controls();
      byId("score").focus();
    },
  );
  const matrix = pick("matrix", "matrix", matrices(), state.matrix, (name) => choose({ matrix: name }));
  const fixed = pick(
    "scale",
    "scale",
    [
      ["run", "whole run"],
      ["step", "this step"],
    ],
    state.scale,
    (name) => choose({ scale: name }),
  );
  if (!moves(known)) {
    if (state.step !== null) choose({ step: null });
    controls.sync = () => {};
    byId("controls").replaceChildren(score, ...(matrices().length > 1 ? [matrix] : []));
    return;
  }
  const frames = framesOf(known, scoreOf(known, state.score), state.matrix);
  const said = make("output", { id: "step" });
  const whole = make(
    "button",
    {
      type: "button",
      id: "whole",
      onclick: () => {
        stop();
        choose({ step: null });
      },
    },
    "whole run",
  );
  const slider = make("input", {
    type: "range",
    id: "slider",
    min: 0,
    max: frames.count - 1,
    step: 1,
    "aria-label": "step",
    oninput: () => {
      stop();
      choose({ step: frames.first[slider.value] });
    },
  });
  const play = make("button", { type: "button", id: "play", onclick: () => (playing ? stop() : start()) }, "play");
  const stop = () => {
    clearInterval(playing);
    playing = null;
    play.textContent = "play";
  };
  const start = () => {
    play.textContent = "pause";
    if (state.step === null || Number(slider.value) >= frames.count - 1) choose({ step: frames.first[0] });
    playing = setInterval(() => {
      const next = Number(slider.value) + Math.max(1, Math.round(frames.count / 150));
      if (next > frames.count - 1) return stop();
      choose({ step: frames.first[next] });
    }, 80);
  };
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) play.hidden = true;
  controls.sync = () => {
    const f = state.step === null ? frames.count - 1 : frameAt(frames, state.step);
    slider.value = f;
    const span =
      frames.first[f] === frames.last[f] ? `step ${frames.first[f]}` : `steps ${frames.first[f]} to ${frames.last[f]}`;
    said.textContent = state.step === null ? "whole run" : span;
    slider.setAttribute("aria-valuetext", said.textContent);
    whole.setAttribute("aria-pressed", state.step === null ? "true" : "false");
  };
  byId("controls").replaceChildren(
    score,
    matrix,
    fixed,
    whole,
    make("div", { class: "steps controls" }, make("label", { class: "steps" }, "step", slider), said, play),
  );
  controls.sync();
}

const drawn = { key: "", maps: [], ends: [1, 2] };

function grids(change) {
  const sources = chosen().filter((source) => scoreOf(source, state.score));
  if (!sources.length) return;
  controls.sync?.();
  const frame =
    state.scale === "step" && state.step !== null
      ? frameAt(framesOf(sources[0], scoreOf(sources[0], state.score), state.matrix), state.step)
      : null;
  const key_ = JSON.stringify([state.score, state.matrix, state.shown, frame]);
  if (drawn.key !== key_ || "resized" in change || !drawn.maps.length) {
    drawn.ends =
      frame === null && drawn.run === JSON.stringify([state.score, state.matrix, state.shown])
        ? drawn.fixed
        : limits(sources, state.score, state.matrix, frame);
    if (frame === null)
      Object.assign(drawn, { run: JSON.stringify([state.score, state.matrix, state.shown]), fixed: drawn.ends });
    drawn.key = key_;
    const box = byId("grids");
    const columns = narrow() || sources.length === 1 ? 1 : 2;
    box.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    const width = (box.clientWidth || 640) / columns - (columns > 1 ? 12 : 0);
    const shape = plan(sources);
    const held = document.activeElement?.dataset?.key;
    drawn.maps = sources.map((source) => drawMap(source, shape, width, narrow(), drawn.ends, false));
    const difference = make("div", { id: "difference" });
    const both = width * columns + (columns > 1 ? 24 : 0);
    box.replaceChildren(
      ...drawn.maps.map(({ svg }, i) =>
        make("div", { class: "scroll free" }, several() ? make("h3", {}, called(sources[i])) : "", svg),
      ),
      ...(sources.length === 2 ? [difference] : []),
    );
    drawn.difference =
      sources.length === 2 ? () => difference.replaceChildren(differenceOf(sources, shape, both)) : () => {};
    if (held) box.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
  }
  drawn.maps.forEach(({ paint }) => paint(state.step));
  drawn.difference();
  const score = scoreOf(sources[0], state.score);
  const frames = framesOf(sources[0], score, state.matrix);
  const size = frames.last[0] - frames.first[0] + 1;
  const steps =
    frames.count > 1 && size > 1
      ? ` Each frame is the mean square over ${size} steps (at most ${page.frames} frames are kept here; the ` +
        "folder's gradient_analysis.parquet has all steps)."
      : "";
  const hatched = score.above ? " Hatched: not above noise." : "";
  const without = chosen().filter((source) => !scoreOf(source, state.score));
  const missing = without.length ? ` ${without.map((source) => source.letter).join(", ")}: no such score.` : "";
  byId("says").textContent =
    (sources[0].kind === "profile"
      ? "Mean over batches; whiskers: 95 % intervals over batches. A dot: no such module; grey: 0 or below."
      : "Whole run: root of the mean square over the measured frames. Whiskers: 10th to 90th percentile over frames " +
        "(spread over steps, no interval). A dot: no adapter; grey: not trained or 0.") +
    `${hatched}${steps}${missing}`;
  if ("score" in change || "shown" in change || "step" in change || !byId("maptable").children.length)
    byId("maptable").replaceChildren(mapTable(sources));
}

/** The numbers of the maps: every cell, then the margins, which are of the same sums. */
function mapTable(sources) {
  const number = (source, cells) => {
    const score = scoreOf(source, state.score);
    if (!cells.length) return null;
    const frame = state.step === null ? null : frameAt(framesOf(source, score, state.matrix), state.step);
    const found = value(source, score, state.matrix, cells, frame);
    return Number.isNaN(found) ? null : found;
  };
  return asTable(["layer", "projection", ...sources.map((source) => (several() ? source.letter : state.matrix))], () => {
    const { rows, layers } = plan(sources);
    const keyed = [...new Map(sources.flatMap((source) => source.map.cells).map((cell) => [cell.key, cell])).values()];
    const line = (layer, projection, is) => [
      layer,
      projection,
      ...sources.map((source) => number(source, source.map.cells.filter(is))),
    ];
    return [
      ...keyed.map((cell) =>
        line(cell.layer === null ? GROUPS[cell.group] : `${cell.layer}`, cell.projection, (one) => one.key === cell.key),
      ),
      ...rows.map((row) => line("all", row.projection, (one) => one.row === row.row)),
      ...layers.map((layer) => line(`${layer}`, "all", (one) => one.layer === layer)),
    ];
  });
}

function legend() {
  const first = chosen().find((source) => scoreOf(source, state.score));
  if (!first) return;
  const score = scoreOf(first, state.score);
  const W = 330;
  const svg = draw("svg", {
    width: W,
    height: 34,
    role: "img",
    "aria-label": `colours from ${short(drawn.ends[0])} to ${short(drawn.ends[1])}`,
  });
  for (let i = 0; i < 64; i++) {
    const rect = draw("rect", { x: 10 + i * 4.8, y: 2, width: 5.2, height: 12, "shape-rendering": "crispEdges" });
    rect.style.fill = colour((i + 0.5) / 64);
    svg.append(rect);
  }
  const sx = scale({ log: true, low: drawn.ends[0], high: drawn.ends[1] }, 10, 317);
  for (const t of ticks(...drawn.ends, true, 5))
    svg.append(
      draw("line", { x1: sx(t), x2: sx(t), y1: 14, y2: 18, class: "axis" }),
      text(sx(t), 31, label(t), { "text-anchor": "middle", class: "soft" }),
    );
  const over = score.above
    ? "of what is above noise"
    : first.kind === "profile"
      ? "of the cells"
      : `over ${state.scale === "run" ? "all steps" : "this step"}`;
  byId("legend").replaceChildren(
    make(
      "div",
      { class: "legend" },
      svg,
      make(
        "span",
        {},
        `${score.label}${score.unit ? ` (${score.unit})` : ""}${score.hint ? `; ${score.hint}` : ""}. ` +
          `Colours end at the 2nd and 98th percentile ${over}.`,
      ),
    ),
  );
}

/** The chosen cell: what it is, and its numbers over steps in every shown source. */
function panel() {
  const shownKey = state.hover ?? state.pin ?? state.focus;
  const sources = chosen().filter((source) => source.byKey.has(shownKey));
  const box = byId("cell");
  if (!sources.length) {
    box.replaceChildren(
      make(
        "p",
        { class: "small" },
        "Point at a cell, or reach it by Tab and the arrow keys. A click or Enter pins it; Escape frees it.",
      ),
    );
    return;
  }
  const cell = sources[0].byKey.get(shownKey);
  const words = sources.map((source) =>
    make("p", {}, `${several() ? `${source.letter}: ` : ""}${sentence(source, source.byKey.get(shownKey))}`),
  );
  const about = make(
    "p",
    { class: "small" },
    `${cell.module}${cell.modules > 1 ? ` and ${cell.modules - 1} more, added up` : ""}`,
  );
  box.replaceChildren(...words, about);
  if (state.pin !== shownKey) return;
  const free = make("button", { type: "button", onclick: () => choose({ pin: null }) }, "free");
  const spreads = sources.flatMap((source) => membersOf(source, source.byKey.get(shownKey)));
  if (!sources.some(moves)) {
    box.append(...sources.map((source) => everyScore(source, source.byKey.get(shownKey))), ...spreads, free);
    return;
  }
  const lines = sources.filter(moves).map((source, i) => {
    const score = scoreOf(source, state.score);
    const frames = framesOf(source, score, state.matrix);
    return {
      name: several() ? source.letter : short_(score),
      steps: frames.last,
      values: series(source, score, state.matrix, [source.byKey.get(shownKey)]),
      color: i ? "var(--soft)" : "var(--ink)",
      dash: SHAPES[i],
      width: 1.6,
    };
  });
  const figure = lineChart({
    width: narrow() ? 350 : 304,
    title: nameOf(cell, sources[0]),
    unit: unitOf(sources[0]),
    lines,
    phases: PHASES(sources[0]),
    onstep: (step) => choose({ step }),
    zeroNote: "Steps at 0 are left out of the logarithmic axis.",
  });
  figure.id = "series";
  figure.cursor(state.step);
  box.append(
    figure,
    ...(several() ? [key(lines)] : []),
    ...spreads,
    free,
  );
}

/** Of a cell of several modules (experts): how far they are apart, and each of them. */
function membersOf(source, cell) {
  const score = scoreOf(source, state.score);
  const rows = (source.map.members[cell.at] ?? [])
    .map((member) => [member.module, score ? valueOfMember(score, state.matrix, cell, member) : NaN])
    .filter(([, number]) => Number.isFinite(number))
    .sort((a, b) => b[1] - a[1]);
  if (!rows.length) return [];
  const numbers = rows.map(([, number]) => number);
  const [low, middle, high] = [0, 0.5, 1].map((share) => short(quantile(numbers, share)));
  const words = `${called(source)}: ${rows.length} modules, ${low} to ${high}, median ${middle}`;
  return [
    make("p", { class: "small spread" }, several() ? words : words.slice(called(source).length + 2)),
    asTable(["module", score.label], () => rows),
  ];
}

/** Of a cell without steps: all that was measured of it. */
function everyScore(source, cell) {
  const rows = source.map.scores.map((score) => {
    const [low, high] = score.interval ? score.interval[cell.at] : [null, null];
    return [score.label, value(source, score, score.matrices[0].label, [cell], null), low, high];
  });
  return make(
    "div",
    { class: "scroll free everyscore", tabindex: "0", role: "region", "aria-label": `scores of ${called(source)}` },
    ...(several() ? [make("h3", {}, called(source))] : []),
    table(["", "value", "low", "high"], rows),
  );
}

const short_ = (score) => `${score.label}, ${state.matrix}`;
const unitOf = (source) => {
  const s = scoreOf(source, state.score);
  return s.label + (s.unit ? `, ${s.unit}` : "");
};
