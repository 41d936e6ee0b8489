// The page of `motoko web`. Every text is put in as text, never as markup.
"use strict";

const COUNT = 100; // runs in sight
const AGAIN_MS = 1000; // between two tries to reach the server
const KEPT = "motoko-key";
const KINDS = ["created", "running", "finished", "failed"];
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2} /;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
let key = sessionStorage.getItem(KEPT);
let last = null; // the workflow as it was told last
let asked = null; // the runs in sight: study, column, constraints, sort, first
let opened = null; // the run whose details are in sight
let refused = "this page needs the newest address that `motoko web` has printed";
let runsDue = false, runsBusy = false, detailBusy = false;
const seen = {}; // by study: its changes when its runs were read
let detailDue = false, hasEnded = false; // the opened run
let reads = null; // how often its study was read when it was

function element(tag, content, attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  for (const part of Array.isArray(content) ? content : [content]) {
    if (part !== null && part !== undefined) made.append(part instanceof Node ? part : String(part));
  }
  return made;
}

function link(text, action, attributes = {}) {
  const made = element("button", text, { type: "button", class: "link", ...attributes });
  made.addEventListener("click", action);
  return made;
}

function fill(table, heads, rows, numbers = []) {
  const kind = (place, cell) =>
    numbers.includes(place) ? { class: "number" } : TIME.test(cell) ? { class: "time" } : {};
  const head = element("tr", heads.map((one, place) => element("th", one, { scope: "col", ...kind(place) })));
  const body = rows.map((row) => element("tr", row.map((cell, place) => element("td", cell, kind(place, cell)))));
  table.replaceChildren(element("thead", head), element("tbody", body));
}

const stateOf = (state, column) =>
  element("span", state, { class: `state ${KINDS.includes(column) ? column : "own"}` });

// With six digits: a column must fit on a phone. The whole value is in the title.
function figure(value) {
  if (value === null) return "";
  if (typeof value !== "number" || Number.isInteger(value)) return value;
  return element("span", Number(value.toPrecision(6)), { title: value });
}

function bar(states) {
  const drawn = document.createElementNS(SVG, "svg");
  const whole = Object.values(states).reduce((sum, count) => sum + count, 0) || 1;
  drawn.setAttribute("viewBox", "0 0 100 10");
  drawn.setAttribute("preserveAspectRatio", "none");
  drawn.setAttribute("role", "img");
  const named = Object.entries(states).filter(([, count]) => count);
  drawn.setAttribute("aria-label", named.map(([name, count]) => `${count} ${name}`).join(", ") || "no runs");
  let x = 0;
  for (const [name, count] of named) {
    const part = document.createElementNS(SVG, "rect");
    const values = { x, y: 0, width: (100 * count) / whole, height: 10 };
    for (const [attribute, value] of Object.entries(values)) part.setAttribute(attribute, value);
    part.setAttribute("class", `f-${KINDS.includes(name) ? name : "own"}`);
    drawn.append(part);
    x += values.width;
  }
  return element("div", drawn, { class: "bar" });
}

function tell(text, isLost) {
  byId("state").textContent = text;
  byId("state").classList.toggle("lost", isLost);
}

async function call(path, options = {}) {
  const answer = await fetch(path, {
    ...options, cache: "no-store", headers: { Authorization: `Bearer ${key}` },
  });
  if (answer.status === 401) forget();
  return answer;
}

async function data(path, options) {
  const answer = await call(path, options);
  const told = await answer.json();
  if (told.error) throw new Error(told.error);
  return told;
}

function forget() {
  key = null;
  sessionStorage.removeItem(KEPT);
}

// The workflow

