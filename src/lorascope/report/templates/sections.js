// Below the map: groups, curves, losses, metrics; then what is said in words, and the samples.

const groupsOf = (source) =>
  Object.keys(GROUPS).filter((group) => source.map.cells.some((cell) => cell.group === group));
const curves = [];

function groups() {
  const rows = chosen()
    .filter((source) => scoreOf(source, state.score))
    .flatMap((source) =>
      groupsOf(source).map((group) => {
        const score = scoreOf(source, state.score);
        const cells = source.map.cells.filter((cell) => cell.group === group);
        const [low, high] = spread(source, score, state.matrix, group, cells);
        return {
          name: `${several() ? `${source.letter} ` : ""}${GROUPS[group]}`,
          value: value(source, score, state.matrix, cells, null),
          low,
          high,
          color: `var(--${group})`,
          mark: MARKS[group],
        };
      }),
    );
  if (!rows.length) return;
  const shown = chosen().filter((source) => scoreOf(source, state.score));
  const probed = shown.every((source) => source.kind === "profile");
  const words = {
    run:
      "Whole run; whiskers: 10th to 90th percentile over frames. That is spread over steps of one seed, no " +
      "interval of the mean: it decides nothing.",
    profile: "Mean over batches; whiskers: 95 % intervals, over batches.",
  };
  section(
    "groups",
    ...shares(),
    probed ? make("h3", {}, unitOf(shown[0])) : "",
    dotChart({ title: "groups", unit: unitOf(shown[0]), rows, width: narrow() ? 366 : 620 }),
    make("p", { class: "small" }, [...new Set(shown.map((source) => words[source.kind]))].join(" ")),
    asTable(["group", probed ? "mean" : "whole run", probed ? "low" : "10 %", probed ? "high" : "90 %"], () =>
      rows.map((row) => [row.name, row.value, row.low, row.high]),
    ),
  );
}

/** Of probes: the share of each kind of module and of both groups, with its interval. */
function shares() {
  const shown = chosen().filter((source) => source.shares?.length);
  if (!shown.length) return [];
  const names = [...new Set(shown.flatMap((source) => source.shares.map((one) => one.name)))];
  const rows = names.flatMap((name) =>
    shown.flatMap((source) =>
      source.shares
        .filter((one) => one.name === name)
        .map((one) => ({
          name: `${several() ? `${source.letter} ` : ""}${GROUPS[name] ?? name}`,
          value: one.value,
          low: one.low ?? NaN,
          high: one.high ?? NaN,
          color: `var(--${one.group})`,
          mark: MARKS[one.group],
          above: `${one.above} of ${one.of}`,
        })),
    ),
  );
  const top = Math.max(...rows.flatMap((row) => [row.value, row.high]).filter(Number.isFinite));
  const bounds = { log: false, low: 0, high: 1.04 * top };
  return [
    make("h3", {}, "Share of the signal per parameter"),
    dotChart({ title: "shares", unit: "1 is all of attention and MLP", rows, bounds, width: narrow() ? 366 : 620 }),
    asTable(["", "share", "low", "high", "above noise"], () =>
      rows.map((row) => [row.name, row.value, row.low, row.high, row.above]),
    ),
  ];
}

/** Show or hide a section that has nothing to say on this page. */
function appear(id, there) {
  byId(id).hidden = !there;
}

function norms(change) {
  const sources = chosen().filter(moves);
  appear("norms", sources.length);
  if (!sources.length) return;
  if ("step" in change && curves.length && !("score" in change)) {
    curves.forEach((figure) => figure.cursor(state.step));
    return;
  }
  const all = sources.map((source) =>
    groupsOf(source).map((group) => {
      const score = scoreOf(source, state.score);
      return {
        name: GROUPS[group],
        steps: framesOf(source, score, state.matrix).last,
        values: series(
          source,
          score,
          state.matrix,
          source.map.cells.filter((cell) => cell.group === group),
        ),
        color: `var(--${group})`,
        dash: DASHES[group],
        mark: MARKS[group],
      };
    }),
  );
  const bounds = domain(
    all
      .flat()
      .flatMap((line) => line.values)
      .filter((v) => v > 0),
    true,
  );
  curves.length = 0;
  const charts = sources.map((source, i) => {
    const figure = lineChart({
      title: called(source),
      unit: unitOf(source),
      lines: all[i],
      phases: PHASES(source),
      bounds,
      onstep: (step) => choose({ step }),
      zeroNote: "Steps at 0 are left out of the logarithmic axis.",
    });
    figure.cursor(state.step);
    curves.push(figure);
    return make("div", {}, several() ? make("h3", {}, called(source)) : "", figure);
  });
  section(
    "norms",
    key(all.reduce((a, b) => (b.length > a.length ? b : a))),
    make("div", { class: "charts" }, ...charts),
  );
}

