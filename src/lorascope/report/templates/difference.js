// Two maps against each other.

/** Differences of probes are decided cell by cell, over batches; two runs decide nothing. */
function differenceOf(sources, plan_, width) {
  const at = sources.map((source) => page.sources.indexOf(source));
  const pair = page.pairs.find((one) => one.first === at[0] && one.second === at[1]);
  if (pair) return drawShares(sources[0], sources[1], plan_, width, pair.cells);
  if (sources.every((source) => source.kind === "run")) return drawDifference(sources[0], sources[1], plan_, width);
  return make("p", { class: "small" }, "No map of the difference: these have different modules, or are of two kinds.");
}

const BROWN_TO_GREEN = {
  light: ["#804a09", "#c08a3e", "#e3c88f", "#f4f5f5", "#a3d8d0", "#3f9a91", "#015d54"],
  dark: ["#f0c27a", "#b88339", "#6b512b", "#2a3037", "#22554f", "#34968b", "#8fe0d5"],
};

/** The colour of a decided difference, -1 to 1, in six steps; more always stands further from the page. */
const ofDifference = (share) =>
  BROWN_TO_GREEN[dark() ? "dark" : "light"][
    3 + Math.sign(share) * Math.min(3, Math.max(1, Math.round(3 * Math.abs(share))))
  ];

/** log2 of the second share over the first; a share that is 0 or below makes it infinite. */
const factor = ([a, b, difference]) =>
  a > 0 && b > 0 ? Math.log2(b / a) : difference > 0 ? Infinity : -Infinity;

/** Where the second probe has the larger share of its signal and where the first; coloured where that is decided. */
function drawShares(first, second, plan_, width, cells) {
  const { rows, layers, stacks } = plan_;
  const tall = narrow();
  const [left, top, down] = tall ? [58, 40, 24] : [stacks > 1 ? 150 : 92, 24, 26];
  const along = tall
    ? Math.min(42, (width - left - 8) / Math.max(1, rows.length))
    : Math.max(8, Math.min(74, (width - left - 20) / Math.max(1, layers.length)));
  const [W, H] = tall
    ? [left + along * rows.length + 8, top + down * layers.length + 6]
    : [left + along * layers.length + 20, top + down * rows.length + 6];
  const svg = draw("svg", {
    viewBox: `0 0 ${W} ${H}`,
    width: W,
    height: H,
    role: "img",
    "aria-label": "difference of the two probes; a table with the numbers follows",
  });
  const decided = Object.values(cells).filter((cell) => cell[5]);
  const most = quantile(
    decided.map((cell) => Math.abs(factor(cell))),
    0.98,
  );
  const clipped = (cell) => Math.min(1, Math.max(-1, factor(cell) / (most || 1)));
  const found = [];
  rows.forEach((row, r) => {
    const words = (stacks > 1 ? `${row.stack} ` : "") + row.projection;
    const named = tall
      ? text(left + along * (r + 0.5), top - 8, words, { "text-anchor": "middle" })
      : text(left - 8, top + down * (r + 0.5) + 4, words, { "text-anchor": "end" });
    named.style.fill = `var(--${row.group}-text)`;
    svg.append(named);
    layers.forEach((layer, i) => {
      const cell = cells[`${row.row} ${layer}`];
      if (!cell) return;
      const [x, y] = tall ? [left + along * r, top + down * i] : [left + along * i, top + down * r];
      const box = { x: x + 0.5, y: y + 0.5, width: along - 1, height: down - 1, rx: 1.5 };
      const rect = draw("rect", { ...box, "data-decided": `${cell[5]}`, "data-difference": cell[2] });
      rect.style.fill = cell[5] ? ofDifference(clipped(cell)) : "var(--faint)";
      svg.append(rect);
      if (cell[5]) {
        const mine = draw("g", { class: "sign" });
        mine.append(mark(cell[2] > 0 ? "up" : "down", x + along / 2, y + down / 2, Math.min(4, along / 4), {}));
        mine.style.fill = Math.abs(clipped(cell)) > 0.5 ? "var(--page)" : "var(--ink)";
        svg.append(mine);
      }
      found.push([`${layer}`, row.projection, cell]);
    });
  });
  layers.forEach((layer, i) => {
    if (!tall && i % Math.ceil(26 / along)) return;
    svg.append(
      tall
        ? text(left - 6, top + down * (i + 0.5) + 4, layer, { "text-anchor": "end", class: "soft" })
        : text(left + along * (i + 0.5), 16, layer, { "text-anchor": "middle", class: "soft" }),
    );
  });
  const [a, b] = [first.letter, second.letter];
  const words = [
    `Share of a cell in the signal per parameter of attention and MLP: ${b}'s minus ${a}'s.`,
    `Coloured, and marked up (larger in ${b}) or down (larger in ${a}): decided over batches, Holm over all cells.`,
    "Pale: undecided.",
    decided.length ? `Colours end at a factor of ${short(2 ** most)}.` : "",
  ].join(" ");
  return make(
    "div",
    {},
    make("h3", {}, `Difference, ${b} minus ${a}: ${decided.length} of ${Object.keys(cells).length} cells decided`),
    make("div", { class: "scroll free" }, svg),
    make("p", { class: "small" }, words),
    asTable(["layer", "projection", a, b, `${b} - ${a}`, "low", "high", "decided"], () =>
      found.map(([layer, kind, cell]) => [layer, kind, ...cell.slice(0, 5), cell[5] ? "yes" : "no"]),
    ),
  );
}

