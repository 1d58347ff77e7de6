// The page: from the data to its sections. Everything shown follows `state`.

let page;
const chosen = () => state.shown.map((i) => page.sources[i]);
const narrow = () => window.innerWidth <= 820;
const PHASES = (source) => source.phases;
const SHAPES = ["", "6 3", "2 2", "8 3 2 3"];

function boot() {
  const dim = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = (name) => {
    document.documentElement.dataset.theme = name;
    byId("theme").textContent = name === "dark" ? "light page" : "dark page";
    if (page) choose({});
  };
  theme(dim.matches ? "dark" : "light");
  dim.addEventListener("change", () => theme(dim.matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => theme(dark() ? "light" : "dark"));
  unpack(JSON.parse(byId("data").textContent)).then(show).catch((error) => {
    byId("failure").textContent = `This page cannot be shown: ${error.message}. It needs a browser from 2023 or later.`;
    byId("failure").hidden = false;
    throw error;
  });
}

function show(found) {
  page = found;
  page.sources.forEach((source, i) => { source.letter = i < 26 ? String.fromCharCode(65 + i) : `R${i + 1}`; });
  state.shown = page.sources.map((_, i) => i).slice(0, 4);
  const first = page.sources.find((source) => source.map.scores.length);
  if (first) Object.assign(state, { score: first.map.scores[0].name, matrix: first.map.scores[0].matrices[0].label });
  recall();
  head();
  byId("main").hidden = false;
  sourcesTable();
  controls();
  const parts = [grids, panel, groups, norms, losses, legend];
  parts.forEach((part) => part({}));
  [metrics, budget, samples, notes, facts].forEach((part) => part());
  listeners.push((change) => {
    const light = "hover" in change || "focus" in change;
    if (light && !("pin" in change)) return panel();
    if ("shown" in change) metrics();
    parts.forEach((part) => part(change));
    remember();
  });
  window.addEventListener("resize", debounce(() => choose({ resized: true })));
  window.addEventListener("beforeprint", printed);
  if (page.live) follow();
  document.documentElement.dataset.ready = Math.round(performance.now());
}

const debounce = (act) => { let timer; return () => { clearTimeout(timer); timer = setTimeout(act, 120); }; };
const several = () => page.sources.length > 1;
const called = (source) => (several() ? `${source.letter}  ${source.name}` : source.name);
const section = (id, ...children) => { const s = byId(id); s.replaceChildren(s.querySelector("h2"), ...children); };

function head() {
  byId("title").textContent = page.title;
  byId("state").textContent = page.about;
  byId("verdict").replaceChildren(...page.verdict.map((words) => make("p", {}, words)));
  const count = page.sources.reduce((sum, source) => sum + source.notes.length, 0);
  const [firstWords, ...more] = page.sure;
  byId("trust").replaceChildren(
    make("a", { href: "#notes", class: count ? "warn" : "" }, count ? `! ${count} note${count > 1 ? "s" : ""}` : "no notes or warnings"),
    make("details", {}, make("summary", {}, `how sure? ${firstWords}`), ...more.map((words) => make("p", {}, words))));
  let which = page.sources.find((source) => source.exports.length) ?? page.sources[0];
  let format = 0;
  const buttons = byId("exports");
  const said = make("span", { role: "status", class: "small" });
  const paint = () => {
    byId("config").textContent = which.exports[format]?.text ?? "The adapter is written when the run ends.";
    const picker = several() ? [make("select", { "aria-label": "adapter of", onchange: (e) => { which = page.sources[e.target.value]; format = Math.min(format, which.exports.length - 1); paint(); } },
      ...page.sources.map((source, i) => make("option", { value: i, selected: source === which }, called(source))))] : [];
    buttons.replaceChildren(...picker, ...which.exports.map((one, i) => make("button", { type: "button", "aria-pressed": i === format ? "true" : "false", onclick: () => { format = i; paint(); buttons.querySelectorAll("button")[i].focus(); } }, one.label)),
      make("button", { type: "button", id: "copy", onclick: () => copy(said) }, "Copy"), said);
  };
  paint();
}

/** To the clipboard, or else the text is selected, so that a key copies it. */
async function copy(said) {
  try {
    await navigator.clipboard.writeText(byId("config").textContent);
    said.textContent = "copied";
  } catch {
    window.getSelection().selectAllChildren(byId("config"));
    said.textContent = "selected: press Ctrl+C";
  }
}

function sourcesTable() {
  byId("sources").hidden = !several();
  if (!several()) return;
  const boxes = page.sources.map((source, i) => make("input", { type: "checkbox", checked: state.shown.includes(i), "aria-label": `show ${called(source)} in the maps`, onchange: () => {
    const shown = boxes.flatMap((box, k) => (box.checked ? [k] : []));
    if (shown.length > 4 || !shown.length) { boxes[i].checked = !boxes[i].checked; byId("live").textContent = "one to four maps at a time"; return; }
    choose({ shown });
  } }));
  const best = (source) => source.losses.validation.map(([, loss]) => loss).filter((loss) => loss !== null).reduce((a, b) => Math.min(a, b), Infinity);
  section("sources", make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "runs" }, table(["shown", "", "run", "task", "target", "r", "seed", "steps", "best validation loss"],
    page.sources.map((source, i) => [boxes[i], source.letter, source.name, source.dataset, source.target, `${source.r}`, `${source.seed}`, source.steps, Number.isFinite(best(source)) ? best(source) : null]))),
  make("p", { class: "small" }, "Up to four are drawn side by side, on one scale. Losses of different tasks do not compare."));
}

