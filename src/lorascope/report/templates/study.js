// A study: verdicts, what was expected and what was found, arms, budgets, curves, runs.

const PLAIN = ["var(--ink)", "var(--embed)", "var(--lm_head)", "var(--soft)"];
const DASHED = ["", "7 3", "2 2", "8 3 2 3", "12 3", "1 3"];
const SIGNED = {
  1: { color: "var(--link)", mark: "circle" },
  "-1": { color: "var(--warn)", mark: "diamond" },
  0: { color: "var(--soft)", mark: "circle" },
};

function showStudy() {
  head();
  byId("main").hidden = false;
  const paint = () => byId("main").replaceChildren(...studySections(page.study));
  paint();
  let was = narrow();
  window.addEventListener(
    "resize",
    debounce(() => {
      if (narrow() === was) return;
      was = narrow();
      paint();
    }),
  );
}

const part = (id, words, ...children) => make("section", { id }, make("h2", {}, words), ...children);
const scrolled = (words, ...children) =>
  make("div", { class: "scroll free oneline", tabindex: "0", role: "region", "aria-label": words }, ...children);
const wide = () => (narrow() ? 366 : 600);

function studySections(study) {
  const arms = [...new Set(study.arms.map((cell) => cell.arm))];
  const tasks = [...new Set(study.arms.map((cell) => cell.task))];
  const look = (arm) => lookOf(arm, study.groups[arm], arms.indexOf(arm));
  return [
    part(
      "verdicts",
      "Verdicts",
      make(
        "p",
        { class: "small" },
        "Means over seeds of paired differences, with 95 % intervals. Filled: decided after Holm's correction, a disc " +
          "as expected, a diamond the other way. Grey band: smaller than the smallest effect of interest.",
      ),
      ...study.verdicts.flatMap(verdictOf),
    ),
    part("expected", "Expected against found", scrolled("expected against found", expectedTable(study))),
    part(
      "arms",
      "Test loss of every arm",
      make(
        "p",
        { class: "small" },
        "Mean over seeds; whiskers: 95 % interval of that mean. Verdicts look at differences of runs of one seed, " +
          "which vary less than these means do. Losses of different tasks do not compare.",
      ),
      make("div", { class: "charts" }, ...tasks.map((task) => armChart(task, study))),
      asTable(["task", "arm", "learning rate", "steps", "seeds", "test loss", "low", "high", "validation loss", "low", "high"], () =>
        study.arms.map((cell) => [
          cell.task,
          cell.arm,
          `${cell.lr}`,
          cell.steps,
          cell.seeds,
          ...cell.test_loss,
          ...cell.validation_loss,
        ]),
      ),
    ),
    part(
      "budget",
      "Budgets: parameters asked for, used, trained",
      scrolled("budgets", table(["arm", "settings of its own", "asked", "used", "trained"], study.budget)),
    ),
    part(
      "norms",
      "Gradient norms over steps",
      make(
        "p",
        { class: "small" },
        "Of all adapters of an arm. Thick: the mean over seeds, thin: each seed. " +
          Object.values(study.scales)
            .map((words) => `${words[0].toUpperCase()}${words.slice(1)}.`)
            .join(" "),
      ),
      key(arms.map(look)),
      make("div", { class: "charts" }, ...study.curves.map((one) => curveChart(one, look))),
    ),
    part(
      "losses",
      "Validation loss over steps",
      key(arms.map(look)),
      make(
        "div",
        { class: "charts" },
        ...study.losses.map((one) => curveChart({ ...one, unit: "nats per answer token" }, look)),
      ),
    ),
    part("runs", "Runs", runsTable(study.runs)),
    part("notes", "Notes and warnings", listOf(study.notes)),
    part(
      "facts",
      "Where the numbers come from",
      make("details", { open: true }, make("summary", {}, "versions, seconds, hashes"), table(["", ""], study.facts)),
      ...study.exports
        .filter((one) => one.label === "command")
        .map((one) => make("pre", { tabindex: "0", "aria-label": "the exact command" }, one.text)),
    ),
  ];
}

const listOf = (lines) =>
  lines.length ? make("ul", {}, ...lines.map((words) => make("li", {}, words))) : make("p", {}, "None.");

/** A hypothesis: its claim, the effects with their intervals, what would decide it, and how it was laid down. */
function verdictOf(found) {
  const units = [...new Set(found.contrasts.map((one) => one.unit))];
  const charts = units.map((unit) =>
    effectChart({
      title: `${found.name}, ${unit}`,
      unit,
      rows: found.contrasts.filter((one) => one.unit === unit),
      width: wide(),
    }),
  );
  return [
    make("h3", {}, `${found.name}: ${found.outcome}`),
    make("p", {}, `${found.claim[0].toUpperCase()}${found.claim.slice(1)}.`),
    make("div", { class: "charts" }, ...charts),
    asTable(["contrast", "effect", "low", "high", "unit", "seeds", "test", "p", "p (Holm)"], () =>
      found.contrasts.map((one) => [
        one.name,
        one.effect,
        one.ci_low,
        one.ci_high,
        one.unit,
        one.n,
        one.test,
        one.p,
        one.adjusted,
      ]),
    ),
    ...(found.remarks.length ? [listOf(found.remarks)] : []),
    make("details", {}, make("summary", {}, "as laid down before the first run"), table(["", ""], found.laid)),
  ];
}

/**
 * Effects with intervals around 0, each named above its line. Grey: smaller than what matters; filled: decided.
 * rows: contrasts of one unit.
 */