function show(workflow) {
  const isFirst = last === null;
  last = workflow;
  document.title = workflow.title;
  byId("title").textContent = workflow.title;
  byId("place").textContent = workflow.workflow;
  tell(`as of ${workflow.now}`, false);
  byId("notes").replaceChildren(...workflow.notes.map((note) => element("li", note)));
  showStudies(workflow);
  fill(byId("processes"), ["process", "state", "pid", ""],
    workflow.processes.map((one) => [one.name, one.state, one.pid ?? "-", one.detail]), [2]);
  byId("idle").textContent = workflow.idle;
  byId("idle").hidden = workflow.orchestrators.length > 0;
  byId("orchestrators").hidden = !byId("idle").hidden;
  fill(byId("orchestrators"), ["run_name", "host", "pid", "waits for"],
    workflow.orchestrators.map((one) => [one.run_name, one.host, one.pid, one.waiting.join("; ") || "-"]), [2]);
  fill(byId("events"), ["time", "run", "change"],
    workflow.events.map((one) => [
      one.at,
      link(`${one.study}.${one.run}`, () => open(`${one.study}.${one.run}`)),
      `${one.old} \u2192 ${one.new}`,
    ]));
  if (isFirst) choose(workflow);
  const study = workflow.studies.find((one) => one.name === asked.study);
  if (study && seen[study.name] !== study.changes) {
    seen[study.name] = study.changes;
    readRuns();
  }
  if (opened !== null && mayHaveChanged(workflow)) readRun();
}

function mayHaveChanged(workflow) {
  const study = studyOf(workflow);
  const isRead = study.reads !== reads;
  reads = study.reads;
  return isRead || workflow.changed === null || workflow.changed.includes(opened);
}

const studyOf = (workflow) => workflow.studies.find((one) => opened.startsWith(`${one.name}.`));

function showStudies(workflow) {
  const own = [...new Set(workflow.studies.flatMap((one) => Object.keys(one.states)))]
    .filter((name) => !KINDS.includes(name));
  const columns = [...KINDS, ...own];
  fill(byId("studies"), ["study", "runs", ...columns, "ends", "left", "states", "as of"],
    workflow.studies.map((one) => [
      link(one.name, () => ask({ study: one.name, column: "", first: 0 })),
      one.runs,
      ...columns.map((name) => {
        const count = one.states[name] ?? 0;
        return count ? link(count, () => ask({ study: one.name, column: name, first: 0 })) : count;
      }),
      one.rate, one.left, one.problem || bar(one.states), one.at ?? "-",
    ]),
    columns.map((_, place) => place + 2).concat(1, columns.length + 2, columns.length + 3));
}

function choose(workflow) {
  byId("study").replaceChildren(...workflow.studies.map((one) => element("option", one.name)));
  asked = { study: workflow.studies[0].name, column: "", constraints: "", sort: "", first: 0 };
  showQuery();
}

// The runs

function ask(change) {
  if (asked === null) return;
  Object.assign(asked, change);
  if ("study" in change && !("sort" in change)) asked.sort = "";
  showQuery();
  readRuns();
}

function showQuery() {
  const study = last.studies.find((one) => one.name === asked.study);
  const names = [...new Set([...KINDS, ...Object.keys(study.states), asked.column])].filter(Boolean);
  const all = element("option", "all", { value: "" });
  byId("column").replaceChildren(all, ...names.map((name) => element("option", name)));
  byId("study").value = asked.study;
  byId("column").value = asked.column;
  byId("constraints").value = asked.constraints;
}

async function readRuns() {
  runsDue = true;
  if (runsBusy) return;
  runsBusy = true;
  while (runsDue) {
    runsDue = false;
    const query = { ...asked };
    try {
      const page = await data(`api/runs?${new URLSearchParams({ ...query, count: COUNT })}`);
      if (query.study === asked.study) showRuns(page);
    } catch (error) {
      byId("found").textContent = error.message;
    }
    await new Promise((done) => setTimeout(done, 200));
  }
  runsBusy = false;
}