// ---- the map --------------------------------------------------------------------------------------------------------

let playing = null;

function controls() {
  const sources = page.sources.filter((source) => source.map.scores.length);
  if (!sources.length) { byId("map").querySelector(".maps").replaceChildren(make("p", {}, "Nothing was measured.")); return; }
  const scores = sources[0].map.scores;
  const pick = (words, id, options, now, act) => make("label", {}, words, make("select", { id, onchange: (event) => act(event.target.value) },
    ...options.map(([name, shown]) => make("option", { value: name, selected: name === now }, shown))));
  const matrices = () => scoreOf(sources[0], state.score).matrices.map(({ label: words }) => [words, words]);
  const score = pick("score", "score", scores.map((one) => [one.name, one.label + (one.hint.startsWith("depends") ? ` (${one.hint})` : "")]), state.score, (name) => {
    const labels = scoreOf(sources[0], name).matrices.map((one) => one.label);
    choose({ score: name, matrix: labels.includes(state.matrix) ? state.matrix : labels[0] });
    controls();
    byId("score").focus();
  });
  const matrix = pick("matrix", "matrix", matrices(), state.matrix, (name) => choose({ matrix: name }));
  const fixed = pick("scale", "scale", [["run", "whole run"], ["step", "this step"]], state.scale, (name) => choose({ scale: name }));
  const frames = framesOf(sources[0], scoreOf(sources[0], state.score), state.matrix);
  const said = make("output", { id: "step" });
  const whole = make("button", { type: "button", id: "whole", onclick: () => { stop(); choose({ step: null }); } }, "whole run");
  const slider = make("input", { type: "range", id: "slider", min: 0, max: frames.count - 1, step: 1, "aria-label": "step", oninput: () => { stop(); choose({ step: frames.first[slider.value] }); } });
  const play = make("button", { type: "button", id: "play", onclick: () => (playing ? stop() : start()) }, "play");
  const stop = () => { clearInterval(playing); playing = null; play.textContent = "play"; };
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
    const span = frames.first[f] === frames.last[f] ? `step ${frames.first[f]}` : `steps ${frames.first[f]} to ${frames.last[f]}`;
    said.textContent = state.step === null ? "whole run" : span;
    slider.setAttribute("aria-valuetext", said.textContent);
    whole.setAttribute("aria-pressed", state.step === null ? "true" : "false");
  };
  byId("controls").replaceChildren(score, matrix, fixed, whole, make("div", { class: "steps controls" }, make("label", { class: "steps" }, "step", slider), said, play));
  controls.sync();
}

const drawn = { key: "", maps: [], ends: [1, 2] };

