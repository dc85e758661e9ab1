// The page at `/`: asks every second what is new, and shows it in place.

import { bars, lines, spark } from "./chart.js";
import { NONE, age, figure, moment, rounded, span } from "./format.js";
import { showShadows } from "./shadow.js";
import { fill, say } from "./table.js";

const EVERY_MS = 1000;
const TIMEOUT_MS = 5000;
const ROWS = 1000;
const SHOWN_ROWS = 100;
const SHOWN_KEYS = 5;
const SHOWN_BARS = 10;
const SHOWN_WINDOWS = 48;
const SPARK_VALUES = 90;

const $ = (id) => document.getElementById(id);

// What the reader has chosen; it lives in the address, so that a link shows the same.
const chosen = { product: "", measure: "", chart: "", view: "live", ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };

// What was last received.
let products = [];
let modules = [];
let status = null;
let answer = null;
let pointed = null;
const rates = [];

// The server's clock minus ours, so that ages are right on a machine whose clock is not.
let skewMs = 0;
let heardMs = 0;
const now = () => Date.now() + skewMs;

// Asking

const held = new Map();

/** Reads an address; `changed` is false when what we hold is still true. */
async function read(address) {
  const known = held.get(address);
  const headers = known ? { "If-None-Match": known.etag } : {};
  const response = await fetch(address, { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  const date = Date.parse(response.headers.get("date") ?? "");
  if (!Number.isNaN(date)) skewMs = date - Date.now();
  if (response.status === 304) return { ...known, changed: false };
  const body = await response.json();
  const made = { body, etag: response.headers.get("etag"), failed: !response.ok };
  if (response.ok && made.etag) held.set(address, made);
  return { ...made, changed: true };
}

function rowsAddress(format) {
  const product = goldProduct();
  if (!product) return null;
  const query = new URLSearchParams({ order: `-window_start,-${chosen.measure}`, limit: ROWS, view: chosen.view });
  if (format) query.set("format", format);
  return `v1/products/${encodeURIComponent(product.domain)}/${encodeURIComponent(product.name)}/rows?${query}`;
}

async function ask() {
  try {
    const address = rowsAddress();
    const [catalog, state, released, rows] = await Promise.all([
      read("v1/products"),
      read("v1/status"),
      read("v1/modules"),
      address ? read(address) : null,
    ]);
    heardMs = now();
    if (!released.failed) modules = released.body.modules;
    document.body.classList.remove("stale");
    if (!state.failed) status = state.body;
    rates.push(status?.throughput.records_per_second ?? 0);
    rates.splice(0, rates.length - SPARK_VALUES);
    if (catalog.changed && !catalog.failed) {
      products = catalog.body.products;
      offerChoices();
      showProducts();
    }
    // An answer to a question that the reader no longer asks is dropped.
    if (rows && address === rowsAddress() && (rows.changed || answer?.address !== address)) {
      answer = { address, ...rows };
      showGold();
    }
    if (!goldProduct()) showGold();
    showStatus();
    await askShadows();
  } catch (error) {
    document.body.classList.add("stale");
    showLost();
  }
}

/** How the modules that run beside the active ones compare; one that has compared nothing yet says so. */
async function askShadows() {
  const shadowed = modules.filter((module) => module.shadow !== null);
  const reports = await Promise.all(shadowed.map(({ module }) => read(`v1/modules/${encodeURIComponent(module)}/shadow`)));
  $("shadows").hidden = shadowed.length === 0;
  showShadows($("shadow-list"), shadowed.map((module, index) => ({ module, report: reports[index].failed ? null : reports[index].body })));
}

async function askAgain() {
  if (!document.hidden) await ask();
  setTimeout(askAgain, EVERY_MS);
}

// The pipeline

const TONES = { starting: "quiet", running: "good", draining: "quiet" };

function showStatus() {
  if (!status) return;
  const state = status.state;
  say($("pipeline"), status.pipeline);
  say($("state-text"), state);
  $("state").title = state;
  $("state").dataset.tone = TONES[state] ?? (state.startsWith("stopped") ? "bad" : "warn");
  document.title = `${status.pipeline} · Lakeward`;
  say($("notice"), state in TONES ? "" : `${state[0].toUpperCase()}${state.slice(1)}`);
  showTiles();
  showPartitions();
  showModules();
  say($("version"), `Lakeward ${status.version}, running for ${age(now() - Date.parse(status.started_at))}`);
  const error = status.last_error;
  say($("last-error"), error ? `Last error ${age(now() - Date.parse(error.at))} ago: ${error.message}` : "");
}

function showTiles() {
  const { commits, freshness_seconds: freshness, throughput } = status;
  say($("throughput"), rounded(throughput.records_per_second));
  say($("throughput-note"), `${figure(commits.total.records)} since the start`);
  $("spark").replaceChildren(spark(rates, SPARK_VALUES));

  const partitions = status.topics.flatMap((topic) => topic.partitions);
  const known = partitions.filter((partition) => partition.lag !== null);
  say($("lag"), known.length ? figure(known.reduce((sum, partition) => sum + partition.lag, 0)) : NONE);
  say($("lag-note"), partitions.length === 1 ? "in 1 partition" : `in ${figure(partitions.length)} partitions`);

  const old = freshness !== null && freshness >= 120;
  say($("freshness"), old ? age(freshness * 1000) : freshness === null ? NONE : freshness.toFixed(1));
  say($("freshness-unit"), old ? "" : "s");
  say($("freshness-note"), freshness === null ? "no record yet" : "age of the newest record");

  const committed = commits.committed_at && `${age(now() - Date.parse(commits.committed_at))} ago`;
  say($("micro-batch"), figure(commits.micro_batch));
  say($("micro-batch-note"), committed ? `${committed}, ${figure(commits.last.rows)} rows` : "nothing committed yet");

  say($("dead-letters"), figure(commits.total.dead_letters));
  say($("dead-letters-note"), commits.total.late ? `${figure(commits.total.late)} rows were late` : "since the start");
}

function showPartitions() {
  const columns = [
    { title: "Topic" },
    { title: "Partition", number: true },
    { title: "Next offset", number: true },
    { title: "Lag", number: true },
    { title: "Watermark (UTC)" },
    { title: "State" },
  ];
  const rows = status.topics.flatMap(({ topic, partitions }) =>
    partitions.map((one) => [
      topic,
      String(one.partition),
      figure(one.next_offset),
      figure(one.lag),
      one.watermark ? moment(Date.parse(one.watermark)) : NONE,
      one.idle ? { text: "idle", badge: "" } : "active",
    ]),
  );
  fill($("partitions"), columns, rows.length ? rows : [[{ text: "none yet", muted: true }, "", "", "", "", ""]]);
}

function showModules() {
  const columns = [
    { title: "Module" },
    { title: "State" },
    { title: "Owner" },
    { title: "Records", number: true },
    { title: "Rejects", number: true },
    { title: "Failures", number: true },
    { title: "ns/event", number: true },
    { title: "Workers", number: true },
    { title: "Memory", number: true },
    { title: "Digest" },
  ];
  const rows = status.modules.map((one) => [
    `${one.name} ${one.version}`,
    moduleState(one),
    one.owner,
    figure(one.records),
    figure(one.rejects),
    figure(one.failures),
    one.nanoseconds_per_event === null ? NONE : rounded(one.nanoseconds_per_event),
    one.worker_share === null ? NONE : `${rounded(one.worker_share * 100)} %`,
    one.calls ? `${rounded(one.call.memory_bytes.most / 1048576)} MiB` : NONE,
    { text: one.digest.slice(0, 8), muted: true },
  ]);
  fill($("modules"), columns, rows.length ? rows : [[{ text: "none yet", muted: true }, "", "", "", "", "", "", "", "", ""]]);
}

function moduleState(module) {
  if (module.parked) return { text: `parked: ${module.parked}`, badge: "bad" };
  if (module.paused) return { text: `paused: ${module.paused}`, badge: "provisional" };
  const stopped = Object.keys(module.stopped);
  if (stopped.length) return { text: `stopped in ${stopped.join(", ")}: ${module.stopped[stopped[0]]}`, badge: "bad" };
  if (module.slow) return { text: `slow: ${module.slow}`, badge: "provisional" };
  return "running";
}

function showProducts() {
  const columns = [
    { title: "Product" },
    { title: "Layer" },
    { title: "What a row is" },
    { title: "Table version", number: true },
    { title: "Micro-batch", number: true },
    { title: "Location" },
  ];
  const rows = products.map((one) => [
    `${one.domain}/${one.name}`,
    one.layer,
    { text: one.description, wrap: true },
    figure(one.freshness?.table_version),
    figure(one.freshness?.micro_batch),
    { text: one.location, muted: true },
  ]);
  fill($("products"), columns, rows.length ? rows : [[{ text: "none yet", muted: true }, "", "", "", "", ""]]);
}

function showLost() {
  // A fixed time rather than an age: a screen reader would read every new second aloud.
  const since = heardMs ? ` What you see is of ${moment(heardMs)} UTC.` : "";
  say($("state-text"), "connection lost");
  $("state").dataset.tone = "bad";
  say($("notice"), `Connection lost, trying again.${since}`);
}

// The live product

const path = (product) => `${product.domain}/${product.name}`;
const goldProducts = () => products.filter((product) => product.gold);
const goldProduct = () => goldProducts().find((product) => path(product) === chosen.product);

function offerChoices() {
  const offered = goldProducts();
  if (!goldProduct()) chosen.product = offered.length ? path(offered[0]) : "";
  const measures = goldProduct()?.gold.measures.map((measure) => measure.name) ?? [];
  if (!measures.includes(chosen.measure)) {
    // Money first, where there is some: it is what people come for.
    const sum = goldProduct()?.gold.measures.find((measure) => measure.function === "sum");
    chosen.measure = sum?.name ?? measures[0] ?? "";
  }
  offer($("product"), offered.map(path), chosen.product);
  offer($("measure"), measures, chosen.measure);
  check("view", chosen.view);
}

function check(name, value) {
  for (const radio of $("controls").elements[name]) radio.checked = radio.value === value;
}

function offer(select, values, value) {
  const offered = [...select.options].map((option) => option.value);
  if (offered.join("\n") !== values.join("\n")) {
    select.replaceChildren(...values.map((one) => new Option(one.replaceAll("_", " "), one)));
  }
  select.value = value;
  select.disabled = values.length === 0;
}

function choose(event) {
  chosen[event.target.name] = event.target.value;
  offerChoices();
  history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
  pointed = null;
  if (event.target.name === "chart") showGold();
  else ask();
}

/** What the rows say of the chosen measure, by window and key; the one reading that both charts and the legend share. */
function reading(product) {
  const { body } = answer;
  const widthMs = product.gold.window.tumbling.width_ms;
  const additive = ["count", "sum"].includes(product.gold.measures.find((one) => one.name === chosen.measure).function);
  const newest = Date.parse(body.rows[0].window_start);
  const oldest = Date.parse(body.rows.at(-1).window_start);
  // The oldest window of a limited answer may be there in part only, so it is left out.
  const complete = body.total > body.rows.length && oldest < newest ? oldest + widthMs : oldest;
  const from = Math.max(complete, newest - (SHOWN_WINDOWS - 1) * widthMs);
  const windows = [];
  for (let start = from; start <= newest; start += widthMs) windows.push(start);
  const place = new Map(windows.map((start, index) => [start, index]));
  const keys = new Map();
  let openFrom = windows.length;
  for (const row of body.rows) {
    const index = place.get(Date.parse(row.window_start));
    if (index === undefined) continue;
    if (!row.final) openFrom = Math.min(openFrom, index);
    const name = product.gold.keys.map((key) => row[key] ?? NONE).join(" · ") || "all";
    if (!keys.has(name)) keys.set(name, { name, values: windows.map(() => (additive ? 0 : null)), texts: windows.map(() => null) });
    const key = keys.get(name);
    key.values[index] = row[chosen.measure] === null ? null : Number(row[chosen.measure]);
    key.texts[index] = figure(row[chosen.measure]);
  }
  return { windows, widthMs, openFrom, keys: [...keys.values()] };
}

function showGold() {
  const product = goldProduct();
  const rows = answer?.address === rowsAddress() ? answer : null;
  const empty = !product
    ? "No gold product yet. One that a module declares appears here as soon as it is loaded."
    : rows?.failed
      ? rows.body.detail
      : rows && rows.body.rows.length === 0
        ? "No rows yet. The first window opens with the first event."
        : null;
  $("gold-empty").hidden = empty === null;
  say($("gold-empty"), empty ?? "");
  say($("gold-title"), product ? product.name.replaceAll("_", " ") : "Live product");
  say($("gold-description"), product?.description || "\u00a0");
  $("links").hidden = !product;
  $("json-link").href = rowsAddress() ?? "v1/products";
  $("csv-link").href = rowsAddress("csv") ?? "v1/products";
  if (!product || !rows || rows.failed) return;
  showAsOf(rows.body.as_of);
  if (empty !== null) return;
  showRows(product, rows.body);
  showChart(reading(product));
}

function showAsOf(asOf) {
  const offsets = Object.entries(asOf.offsets).map(([partition, next]) => `${partition}: ${figure(next)}`);
  const parts = [
    asOf.micro_batch === null ? "Nothing committed yet" : `As of micro-batch ${figure(asOf.micro_batch)}`,
    `watermark ${asOf.watermark ? `${moment(Date.parse(asOf.watermark))} UTC` : NONE}`,
    offsets.length > 6 ? `${offsets.length} partitions` : `next offsets ${offsets.join(", ") || NONE}`,
  ];
  if (asOf.table_version !== null) parts.push(`table version ${figure(asOf.table_version)}, micro-batch ${figure(asOf.table_micro_batch)}`);
  say($("as-of"), parts.join(" · "));
}

function showRows(product, body) {
  const { keys, measures } = product.gold;
  const columns = [
    { title: "Window (UTC)" },
    { title: "State" },
    ...keys.map((key) => ({ title: key.replaceAll("_", " ") })),
    ...measures.map(({ name }) => ({ title: name.replaceAll("_", " "), number: true, chosen: name === chosen.measure })),
  ];
  const rows = body.rows.slice(0, SHOWN_ROWS).map((row) => [
    span(Date.parse(row.window_start), Date.parse(row.window_end)),
    row.final ? { text: "final", muted: true } : { text: "provisional", badge: "provisional" },
    ...keys.map((key) => (row[key] === null ? { text: "null", muted: true } : String(row[key]))),
    ...measures.map(({ name }) => figure(row[name])),
  ]);
  fill($("rows"), columns, rows);
  const shown = Math.min(SHOWN_ROWS, body.rows.length);
  say($("row-count"), shown < body.total ? `Newest ${figure(shown)} of ${figure(body.total)} rows` : `${figure(shown)} rows`);
}

function showChart(read) {
  const { windows, widthMs, openFrom } = read;
  const index = pointed === null ? windows.length - 1 : Math.min(pointed, windows.length - 1);
  // A line through one window shows nothing; its keys do.
  const chart = chosen.chart || (windows.length > 1 ? "time" : "key");
  check("chart", chart);
  const at = chart === "key" ? windows.length - 1 : index;
  say($("window"), `${span(windows[at], windows[at] + widthMs)} UTC`);
  say($("window-state"), at >= openFrom ? "provisional" : "final");
  $("window-state").className = at >= openFrom ? "badge provisional" : "badge";
  const size = { width: Math.max(260, $("chart").clientWidth), height: $("chart").clientHeight };
  if (chart === "key") showBars(read, size);
  else showLines(read, size, index);
}

function showLines(read, size, index) {
  const weight = (key) => key.values.reduce((sum, value) => sum + Math.abs(value ?? 0), 0);
  const series = read.keys.sort((a, b) => weight(b) - weight(a)).slice(0, SHOWN_KEYS);
  const label = `${chosen.measure} by window for ${series.map((one) => one.name).join(", ")}. Left and right arrows move between windows.`;
  const { svg, windowAt } = lines({ ...size, ...read, series, marked: pointed === null ? null : index, label });
  $("chart").replaceChildren(svg);
  $("chart").windowAt = windowAt;
  $("chart").windows = read.windows.length;
  legend(series.map((one, hue) => ({ swatch: `hue-${hue}`, name: one.name, text: one.texts[index] ?? figure(one.values[index]) })));
}

function showBars(read, size) {
  const last = read.windows.length - 1;
  const rows = read.keys
    .filter((key) => key.texts[last] !== null && key.values[last] !== null)
    .sort((a, b) => b.values[last] - a.values[last])
    .slice(0, SHOWN_BARS)
    .map((key) => ({ name: key.name, value: key.values[last], text: key.texts[last], before: last > 0 ? key.values[last - 1] : null }));
  const label = `${chosen.measure} by key: ${rows.map((row) => `${row.name} ${row.text}`).join(", ")}`;
  $("chart").replaceChildren(bars({ ...size, bars: rows, open: last >= read.openFrom, label }));
  $("chart").windowAt = null;
  const items = [{ swatch: "hue-0", name: "this window", text: "" }];
  if (last > 0) items.push({ swatch: "before", name: "the window before", text: "" });
  legend(items);
}

function legend(items) {
  const list = $("legend");
  while (list.children.length > items.length) list.lastChild.remove();
  items.forEach((item, index) => {
    const line = list.children[index] ?? list.appendChild(document.createElement("li"));
    if (line.children.length === 0) line.append(document.createElement("span"), document.createElement("span"), document.createElement("b"));
    const [swatch, name, text] = line.children;
    swatch.className = `swatch ${item.swatch}`;
    say(name, item.name);
    say(text, item.text);
  });
}

function point(index) {
  if (index === pointed) return;
  pointed = index;
  const product = goldProduct();
  if (product && answer && !answer.failed && answer.body.rows.length > 0 && answer.address === rowsAddress()) showChart(reading(product));
}

$("controls").addEventListener("change", choose);
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("chart").addEventListener("pointermove", (event) => {
  const at = $("chart").windowAt;
  if (at) point(at(event.clientX - $("chart").getBoundingClientRect().left));
});
$("chart").addEventListener("pointerleave", () => point(null));
$("chart").addEventListener("blur", () => point(null));
$("chart").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || !$("chart").windowAt) return;
  event.preventDefault();
  const last = $("chart").windows - 1;
  point(Math.min(last, Math.max(0, (pointed ?? last) + step)));
});
document.addEventListener("visibilitychange", () => document.hidden || ask());
new ResizeObserver(() => {
  const seen = pointed;
  pointed = undefined;
  point(seen);
}).observe($("chart"));

askAgain();
