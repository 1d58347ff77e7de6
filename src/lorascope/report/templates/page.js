// The page: from the data to its sections. Everything shown follows `state`.

let page;
const chosen = () => state.shown.map((i) => page.sources[i]);
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
  unpack(JSON.parse(byId("data").textContent))
    .then(show)
    .catch((error) => {
      byId("failure").textContent =
        `This page cannot be shown: ${error.message}. It needs a browser from 2023 or later.`;
      byId("failure").hidden = false;
      throw error;
    });
}

function show(found) {
  page = found;
  if (page.study) showStudy();
  else showSources();
  window.addEventListener("beforeprint", printed);
  if (page.live) follow();
  document.documentElement.dataset.ready = Math.round(performance.now());
}

function showSources() {
  page.sources.forEach((source, i) => {
    source.letter = i < 26 ? String.fromCharCode(65 + i) : `R${i + 1}`;
  });
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
  [recommended, metrics, budget, samples, notes, facts].forEach((part) => part());
  listeners.push((change) => {
    const light = "hover" in change || "focus" in change;
    if (light && !("pin" in change)) return panel();
    if ("shown" in change) metrics();
    parts.forEach((part) => part(change));
    remember();
  });
  window.addEventListener(
    "resize",
    debounce(() => choose({ resized: true })),
  );
}

const debounce = (act) => {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, 120);
  };
};
const several = () => page.sources.length > 1;
const called = (source) => (several() ? `${source.letter}  ${source.name}` : source.name);
const section = (id, ...children) => {
  const s = byId(id);
  s.replaceChildren(s.querySelector("h2"), ...children);
};

function head() {
  byId("title").textContent = page.title;
  byId("state").textContent = page.about;
  byId("verdict").replaceChildren(...page.verdict.map((words) => make("p", {}, words)));
  const told = page.study ? [page.study] : page.sources;
  const count = told.reduce((sum, source) => sum + source.notes.length, 0);
  const [firstWords, ...more] = page.sure;
  byId("trust").replaceChildren(
    make(
      "a",
      { href: "#notes", class: count ? "warn" : "" },
      count ? `! ${count} note${count > 1 ? "s" : ""}` : "no notes or warnings",
    ),
    make("details", {}, make("summary", {}, `how sure? ${firstWords}`), ...more.map((words) => make("p", {}, words))),
  );
  let which = told.find((source) => source.exports.length) ?? told[0];
  let format = 0;
  const buttons = byId("exports");
  const said = make("span", { role: "status", class: "small" });
  const paint = () => {
    byId("config").textContent = which.exports[format]?.text ?? "The adapter is written when the run ends.";
    const picker = several()
      ? [
          make(
            "select",
            {
              "aria-label": "adapter of",
              onchange: (e) => {
                which = page.sources[e.target.value];
                format = Math.min(format, which.exports.length - 1);
                paint();
              },
            },
            ...page.sources.map((source, i) =>
              make("option", { value: i, selected: source === which }, called(source)),
            ),
          ),
        ]
      : [];
    buttons.replaceChildren(
      ...picker,
      ...which.exports.map((one, i) =>
        make(
          "button",
          {
            type: "button",
            "aria-pressed": i === format ? "true" : "false",
            onclick: () => {
              format = i;
              paint();
              buttons.querySelectorAll("button")[i].focus();
            },
          },
          one.label,
        ),
      ),
      make("button", { type: "button", id: "copy", onclick: () => copy(said) }, "Copy"),
      said,
    );
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
  const boxes = page.sources.map((source, i) =>
    make("input", {
      type: "checkbox",
      checked: state.shown.includes(i),
      "aria-label": `show ${called(source)} in the maps`,
      onchange: () => {
        const shown = boxes.flatMap((box, k) => (box.checked ? [k] : []));
        if (shown.length > 4 || !shown.length) {
          boxes[i].checked = !boxes[i].checked;
          byId("live").textContent = "one to four maps at a time";
          return;
        }
        choose({ shown });
      },
    }),
  );
  const headings = [...new Set(page.sources.flatMap((source) => Object.keys(source.row)))];
  section(
    "sources",
    make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "runs" },
      table(
        ["shown", "", "name", ...headings],
        page.sources.map((source, i) => [
          boxes[i],
          source.letter,
          source.name,
          ...headings.map((heading) => source.row[heading] ?? null),
        ]),
      ),
    ),
    make(
      "p",
      { class: "small" },
      "Up to four are drawn side by side, on one scale. Losses of different tasks do not compare.",
    ),
  );
}

// Print, and a run that goes on.

function printed() {
  document.querySelectorAll("details").forEach((details) => {
    details.open = true;
  });
  const sources = chosen().filter((source) => scoreOf(source, state.score));
  const now = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  byId("print")?.replaceChildren(
    ...sources.flatMap((source) => {
      const frames = framesOf(source, scoreOf(source, state.score), state.matrix);
      return (frames.count > 1 ? [0, 0.25, 0.5, 1] : [0]).map((share) => {
        const step = frames.first[Math.round(share * (frames.count - 1))];
        const one = drawMap(source, plan(sources), 640, false, drawn.ends, true);
        one.paint(frames.count > 1 ? step : null);
        return make("div", {}, make("h3", {}, called(source) + (frames.count > 1 ? `, step ${step}` : "")), one.svg);
      });
    }),
  );
  drawn.maps.forEach(({ paint }) => paint(state.step));
  window.addEventListener(
    "afterprint",
    () => {
      document.documentElement.dataset.theme = now;
      choose({});
    },
    { once: true },
  );
}

const KEPT = ["score", "matrix", "step", "scale", "shown", "pin"];
function remember() {
  if (page.live)
    history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(KEPT.map((name) => state[name])))}`);
}
function recall() {
  try {
    if (page.live && location.hash)
      JSON.parse(decodeURIComponent(location.hash.slice(1))).forEach((kept, i) => {
        state[KEPT[i]] = kept;
      });
  } catch {
    /* a hash that is not ours */
  }
}

/** Load the page again when the run has gone on. */
function follow() {
  const box = make("input", { type: "checkbox", checked: true, id: "follow" });
  byId("state").append("  ", make("label", {}, box, " follow the run"));
  setInterval(async () => {
    if (!box.checked || playing) return;
    try {
      if ((await (await fetch("/version")).text()) !== page.live) location.reload();
    } catch {
      byId("live").textContent = "the run is not watched any more";
    }
  }, 3000);
}

boot();