function grids(change) {
  const sources = chosen().filter((source) => scoreOf(source, state.score));
  if (!sources.length) return;
  controls.sync?.();
  const frame = state.scale === "step" && state.step !== null ? frameAt(framesOf(sources[0], scoreOf(sources[0], state.score), state.matrix), state.step) : null;
  const key_ = JSON.stringify([state.score, state.matrix, state.shown, frame]);
  if (drawn.key !== key_ || "resized" in change || !drawn.maps.length) {
    drawn.ends = frame === null && drawn.run === JSON.stringify([state.score, state.matrix, state.shown]) ? drawn.fixed : limits(sources, state.score, state.matrix, frame);
    if (frame === null) Object.assign(drawn, { run: JSON.stringify([state.score, state.matrix, state.shown]), fixed: drawn.ends });
    drawn.key = key_;
    const box = byId("grids");
    const columns = narrow() || sources.length === 1 ? 1 : 2;
    box.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    const width = (box.clientWidth || 640) / columns - (columns > 1 ? 12 : 0);
    const shape = plan(sources);
    const held = document.activeElement?.dataset?.key;
    drawn.maps = sources.map((source) => drawMap(source, shape, width, narrow(), drawn.ends, false));
    const difference = make("div", { id: "difference" });
    box.replaceChildren(...drawn.maps.map(({ svg }, i) => make("div", { class: "scroll free" }, several() ? make("h3", {}, called(sources[i])) : "", svg)), ...(sources.length === 2 ? [difference] : []));
    drawn.difference = sources.length === 2 ? () => difference.replaceChildren(drawDifference(sources[0], sources[1], shape, width)) : () => {};
    if (held) box.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
  }
  drawn.maps.forEach(({ paint }) => paint(state.step));
  drawn.difference();
  const score = scoreOf(sources[0], state.score);
  const frames = framesOf(sources[0], score, state.matrix);
  const size = frames.last[0] - frames.first[0] + 1;
  const steps = frames.count > 1 && size > 1 ? ` Each frame is the mean square over ${size} steps (at most ${page.frames} frames are kept; all steps are in gradient_analysis.parquet).` : "";
  byId("says").textContent = `Whole run: root of the mean square over the measured frames. Whiskers: 10th to 90th percentile over frames (spread over steps, no interval). A dot: no adapter; grey: not trained or 0.${score.above ? " Hatched: not above noise." : ""}${steps}`;
  if ("score" in change || "shown" in change || "step" in change || !byId("maptable").children.length) byId("maptable").replaceChildren(mapTable(sources));
}

function mapTable(sources) {
  return asTable(["layer", "projection", ...sources.map((source) => (several() ? source.letter : state.matrix))], () =>
    [...new Map(sources.flatMap((source) => source.map.cells).map((cell) => [cell.key, cell])).values()].map((cell) => [cell.layer === null ? GROUPS[cell.group] : `${cell.layer}`, cell.projection,
      ...sources.map((source) => {
        const [score, mine] = [scoreOf(source, state.score), source.byKey.get(cell.key)];
        if (!mine) return null;
        const number = value(source, score, state.matrix, [mine], state.step === null ? null : frameAt(framesOf(source, score, state.matrix), state.step));
        return Number.isNaN(number) ? null : number;
      })]));
}

function legend() {
  const first = chosen().find((source) => scoreOf(source, state.score));
  if (!first) return;
  const score = scoreOf(first, state.score);
  const W = 330;
  const svg = draw("svg", { width: W, height: 34, role: "img", "aria-label": `colours from ${short(drawn.ends[0])} to ${short(drawn.ends[1])}` });
  for (let i = 0; i < 64; i++) {
    const rect = draw("rect", { x: 10 + i * 4.8, y: 2, width: 5.2, height: 12 });
    rect.style.fill = colour((i + 0.5) / 64);
    svg.append(rect);
  }
  const sx = scale({ log: true, low: drawn.ends[0], high: drawn.ends[1] }, 10, 317);
  for (const t of ticks(...drawn.ends, true, 5)) svg.append(draw("line", { x1: sx(t), x2: sx(t), y1: 14, y2: 18, class: "axis" }), text(sx(t), 31, label(t), { "text-anchor": "middle", class: "soft" }));
  byId("legend").replaceChildren(make("div", { class: "legend" }, svg, make("span", {}, `${score.label}${score.unit ? ` (${score.unit})` : ""}${score.hint ? `; ${score.hint}` : ""}. Colours end at the 2nd and 98th percentile over ${state.scale === "run" ? "all steps" : "this step"}.`)));
}

