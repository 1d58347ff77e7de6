"use strict";
// Numbers: the data unpacked, and everything that is derived from sums of parts.

/** The page's data: plain data, and the bytes of the parts. */
async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const all = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = new DataView(all.buffer).getUint32(0, true);
  const page = JSON.parse(new TextDecoder().decode(all.subarray(4, 4 + size)));
  page.sources.forEach((source) => prepare(source, all.subarray(4 + size)));
  return page;
}

/** Give a source its rows, layers, and a decoder that keeps what it has decoded. */
function prepare(source, blob) {
  const map = source.map;
  source.decoded = {};
  source.part = (name) => (source.decoded[name] ??= decode(map, name, blob));
  map.cells.forEach((cell, i) => {
    cell.at = i;
    cell.row = [cell.stack, cell.group, cell.projection].join(" ");
    cell.key = `${cell.row} ${cell.layer ?? ""}`;
  });
  source.byKey = new Map(map.cells.map((cell) => [cell.key, cell]));
}

/** (C x F) values of a part, and each cell's mean over frames. NaN: not measured; Infinity: not finite. */
function decode(map, name, blob) {
  const part = map.parts[name];
  if (part.values) {
    const plain = Float64Array.from(part.values, (number) => number ?? NaN);
    return { values: plain, means: plain, frames: 1, first: part.first, last: part.last };
  }
  const frames = part.first.length;
  const count = map.cells.length * frames;
  const values = new Float64Array(count);
  const means = new Float64Array(map.cells.length).fill(NaN);
  for (let i = 0; i < count; i++) {
    const code = blob[part.at + i] * 256 + blob[part.at + count + i];
    if (code === 0) values[i] = NaN;
    else if (code === 1) values[i] = 0;
    else if (code === 65535) values[i] = Infinity;
    else values[i] = part.low * Math.exp(((code - 2) / 65532) * part.span);
  }
  for (let cell = 0; cell < means.length; cell++) {
    let sum = 0;
    let there = 0;
    for (let frame = 0; frame < frames; frame++) {
      const value = values[cell * frames + frame];
      if (Number.isFinite(value)) {
        sum += value;
        there++;
      }
    }
    if (there) means[cell] = sum / there;
  }
  return { values, means, frames, first: part.first, last: part.last };
}

const scoreOf = (source, name) => source.map.scores.find((score) => score.name === name);

/** Names of the parts that a choice of matrix adds up. */
function partsOf(score, matrix) {
  return (score.matrices.find((choice) => choice.label === matrix) ?? score.matrices[0]).parts;
}

/** The score over some cells at a frame, or over all frames (null): sum(weight * part) / sum(per), mostly its root. */
function value(source, score, matrix, cells, frame) {
  let sum = 0;
  let per = score.per ? 0 : 1;
  let there = false;
  for (const name of partsOf(score, matrix)) {
    const part = source.part(name);
    for (const cell of cells) {
      const fact = frame === null ? part.means[cell.at] : part.values[cell.at * part.frames + frame];
      if (Number.isNaN(fact) || fact === undefined) continue;
      if (fact === Infinity) return Infinity;
      there = true;
      sum += fact * (score.weight ? score.weight[cell.at] : 1);
      if (score.per) per += score.per[name][cell.at];
    }
  }
  if (!there) return NaN;
  return score.root ? Math.sqrt(sum / per) : sum / per;
}

/** The score of one of the modules of a cell, over all frames. */
function valueOfMember(score, matrix, cell, member) {
  let sum = 0;
  let per = score.per ? 0 : 1;
  for (const name of partsOf(score, matrix)) {
    if (!Number.isFinite(member.parts[name] ?? NaN)) return NaN;
    sum += member.parts[name] * (score.weight ? score.weight[cell.at] : 1);
    if (score.per) per += member.per[name];
  }
  return score.root ? Math.sqrt(sum / per) : sum / per;
}

/** The frames of a score: first and last steps. */
function framesOf(source, score, matrix) {
  const part = source.part(partsOf(score, matrix)[0]);
  return { first: part.first, last: part.last, count: part.frames };
}

/** The score over some cells at every frame. */
function series(source, score, matrix, cells) {
  return Array.from({ length: framesOf(source, score, matrix).count }, (_, f) =>
    value(source, score, matrix, cells, f),
  );
}

/** Whether a source has numbers over steps. */
const moves = (source) => {
  const score = scoreOf(source, state.score);
  return Boolean(score) && framesOf(source, score, state.matrix).count > 1;
};

/** Ends of a whisker: the source's own interval of these cells, else 10th and 90th percentile over frames. */
function spread(source, score, matrix, key, cells) {
  if (score.bands) return score.bands[key].map((end) => end ?? NaN);
  const over = series(source, score, matrix, cells).filter(Number.isFinite);
  return [quantile(over, 0.1), quantile(over, 0.9)];
}

/** The frame that holds a step, or the nearest one. */
function frameAt(frames, step) {
  let best = 0;
  for (let f = 0; f < frames.count; f++) if (frames.first[f] <= step) best = f;
  return best;
}

/** Quantile of finite numbers, linear between ranks; NaN of none. */
function quantile(numbers, share) {
  const sorted = Float64Array.from(numbers.filter(Number.isFinite)).sort();
  if (!sorted.length) return NaN;
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/** Ends of the colour scale: 2nd and 98th percentile of the positive values of cells at frames, never equal.
 *  Of a score that knows its noise, only cells above it count. */
function limits(sources, name, matrix, frame) {
  const found = [];
  for (const source of sources) {
    const score = scoreOf(source, name);
    if (!score) continue;
    const count = framesOf(source, score, matrix).count;
    const stride = Math.max(1, Math.ceil((source.map.cells.length * count * sources.length) / 150000));
    for (const cell of source.map.cells.filter((one) => !score.above || score.above[one.at])) {
      if (frame !== null) found.push(value(source, score, matrix, [cell], Math.min(frame, count - 1)));
      else for (let f = cell.at % stride; f < count; f += stride) found.push(value(source, score, matrix, [cell], f));
    }
  }
  const positive = found.filter((number) => number > 0 && Number.isFinite(number));
  if (!positive.length) return [0.1, 1];
  const [low, high] = [quantile(positive, 0.02), quantile(positive, 0.98)];
  return high > 1.02 * low ? [low, high] : [low / 1.1, high * 1.1];
}

/** Where a value stands between the ends of a logarithmic scale, 0 to 1. */
function position(number, [low, high]) {
  return Math.min(1, Math.max(0, Math.log(number / low) / Math.log(high / low)));
}

/** A number with three significant digits. */
function short(number) {
  if (number === null || number === undefined || Number.isNaN(number)) return "-";
  if (!Number.isFinite(number)) return "not finite";
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 999.5) return size < 1e7 ? Math.round(number).toLocaleString("en-US") : number.toExponential(2);
  return size < 1e-3 ? number.toExponential(2) : number.toPrecision(3);
}

const GROUPS = { attention: "attention", mlp: "MLP", embed: "embedding", lm_head: "head", other: "other" };

/** What a cell is called. */
function nameOf(cell, source) {
  const stacks = new Set(source.map.cells.map((other) => other.stack));
  const where = cell.layer === null ? GROUPS[cell.group] : `layer ${cell.layer}`;
  return `${stacks.size > 1 ? `${cell.stack} ` : ""}${where}, ${cell.projection}`;
}