/** Triangles that point up where the second is larger; without colour, since two runs decide nothing. */
function drawDifference(first, second, plan_, width) {
  const { rows, layers } = plan_;
  const left = 92;
  const along = Math.max(8, Math.min(74, (width - left - 190) / Math.max(1, layers.length)));
  const svg = draw("svg", {
    viewBox: `0 0 ${left + along * layers.length + 20} ${40 + 24 * rows.length}`,
    width: left + along * layers.length + 20,
    role: "img",
    "aria-label": "difference of the two maps; a table with the numbers follows",
  });
  const found = [];
  const score = scoreOf(first, state.score);
  const other = scoreOf(second, state.score);
  rows.forEach((row, r) => {
    const named = text(left - 8, 41 + 24 * r, row.projection, { "text-anchor": "end" });
    named.style.fill = `var(--${row.group}-text)`;
    svg.append(named);
    layers.forEach((layer, i) => {
      const [a, b] = [first, second].map((source) => source.byKey.get(`${row.row} ${layer}`));
      const [x, y] = [left + along * (i + 0.5), 36 + 24 * r];
      const frame = (source, s) =>
        state.step === null ? null : frameAt(framesOf(source, s, state.matrix), state.step);
      const ratio =
        a && b && score && other
          ? Math.log2(
              value(second, other, state.matrix, [b], frame(second, other)) /
                value(first, score, state.matrix, [a], frame(first, score)),
            )
          : NaN;
      found.push({ layer, row, x, y, ratio });
    });
  });
  const top =
    quantile(
      found.map(({ ratio }) => Math.abs(ratio)),
      0.98,
    ) || 1;
  for (const { x, y, ratio } of found) {
    if (!Number.isFinite(ratio)) {
      svg.append(draw("rect", { x: x - 1, y: y - 1, width: 2, height: 2, fill: "var(--soft)" }));
      continue;
    }
    const size = 1 + Math.min(1, Math.abs(ratio) / top) * (Math.min(along, 22) / 2 - 2.5);
    svg.append(mark(ratio > 0 ? "up" : "down", x, y, size / 1.15, { fill: "var(--soft)", "data-ratio": ratio }));
  }
  layers.forEach((layer, i) => {
    if (i % Math.ceil(26 / along) === 0)
      svg.append(text(left + along * (i + 0.5), 16, layer, { "text-anchor": "middle", class: "soft" }));
  });
  const words = [
    `Up: larger in ${second.letter}; the largest triangles are a factor of ${short(2 ** top)}.`,
    "No cell is coloured: a difference between two runs is decided over seeds, and here each has one.",
  ].join(" ");
  return make(
    "div",
    {},
    make("h3", {}, `Difference, ${second.letter} against ${first.letter}: undecided`),
    svg,
    make("p", { class: "small" }, words),
    asTable(["layer", "projection", `log2(${second.letter} / ${first.letter})`], () =>
      found.map(({ layer, row, ratio }) => [`${layer}`, row.projection, Number.isFinite(ratio) ? ratio : null]),
    ),
  );
}
