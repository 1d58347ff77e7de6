// A recommended adapter: the ranks of every candidate at its budget, and what a proof said of the best.

function recommended() {
  const having = page.sources.filter((source) => source.choice);
  appear("choice", having.length);
  section(
    "choice",
    ...having.flatMap(({ choice }) => [
      scrolled("candidates", table(choice.headings, choice.candidates)),
      make(
        "p",
        { class: "small" },
        "Ranks by kind of module, from the smallest to the largest. Every candidate may use the same parameters.",
      ),
      ...(choice.proof ? proofOf(choice.proof) : []),
    ]),
  );
}

/** The difference on test rows with its interval, each seed, and the rounds that chose who was compared. */
function proofOf(proof) {
  return [
    make("h3", {}, "Against uniform, on test rows"),
    ...proof.words.map((words) => make("p", { class: "small" }, words)),
    ...(proof.effect ? effectOf(proof) : []),
    make("h3", {}, "How the two were chosen, on validation rows"),
    scrolled("rounds", table(["steps", "candidate", "learning rate", "validation loss"], proof.rounds)),
  ];
}

/** The difference as a picture, and each seed's. */
function effectOf(proof) {
  return [
    effectChart({
      title: "difference to uniform",
      unit: "nats per answer token; below 0 is better than uniform",
      rows: [proof.effect],
      width: wide(),
    }),
    asTable(["", "difference", "low", "high"], () => [
      ["mean", proof.effect.effect, proof.effect.ci_low, proof.effect.ci_high],
      ...proof.seeds.map(([seed, difference]) => [`seed ${seed}`, difference, null, null]),
    ]),
  ];
}
