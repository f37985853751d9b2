// The model of the page: one network for both tasks, run by ONNX Runtime in WebAssembly.
// Everything is fetched from beside this page, once; what is typed goes nowhere.

import * as ort from "./runtime/ort.wasm.bundle.min.mjs";
import {WordPiece} from "./wordpiece.js";

// A file, unpacked if it is a gzip file still (some servers unpack by themselves).
async function fetchBytes(name, progress = () => {}) {
  const answer = await fetch(name).catch(() => { throw new Error(`${name} did not arrive: is there a connection? Load the page anew.`); });
  if (!answer.ok) throw new Error(`${name} is missing (${answer.status}): make this folder with "course export --to browser"`);
  const chunks = [], reader = answer.body.getReader();
  for (let got = 0, step; !(step = await reader.read()).done;) {
    chunks.push(step.value);
    progress(got += step.value.length);
  }
  const packed = new Blob(chunks), start = new Uint8Array(await packed.slice(0, 2).arrayBuffer());
  const stream = start[0] === 0x1f && start[1] === 0x8b ? packed.stream().pipeThrough(new DecompressionStream("gzip")) : packed.stream();
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const softmax = scores => {
  const top = Math.max(...scores), powers = Array.from(scores, score => Math.exp(score - top));
  const total = powers.reduce((a, b) => a + b);
  return powers.map(power => power / total);
};

export class Model {
  static async load(progress) {
    const about = JSON.parse(new TextDecoder().decode(await fetchBytes("about.json")));
    ort.env.wasm.numThreads = 1;
    let done = {};
    const report = name => got => { done[name] = got; progress(Object.values(done).reduce((a, b) => a + b) / about.bytes); };
    const [wasm, weights, vocabulary] = await Promise.all(
      ["runtime/ort-wasm-simd-threaded.wasm.gz", "model.onnx.gz", "vocab.txt"].map(name => fetchBytes(name, report(name))));
    ort.env.wasm.wasmBinary = wasm.buffer;
    const model = new Model();
    model.about = about;
    model.tokenizer = new WordPiece(new TextDecoder().decode(vocabulary), about.tokenizer);
    model.session = await ort.InferenceSession.create(weights, {executionProviders: ["wasm"]});
    return model;
  }

  // adapter 1: the weights that were trained on sentiment; 0: those that fill gaps, at these places.
  async run(ids, adapter, places) {
    const whole = (values, shape) => new ort.Tensor("int64", BigInt64Array.from(values.map(BigInt)), shape);
    return this.session.run({input_ids: whole(ids, [1, ids.length]), positions: whole(places, [places.length]),
                             adapter: new ort.Tensor("float32", [adapter], [1])});
  }

  // text -> {tokens, ids, labels: [{label, score}], ms}
  async classify(text) {
    const began = performance.now(), read = this.tokenizer.encode(text, {special: false});
    const {logits} = await this.run(read.ids, 1, []);
    const labels = softmax(logits.data).map((score, n) => ({label: this.about.labels[n], score}));
    return {...read, labels, ms: performance.now() - began};
  }

  // text with one [MASK] or several -> {tokens, ids, gaps: [[{word, score}, …], …], ms}
  async fill(text, best = 5) {
    const began = performance.now(), read = this.tokenizer.encode(text), gaps = [];
    const places = read.tokens.flatMap((token, n) => token === "[MASK]" ? [n] : []);
    if (places.length) {
      const {words} = await this.run(read.ids, 0, places), size = words.dims[1];
      for (let gap = 0; gap < places.length; gap++) {
        const scores = softmax(words.data.subarray(gap * size, (gap + 1) * size));
        const order = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]).slice(0, best);
        gaps.push(order.map(id => ({word: this.tokenizer.pieces[id], score: scores[id]})));
      }
    }
    return {...read, gaps, ms: performance.now() - began};
  }
}