function showRuns(page) {
  const end = page.first + page.runs.length;
  byId("found").textContent = page.total
    ? `${page.total} runs, rows ${page.first + 1} to ${end}, after transaction ${page.tid}` +
      (page.without ? ` (read from the database: ${page.without})` : "")
    : "no such runs";
  const head = (name) => {
    const arrow = asked.sort === name ? " \u2191" : asked.sort === `-${name}` ? " \u2193" : "";
    return link(name + arrow, () => ask({ sort: asked.sort === name ? `-${name}` : name, first: 0 }));
  };
  const numbers = page.names.map((_, place) => place)
    .filter((place) => page.runs.every((run) => [null].includes(run.values[place]) || typeof run.values[place] === "number"))
    .map((place) => place + 2);
  fill(byId("runs"), ["id", "state", ...page.names].map(head).concat("started", "reason"),
    page.runs.map((run) => [
      link(run.id, () => open(`${asked.study}.${run.id}`)),
      stateOf(run.state, run.column),
      ...run.values.map(figure),
      run.started ?? "",
      run.reason,
    ]), [0, ...numbers]);
  byId("before").hidden = page.first === 0;
  byId("after").hidden = end >= page.total;
}

// One run

function open(name) {
  opened = name;
  reads = studyOf(last).reads;
  hasEnded = false;
  byId("run-name").textContent = name;
  byId("run-text").textContent = "reading ...";
  byId("run-done").textContent = "";
  byId("run-outputs").replaceChildren();
  const actions = last.control ? ["cancel", "retry"] : [];
  byId("run-actions").replaceChildren(...actions.map((action) => {
    const made = element("button", action, { type: "button" });
    made.addEventListener("click", () => act(action, name));
    return made;
  }));
  if (!byId("run").open) byId("run").showModal();
  readRun();
}

async function readRun() {
  detailDue = true;
  if (detailBusy) return;
  detailBusy = true;
  while (detailDue && opened !== null) {
    detailDue = false;
    const name = opened;
    try {
      const told = await data(`api/run/${encodeURIComponent(name)}`);
      if (name === opened) showRun(told);
    } catch (error) {
      if (name === opened) byId("run-text").textContent = error.message;
    }
  }
  detailBusy = false;
}

function showRun(told) {
  hasEnded = told.ended;
  byId("run-text").textContent = told.explanation;
  const outputs = told.outputs.flatMap((one) => [element("h3", one.name), element("pre", one.text)]);
  byId("run-outputs").replaceChildren(...outputs);
}

async function act(action, name) {
  if (!window.confirm(`${action} ${name}?`)) return;
  byId("run-done").textContent = "...";
  try {
    const told = await data(`api/${action}/${encodeURIComponent(name)}`, { method: "POST" });
    byId("run-done").textContent = told.done;
  } catch (error) {
    byId("run-done").textContent = error.message;
  }
  readRun();
}

// The connection

async function enter() {
  const token = location.hash.slice(1);
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  const answer = await fetch("api/session", { method: "POST", body: token, cache: "no-store" });
  const told = await answer.json();
  if (!answer.ok) {
    refused = told.error;
    return;
  }
  key = told.key;
  sessionStorage.setItem(KEPT, key);
}

async function follow() {
  const answer = await call("api/stream");
  if (!answer.ok) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    const news = parts.filter((part) => part.startsWith("data: "));
    if (news.length) show(JSON.parse(news.at(-1).slice(6)));
  }
}

async function main() {
  byId("query").addEventListener("submit", (event) => {
    event.preventDefault();
    ask({ column: byId("column").value, constraints: byId("constraints").value, first: 0 });
  });
  byId("study").addEventListener("change", () => ask({ study: byId("study").value, column: "", first: 0 }));
  byId("column").addEventListener("change", () => ask({ column: byId("column").value, first: 0 }));
  byId("before").addEventListener("click", () => ask({ first: Math.max(0, asked.first - COUNT) }));
  byId("after").addEventListener("click", () => ask({ first: asked.first + COUNT }));
  byId("run").addEventListener("close", () => { opened = null; });
  // A run's output grows without any change of state.
  setInterval(() => {
    if (opened !== null && !hasEnded && !detailBusy && !document.hidden) readRun();
  }, 2000);
  await enter();
  for (;;) {
    if (key === null) {
      tell(refused, true);
      return;
    }
    try {
      await follow();
    } catch {
      // The server is away: the page says so, and tries again.
    }
    if (key !== null) tell(`no connection${last ? `: as of ${last.now}` : ""}`, true);
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

main();
