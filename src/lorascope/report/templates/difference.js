// Two maps against each other.

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