/** The chosen cell: what it is, and its numbers over steps in every shown source. */
function panel() {
  const shownKey = state.hover ?? state.pin ?? state.focus;
  const sources = chosen().filter((source) => source.byKey.has(shownKey));
  const box = byId("cell");
  if (!sources.length) { box.replaceChildren(make("p", { class: "small" }, "Point at a cell, or reach it by Tab and the arrow keys. A click or Enter pins its curve; Escape frees it.")); return; }
  const cell = sources[0].byKey.get(shownKey);
  const words = sources.map((source) => make("p", {}, `${several() ? `${source.letter}: ` : ""}${sentence(source, source.byKey.get(shownKey))}`));
  const about = make("p", { class: "small" }, `${cell.module}${cell.modules > 1 ? ` and ${cell.modules - 1} more, added up` : ""}`);
  box.replaceChildren(...words, about);
  if (state.pin !== shownKey) return;
  const lines = sources.map((source, i) => {
    const score = scoreOf(source, state.score);
    const frames = framesOf(source, score, state.matrix);
    return { name: several() ? source.letter : short_(score), steps: frames.last, values: series(source, score, state.matrix, [source.byKey.get(shownKey)]), color: i ? "var(--soft)" : "var(--ink)", dash: SHAPES[i], width: 1.6 };
  });
  const figure = lineChart({ title: nameOf(cell, sources[0]), unit: unitOf(sources[0]), lines, phases: PHASES(sources[0]), onstep: (step) => choose({ step }), zeroNote: "Steps at 0 are left out of the logarithmic axis." });
  figure.id = "series";
  figure.cursor(state.step);
  box.append(figure, ...(several() ? [key(lines)] : []), make("button", { type: "button", onclick: () => choose({ pin: null }) }, "free"));
}

const short_ = (score) => `${score.label}, ${state.matrix}`;
const unitOf = (source) => { const s = scoreOf(source, state.score); return s.label + (s.unit ? `, ${s.unit}` : ""); };

// ---- charts ---------------------------------------------------------------------------------------------------------

const groupsOf = (source) => Object.keys(GROUPS).filter((group) => source.map.cells.some((cell) => cell.group === group));
const curves = [];

function groups() {
  const rows = chosen().filter((source) => scoreOf(source, state.score)).flatMap((source) => groupsOf(source).map((group) => {
    const score = scoreOf(source, state.score);
    const cells = source.map.cells.filter((cell) => cell.group === group);
    const over = series(source, score, state.matrix, cells).filter(Number.isFinite);
    return { name: `${several() ? `${source.letter} ` : ""}${GROUPS[group]}`, value: value(source, score, state.matrix, cells, null), low: quantile(over, 0.1), high: quantile(over, 0.9), color: `var(--${group})`, mark: MARKS[group] };
  }));
  if (!rows.length) return;
  section("groups", dotChart({ title: "groups", unit: unitOf(chosen()[0]), rows, width: 620 }), make("p", { class: "small" }, "Whole run; whiskers: 10th to 90th percentile over frames. That is spread over steps of one seed, no interval of the mean: it decides nothing."),
    asTable(["group", "whole run", "10 %", "90 %"], () => rows.map((row) => [row.name, row.value, row.low, row.high])));
}

function norms(change) {
  const sources = chosen().filter((source) => scoreOf(source, state.score));
  if (!sources.length) return;
  if ("step" in change && curves.length && !("score" in change)) { curves.forEach((figure) => figure.cursor(state.step)); return; }
  const all = sources.map((source) => groupsOf(source).map((group) => {
    const score = scoreOf(source, state.score);
    return { name: GROUPS[group], steps: framesOf(source, score, state.matrix).last, values: series(source, score, state.matrix, source.map.cells.filter((cell) => cell.group === group)), color: `var(--${group})`, dash: DASHES[group], mark: MARKS[group] };
  }));
  const bounds = domain(all.flat().flatMap((line) => line.values).filter((v) => v > 0), true);
  curves.length = 0;
  const charts = sources.map((source, i) => {
    const figure = lineChart({ title: called(source), unit: unitOf(source), lines: all[i], phases: PHASES(source), bounds, onstep: (step) => choose({ step }), zeroNote: "Steps at 0 are left out of the logarithmic axis." });
    figure.cursor(state.step);
    curves.push(figure);
    return make("div", {}, several() ? make("h3", {}, called(source)) : "", figure);
  });
  section("norms", key(all.reduce((a, b) => (b.length > a.length ? b : a))), make("div", { class: "charts" }, ...charts));
}