function effectChart({ title, unit, rows, width }) {
  const lines = narrow() ? 2 : 1;
  const [left, right, top, h] = [14, 14, 6, 24 + 16 * lines];
  const H = top + h * rows.length + 34;
  const numbers = rows.flatMap((row) => [row.effect, row.ci_low, row.ci_high, row.smallest, -row.smallest, 0]);
  const bounds = domain(numbers.map((v) => v ?? NaN), false);
  const sx = scale({ ...bounds, log: false }, left, width - right);
  const svg = draw("svg", {
    viewBox: `0 0 ${width} ${H}`,
    width: "100%",
    role: "img",
    "aria-label": `${title}; a table with the numbers follows`,
  });
  const bottom = top + h * rows.length;
  for (const t of ticks(bounds.low, bounds.high, false, narrow() ? 4 : 6))
    svg.append(
      draw("line", { x1: sx(t), x2: sx(t), y1: top, y2: bottom, class: t === 0 ? "axis" : "grid" }),
      text(sx(t), H - 20, label(t), { "text-anchor": "middle", class: "soft" }),
    );
  svg.append(text(left, H - 4, unit, { class: "soft" }));
  rows.forEach((row, i) => {
    const at = top + h * i + 12 + 16 * lines;
    const look = SIGNED[row.sign];
    if (row.smallest > 0)
      svg.append(
        draw("rect", {
          x: sx(-row.smallest),
          y: at - 8,
          width: sx(row.smallest) - sx(-row.smallest),
          height: 16,
          class: "phase",
        }),
      );
    if (row.ci_low !== null && row.ci_high !== null)
      svg.append(
        draw("line", { x1: sx(row.ci_low), x2: sx(row.ci_high), y1: at, y2: at, stroke: look.color, "stroke-width": 2 }),
      );
    if (row.effect !== null)
      svg.append(
        mark(look.mark, sx(row.effect), at, 4.5, {
          fill: row.sign ? look.color : "var(--page)",
          stroke: look.color,
          "stroke-width": 2,
        }),
      );
    svg.append(
      text(left, at + 2 - 16 * lines, row.name, { class: "halo" }),
      text(width - right, at - 14, `${found(row)}, ${row.side}`, { "text-anchor": "end", class: "halo" }),
    );
  });
  return make("figure", {}, svg);
}

/** An effect with its interval, signs shown. */
function found(row) {
  const signed = (v) => (v > 0 ? "+" : "") + short(v);
  if (row.effect === null) return "not measured";
  return row.ci_low === null ? signed(row.effect) : `${signed(row.effect)} [${signed(row.ci_low)}, ${signed(row.ci_high)}]`;
}

function expectedTable(study) {
  return table(
    ["hypothesis", "contrast", "expected", "found, 95 % interval", "", "unit", "seeds", "decided by"],
    study.verdicts.flatMap((verdict) =>
      verdict.contrasts.map((row) => [
        verdict.name,
        row.name,
        row.expect > 0 ? "above 0" : "below 0",
        found(row),
        row.side,
        row.unit,
        row.n,
        row.sign ? "these seeds" : row.would_decide ? `about ${row.would_decide} seeds` : "no number in sight",
      ]),
    ),
  );
}

function armChart(task, study) {
  const cells = study.arms.filter((cell) => cell.task === task);
  const rows = cells.map((cell) => {
    const [value, low, high] = cell.test_loss.map((v) => v ?? NaN);
    return { name: cell.arm, value, low, high, color: "var(--ink)" };
  });
  const numbers = rows.flatMap((row) => [row.value, row.low, row.high]);
  return make(
    "div",
    {},
    make("h3", {}, `${task}, ${cells[0].steps} steps`),
    dotChart({
      title: `test loss on ${task}`,
      unit: "nats per answer token; lower is better",
      rows,
      bounds: { ...domain(numbers, false), log: false },
      width: wide(),
    }),
  );
}

/** How an arm is drawn: in the colour of its group, where it adapts one alone. */
function lookOf(arm, group, i) {
  return {
    name: arm,
    color: group ? `var(--${group})` : PLAIN[i % PLAIN.length],
    dash: DASHED[i % DASHED.length],
    mark: MARKS[group] ?? ["up", "diamond", "down", "circle", "square"][i % 5],
  };
}

function curveChart({ task, unit, lines }, lookOfArm) {
  const series_ = (points) => ({
    steps: points.map(([step]) => step),
    values: points.map(([, v]) => v ?? NaN),
  });
  const all = lines.flatMap((line) => {
    const look = lookOfArm(line.arm);
    return [
      { ...look, ...series_(line.mean), dots: line.mean.length < 8 },
      ...(line.seeds.length > 1
        ? line.seeds.map(([seed, points]) => ({
            ...series_(points),
            name: `${line.arm}, seed ${seed}`,
            color: look.color,
            width: 0.8,
            opacity: 0.45,
          }))
        : []),
    ];
  });
  return make("div", {}, make("h3", {}, task), lineChart({ title: task, unit, lines: all, fromZero: false, width: wide() }));
}

const runsTable = (rows) =>
  make(
    "details",
    { class: "astable" },
    make("summary", {}, `${rows.length} runs, with folders and hashes of their configurations`),
    scrolled(
      "runs",
      table(
        ["task", "arm", "seed", "stage", "learning rate", "test loss", "validation loss", "trained", "folder", "hash"],
        rows.map(([task, arm, seed, stage, lr, ...rest]) => [task, arm, seed, stage, `${lr}`, ...rest]),
      ),
    ),
  );
