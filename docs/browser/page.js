// What the page shows: answers follow the typing, the latest text wins.

import {Model} from "./model.js";

const at = id => document.getElementById(id);
const make = (tag, text, options = {}) => Object.assign(document.createElement(tag), {textContent: text}, options);

function showTokens(place, {tokens, ids, cut}) {
  place.replaceChildren(...tokens.map((token, n) => {
    const kind = token.startsWith("##") ? "inner" : /^\[[A-Z]+\]$/.test(token) ? "special" : "";
    const item = make("li", token, {title: `number ${ids[n]}`, className: kind});
    item.append(make("small", ids[n]));
    return item;
  }));
  if (cut) place.append(make("li", "… the rest is longer than the model reads", {className: "special"}));
}

function showBars(place, rows) {
  place.replaceChildren(...rows.map(({name, score}) => {
    const row = make("div", "", {className: "row"}), bar = make("span", "", {className: "bar"});
    bar.style.setProperty("--share", `${100 * score}%`);
    row.append(make("span", name, {className: "name"}), bar, make("span", `${Math.round(100 * score)} %`, {className: "share"}));
    return row;
  }));
}

function complain(text) {
  at("loading").hidden = false;
  at("loading").replaceChildren(make("p", text, {className: "error"}));
}

// Runs `answer` on what a field holds, one at a time; what was typed meanwhile comes next.
function follow(field, answer) {
  let busy = false, again = false;
  const run = async () => {
    if (busy) { again = true; return; }
    busy = true;
    do {
      again = false;
      at("loading").hidden = true;
      await answer(field.value).catch(error => complain(`The model could not answer. ${error.message}`));
    } while (again);                                    // a text that failed does not silence the next
    busy = false;
  };
  field.addEventListener("input", run);
  return run();
}

async function start() {
  const model = await Model.load(share => { at("progress").value = Math.min(1, share); });
  at("loading").hidden = true;
  for (const field of document.querySelectorAll("textarea, button")) field.disabled = false;
  const time = (place, ms) => { place.textContent = `${Math.max(1, Math.round(ms))} ms here`; };
  const classify = async text => {
    const found = await model.classify(text);
    showTokens(at("sentiment-tokens"), found);
    const nothing = found.ids.length === 2;             // [CLS] and [SEP]: what stands there is no answer
    at("sentiment-hint").hidden = !nothing;
    showBars(at("sentiment-answer"), nothing ? [] : found.labels.map(({label, score}) => ({name: label.toLowerCase(), score})));
    time(at("sentiment-time"), found.ms);
  };
  const fill = async text => {
    const found = await model.fill(text);
    showTokens(at("gap-tokens"), found);
    at("gap-hint").hidden = found.gaps.length > 0;
    at("gap-answer").replaceChildren(...found.gaps.map(words => {
      const gap = make("div", "", {className: "gap"});
      showBars(gap, words.map(({word, score}) => ({name: word, score})));
      return gap;
    }));
    time(at("gap-time"), found.ms);
  };
  at("gap-insert").addEventListener("click", () => {
    const field = at("gap-text");
    field.setRangeText("[MASK]", field.selectionStart, field.selectionEnd, "end");
    field.focus();
    field.dispatchEvent(new Event("input"));
  });
  window.course = model;                                // for the curious: await course.classify("…") in the console
  await Promise.all([follow(at("sentiment-text"), classify), follow(at("gap-text"), fill)]);
  document.body.dataset.ready = "yes";
}

start().catch(error => complain(`The model could not be loaded. ${error.message}`));