function losses(change) {
  if (Object.keys(change).length && !("shown" in change)) return;
  const shown = chosen().filter((source) => source.losses.training.length || source.losses.validation.length);
  if (!shown.length) { section("losses", make("p", {}, "No losses.")); return; }
  const lines = shown.map((source) => {
    const line = (name, points, more) => ({ name, steps: points.map(([step]) => step), values: points.map(([, loss]) => (loss === null ? NaN : loss)), ...more });
    const valid = source.losses.validation;
    return [line("training", source.losses.training, { color: "var(--soft)", width: 1.2 }), line("validation", valid, { color: "var(--ink)", dots: true, rings: valid.flatMap(([step], i) => (step === source.losses.best ? [i] : [])) })].filter((one) => one.steps.length);
  });
  const same = new Set(shown.map((source) => source.dataset)).size === 1;
  const bounds = same ? domain(lines.flat().flatMap((one) => one.values), false) : undefined;
  section("losses", key([{ name: "training", color: "var(--soft)" }, { name: "validation; ring: the checkpoint that was kept", color: "var(--ink)", mark: "circle" }]),
    make("div", { class: "charts" }, ...shown.map((source, i) => make("div", {}, several() ? make("h3", {}, called(source)) : "",
      lineChart({ title: `losses of ${source.name}`, unit: "nats per answer token", lines: lines[i], phases: PHASES(source), bounds, fromZero: false })))));
}

function metrics() {
  const shown = chosen().filter((source) => source.evaluation);
  if (!shown.length) { section("metrics", make("p", {}, "Not evaluated.")); return; }
  const names = [...new Set(shown.flatMap((source) => source.evaluation.metrics.map((one) => one.name)))];
  const based = shown.some((source) => source.evaluation.metrics.some((one) => one.base !== null && one.base !== undefined));
  const charts = names.map((name) => {
    const found = shown.map((source) => [source, source.evaluation.metrics.find((one) => one.name === name)]).filter(([, one]) => one);
    const { unit, higher } = found[0][1];
    const rows = found.map(([source, one]) => ({ name: several() ? source.letter : "trained", value: one.value, low: one.low ?? NaN, high: one.high ?? NaN, other: one.base ?? NaN, color: "var(--ink)" }));
    return make("div", {}, make("h3", {}, name), dotChart({ title: name, unit: `${unit}; ${higher ? "higher" : "lower"} is better`, rows, width: 400 }));
  });
  section("metrics", make("p", { class: "small" }, `Dot: after training, whiskers: 95 % over examples, not over seeds${based ? "; ring: the base model without adapter" : ""}. ${shown.map((source) => `${several() ? `${source.letter}: ` : ""}${source.evaluation.n.toLocaleString("en-US")} ${source.evaluation.split} examples`).join(", ")}.`),
    make("div", { class: "charts" }, ...charts),
    asTable(["metric", "run", "base", "trained", "low", "high", "unit"], () => shown.flatMap((source) => source.evaluation.metrics.map((one) => [one.name, called(source), one.base ?? null, one.value, one.low, one.high, one.unit]))));
}

// ---- words ----------------------------------------------------------------------------------------------------------

const each = (id, body) => section(id, ...page.sources.flatMap((source) => [...(several() ? [make("h3", {}, called(source))] : []), ...body(source)]));

const budget = () => each("budget", (source) => [make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `budget of ${source.name}` }, table(["", ""], source.budget))]);
const notes = () => each("notes", (source) => [source.notes.length ? make("ul", {}, ...source.notes.map((words) => make("li", {}, words))) : make("p", {}, "None.")]);
const facts = () => each("facts", (source) => [make("details", { open: !several() }, make("summary", {}, "versions, seconds, memory, hashes"), table(["", ""], source.facts)),
  ...source.exports.filter((one) => one.label === "command").map((one) => make("pre", { tabindex: "0", "aria-label": "the exact command" }, one.text))]);