function losses(change) {
  if (Object.keys(change).length && !("shown" in change)) return;
  appear("losses", page.sources.some((source) => source.kind === "run"));
  const shown = chosen().filter((source) => source.losses.training.length || source.losses.validation.length);
  if (!shown.length) {
    section("losses", make("p", {}, "No losses."));
    return;
  }
  const lines = shown.map((source) => {
    const line = (name, points, more) => ({
      name,
      steps: points.map(([step]) => step),
      values: points.map(([, loss]) => (loss === null ? NaN : loss)),
      ...more,
    });
    const valid = source.losses.validation;
    return [
      line("training", source.losses.training, { color: "var(--soft)", width: 1.2 }),
      line("validation", valid, {
        color: "var(--ink)",
        dots: true,
        rings: valid.flatMap(([step], i) => (step === source.losses.best ? [i] : [])),
      }),
    ].filter((one) => one.steps.length);
  });
  const same = new Set(shown.map((source) => source.dataset)).size === 1;
  const bounds = same
    ? domain(
        lines.flat().flatMap((one) => one.values),
        false,
      )
    : undefined;
  section(
    "losses",
    key([
      { name: "training", color: "var(--soft)" },
      { name: "validation; ring: the checkpoint that was kept", color: "var(--ink)", mark: "circle" },
    ]),
    make(
      "div",
      { class: "charts" },
      ...shown.map((source, i) =>
        make(
          "div",
          {},
          several() ? make("h3", {}, called(source)) : "",
          lineChart({
            title: `losses of ${source.name}`,
            unit: "nats per answer token",
            lines: lines[i],
            phases: PHASES(source),
            bounds,
            fromZero: false,
          }),
        ),
      ),
    ),
  );
}

function metrics() {
  const shown = chosen().filter((source) => source.evaluation);
  appear("metrics", page.sources.some((source) => source.kind === "run"));
  if (!shown.length) {
    section("metrics", make("p", {}, "Not evaluated."));
    return;
  }
  const names = [...new Set(shown.flatMap((source) => source.evaluation.metrics.map((one) => one.name)))];
  const based = shown.some((source) =>
    source.evaluation.metrics.some((one) => one.base !== null && one.base !== undefined),
  );
  const charts = names.map((name) => {
    const found = shown
      .map((source) => [source, source.evaluation.metrics.find((one) => one.name === name)])
      .filter(([, one]) => one);
    const { unit, higher } = found[0][1];
    const rows = found.map(([source, one]) => ({
      name: several() ? source.letter : "trained",
      value: one.value,
      low: one.low ?? NaN,
      high: one.high ?? NaN,
      other: one.base ?? NaN,
      color: "var(--ink)",
    }));
    const numbers = rows.flatMap((row) => [row.value, row.low, row.high, row.other]).filter(Number.isFinite);
    const bounds = { log: false, low: Math.min(0, ...numbers), high: 1.06 * Math.max(...numbers, 1e-9) };
    return make(
      "div",
      {},
      make("h3", {}, name),
      dotChart({
        title: name,
        unit: `${unit}; ${higher ? "higher" : "lower"} is better`,
        rows,
        bounds,
        width: narrow() ? 366 : 420,
      }),
    );
  });
  const ring = based ? "; ring: the base model without adapter" : "";
  const counts = shown.map((source) => {
    const { n, split } = source.evaluation;
    return `${several() ? `${source.letter}: ` : ""}${n.toLocaleString("en-US")} ${split} examples`;
  });
  section(
    "metrics",
    make(
      "p",
      { class: "small" },
      `Dot: after training, whiskers: 95 % over examples, not over seeds${ring}. ${counts.join(", ")}.`,
    ),
    make("div", { class: "charts" }, ...charts),
    asTable(["metric", "run", "base", "trained", "low", "high", "unit"], () =>
      shown.flatMap((source) =>
        source.evaluation.metrics.map((one) => [
          one.name,
          called(source),
          one.base ?? null,
          one.value,
          one.low,
          one.high,
          one.unit,
        ]),
      ),
    ),
  );
}