function samples() {
  const having = page.sources.filter((source) => source.samples.rows.length);
  if (!having.length) { section("samples", make("p", {}, "No samples on this page: there are none, or the page was written to be sent (--samples N adds some).")); return; }
  let source = having[0];
  const list = make("div", {});
  const count = make("p", { class: "small", role: "status" });
  const search = make("input", { type: "search", id: "search", placeholder: "words in prompt, answer, reference", "aria-label": "search samples", oninput: debounce(() => paint()) });
  const order = make("select", { id: "order", "aria-label": "order", onchange: () => paint() });
  const orders = () => order.replaceChildren(...source.samples.metrics.map(({ name }, i) => make("option", { value: i }, `worst ${name} first`)), make("option", { value: -1 }, "as evaluated"));
  const picker = having.length > 1 ? [make("select", { "aria-label": "samples of", onchange: (e) => { source = having[e.target.value]; orders(); paint(); } }, ...having.map((one, i) => make("option", { value: i }, called(one))))] : [];
  const paint = () => {
    const wanted = search.value.toLowerCase().trim();
    const metric = source.samples.metrics[order.value];
    const found = source.samples.rows.filter((row) => [row.id, row.prompt, row.prediction, ...row.references].some((words) => words.toLowerCase().includes(wanted)));
    const size = (row) => { const v = row.scores[metric.name]; return v === null || v === undefined ? Infinity : metric.higher ? v : -v; };
    if (metric) found.sort((a, b) => size(a) - size(b));
    count.textContent = `${found.length} of ${source.samples.rows.length} shown${source.samples.of > source.samples.rows.length ? `; ${source.samples.of.toLocaleString("en-US")} were evaluated: the worst half by ${source.samples.metrics[0]?.name ?? "order"}, the others evenly spread` : ""}`;
    list.replaceChildren(...found.map((row) => make("article", { class: "sample" }, make("p", { class: "role" }, `${row.id}${metric ? `   ${metric.name} ${short(row.scores[metric.name])}` : ""}`),
      make("p", {}, row.prompt), make("p", { class: "role" }, "answer"), make("p", {}, row.prediction || "(empty)"), make("p", { class: "role" }, row.references.length > 1 ? `${row.references.length} references` : "reference"),
      ...row.references.map((words) => make("p", {}, words)))));
  };
  orders();
  section("samples", make("div", { class: "controls" }, ...picker, search, order), count, list);
  paint();
}

// ---- print, and a run that goes on ----------------------------------------------------------------------------------

function printed() {
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
  const sources = chosen().filter((source) => scoreOf(source, state.score));
  const now = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  byId("print").replaceChildren(...sources.flatMap((source) => {
    const frames = framesOf(source, scoreOf(source, state.score), state.matrix);
    return [0, 0.25, 0.5, 1].map((share) => {
      const step = frames.first[Math.round(share * (frames.count - 1))];
      const one = drawMap(source, plan(sources), 640, false, drawn.ends, true);
      one.paint(step);
      return make("div", {}, make("h3", {}, `${called(source)}, step ${step}`), one.svg);
    });
  }));
  drawn.maps.forEach(({ paint }) => paint(state.step));
  window.addEventListener("afterprint", () => { document.documentElement.dataset.theme = now; choose({}); }, { once: true });
}

const KEPT = ["score", "matrix", "step", "scale", "shown", "pin"];
function remember() {
  if (page.live) history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(KEPT.map((name) => state[name])))}`);
}
function recall() {
  try {
    if (page.live && location.hash) JSON.parse(decodeURIComponent(location.hash.slice(1))).forEach((kept, i) => { state[KEPT[i]] = kept; });
  } catch { /* a hash that is not ours */ }
}

/** Load the page again when the run has gone on. */
function follow() {
  const box = make("input", { type: "checkbox", checked: true, id: "follow" });
  byId("state").append("  ", make("label", {}, box, " follow the run"));
  setInterval(async () => {
    if (!box.checked || playing) return;
    try { if ((await (await fetch("/version")).text()) !== page.live) location.reload(); } catch { byId("live").textContent = "the run is not watched any more"; }
  }, 3000);
}

boot();