const each = (id, body) =>
  section(
    id,
    ...page.sources.flatMap((source) => [...(several() ? [make("h3", {}, called(source))] : []), ...body(source)]),
  );

function budget() {
  if (page.sources.every((source) => source.kind === "profile"))
    byId("budget").querySelector("h2").textContent = "What was looked at";
  each("budget", (source) => [
    make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": `budget of ${source.name}` },
      table(["", ""], source.budget),
    ),
  ]);
}
const notes = () =>
  each("notes", (source) => [
    source.notes.length
      ? make("ul", {}, ...source.notes.map((words) => make("li", {}, words)))
      : make("p", {}, "None."),
  ]);
const facts = () =>
  each("facts", (source) => [
    make(
      "details",
      { open: !several() },
      make("summary", {}, "versions, seconds, memory, hashes"),
      table(["", ""], source.facts),
    ),
    ...source.exports
      .filter((one) => one.label === "command")
      .map((one) => make("pre", { tabindex: "0", "aria-label": "the exact command" }, one.text)),
  ]);

function samples() {
  const having = page.sources.filter((source) => source.samples.rows.length);
  appear("samples", page.sources.some((source) => source.kind === "run"));
  if (!having.length) {
    section(
      "samples",
      make(
        "p",
        {},
        "No samples on this page: there are none, or the page was written to be sent (--samples N adds some).",
      ),
    );
    return;
  }
  let source = having[0];
  const list = make("div", {});
  const count = make("p", { class: "small", role: "status" });
  const search = make("input", {
    type: "search",
    id: "search",
    placeholder: "words in prompt, answer, reference",
    "aria-label": "search samples",
    oninput: debounce(() => paint()),
  });
  const order = make("select", { id: "order", "aria-label": "order", onchange: () => paint() });
  const orders = () =>
    order.replaceChildren(
      ...source.samples.metrics.map(({ name }, i) => make("option", { value: i }, `worst ${name} first`)),
      make("option", { value: -1 }, "as evaluated"),
    );
  const picker =
    having.length > 1
      ? [
          make(
            "select",
            {
              "aria-label": "samples of",
              onchange: (e) => {
                source = having[e.target.value];
                orders();
                paint();
              },
            },
            ...having.map((one, i) => make("option", { value: i }, called(one))),
          ),
        ]
      : [];
  const paint = () => {
    const { of, rows, metrics: judged } = source.samples;
    const kept = `${of.toLocaleString("en-US")} were evaluated`;
    const how = `the worst half by ${judged[0]?.name ?? "order"}, the others evenly spread`;
    const left = of > rows.length ? `; ${kept}: ${how}` : "";
    const wanted = search.value.toLowerCase().trim();
    const metric = source.samples.metrics[order.value];
    const found = source.samples.rows.filter((row) =>
      [row.id, row.prompt, row.prediction, ...row.references].some((words) => words.toLowerCase().includes(wanted)),
    );
    const size = (row) => {
      const v = row.scores[metric.name];
      return v === null || v === undefined ? Infinity : metric.higher ? v : -v;
    };
    if (metric) found.sort((a, b) => size(a) - size(b));
    count.textContent = `${found.length} of ${source.samples.rows.length} shown${left}`;
    list.replaceChildren(
      ...found.map((row) =>
        make(
          "article",
          { class: "sample" },
          make(
            "p",
            { class: "role" },
            `${row.id}${metric ? `   ${metric.name} ${short(row.scores[metric.name])}` : ""}`,
          ),
          make("p", {}, row.prompt),
          make("p", { class: "role" }, "answer"),
          make("p", {}, row.prediction || "(empty)"),
          make("p", { class: "role" }, row.references.length > 1 ? `${row.references.length} references` : "reference"),
          ...row.references.map((words) => make("p", {}, words)),
        ),
      ),
    );
  };
  orders();
  section("samples", make("div", { class: "controls" }, ...picker, search, order), count, list);
  paint();
}
