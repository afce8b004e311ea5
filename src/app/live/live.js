// live.js - the live page. One EventSource gives a frame a second (counters; two of them make a rate) and rows of requests.
// Everything that comes from peers is put in as text, never as markup.
"use strict";
const $ = id => document.getElementById(id);
const KEEP = 300;                                  // seconds of history
const history_ = [];                               // frames: {at, total, failed, routes: {name: {requests, failed, ...}}, reasons}
let last = null, reasons = {}, source = null, paused = false;

function el(tag, text, cls) {
  const e = document.createElement(tag);
  if (text !== undefined && text !== null) e.textContent = text;
  if (cls) e.className = cls;
  return e;
}
function cell(text, cls) { return el("td", text, cls); }
function replace(parent, children) { parent.replaceChildren(...children); }
const ms = v => v === null || v === undefined ? "–" : v < 9.95 ? v.toFixed(1) : v < 9950 ? String(Math.round(v)) : (v / 1000).toFixed(1) + " s";
const rate = v => v === null ? "–" : v < 9.95 ? v.toFixed(1) : Math.round(v).toLocaleString("en");
const share = (bad, all) => !all ? "–" : !bad ? "100 %" : Math.min(99.99, 100 * (1 - bad / all)).toFixed(2) + " %";
function age(s) {
  s = Math.max(0, Math.round(s));
  const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? `${d}d ${h}h` : h ? `${h}h ${m}m` : m ? `${m}m` : `${s}s`;
}

// ── history ──

function failures(r) { return r.by_class["5xx"] + r.by_class.none; }
function limited(r) { return ["rate_limited", "concurrency_limited", "queue_timeout", "overloaded", "circuit_open", "coalesce_full"].reduce((n, w) => n + (r.reasons[w] || 0), 0); }

function note(frame) {
  const h = { at: frame.now_ms, total: 0, failed: 0, routes: {}, reasons: {} };
  for (const r of frame.routes) {
    h.total += r.requests;
    h.failed += failures(r);
    h.routes[r.name] = { requests: r.requests, failed: failures(r), retries: r.retries, limited: limited(r) };
    for (const [word, n] of Object.entries(r.reasons)) h.reasons[word] = (h.reasons[word] || 0) + n;
  }
  if (history_.length && (h.total < history_[history_.length - 1].total || frame.started_at_ms !== (last && last.started_at_ms))) history_.length = 0;
  history_.push(h);
  if (history_.length > KEEP + 1) history_.shift();
}
// What grew per second, between the last two frames.
function per_second(pick) {
  const n = history_.length;
  if (n < 2) return null;
  const a = history_[n - 2], b = history_[n - 1];
  return Math.max(0, (pick(b) - pick(a)) / Math.max(.2, (b.at - a.at) / 1000));
}
function series(pick) {
  const out = [];
  for (let i = 1; i < history_.length; i++) {
    const a = history_[i - 1], b = history_[i];
    out.push(Math.max(0, (pick(b) - pick(a)) / Math.max(.2, (b.at - a.at) / 1000)));
  }
  return out;
}

// ── drawing: uPlot where it was there at build time, a plain canvas otherwise ──

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function sparkline(canvas, values) {
  const w = 120, h = 22, d = window.devicePixelRatio || 1;
  canvas.width = w * d; canvas.height = h * d;
  canvas.style.width = w + "px"; canvas.style.height = h + "px";
  plain(canvas, d, w, h, [[values, css("--accent")]], 0);
}
function plain(canvas, d, w, h, lines, left) {
  const c = canvas.getContext("2d"), top = Math.max(1, ...lines.map(l => Math.max(0, ...l[0])));
  c.setTransform(d, 0, 0, d, 0, 0);
  c.clearRect(0, 0, w, h);
  if (left) {
    c.fillStyle = css("--quiet"); c.font = "11px system-ui"; c.textAlign = "right";
    for (const part of [0, .5, 1]) c.fillText(rate(top * part), left - 6, h - 6 - part * (h - 16));
  }
  for (const [values, colour] of lines) {
    c.strokeStyle = colour; c.lineWidth = 1.5; c.beginPath();
    values.forEach((v, i) => {
      const x = w - (values.length - 1 - i) * (w - left) / KEEP, y = h - 3 - v / top * (h - (left ? 16 : 6));
      if (i) c.lineTo(x, y); else c.moveTo(x, y);
    });
    c.stroke();
  }
}
const clock = t => new Date(t * 1000).toTimeString().slice(0, 8);
let chart = null, chart_width = 0;
function draw_chart() {
  const box = $("chart"), w = box.clientWidth, all = series(h => h.total), bad = series(h => h.failed);
  if (w < 50) return;
  if (typeof uPlot !== "function") {
    let c = box.firstElementChild;
    const d = window.devicePixelRatio || 1;
    if (!c) box.append(c = el("canvas"));
    c.width = w * d; c.height = 170 * d; c.style.width = w + "px"; c.style.height = "170px";
    plain(c, d, w, 170, [[all, css("--accent")], [bad, css("--bad")]], 46);
    return;
  }
  const times = history_.slice(1).map(h => h.at / 1000);
  if (!chart || chart_width !== w) {
    if (chart) chart.destroy();
    chart_width = w;
    const axis = { stroke: () => css("--quiet"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { stroke: () => css("--line"), width: 1 }, font: "11px system-ui" };
    chart = new uPlot({ width: w, height: 170, legend: { show: false }, cursor: { y: false },
      scales: { x: { time: true, range: (u, min, max) => [max - KEEP, max] }, y: { range: (u, min, max) => [0, Math.max(1, max)] } },
      axes: [{ ...axis, values: (u, times) => times.map(clock) }, { ...axis, size: 46 }],
      series: [{}, { label: "requests/s", stroke: () => css("--accent"), width: 1.5 }, { label: "failures/s", stroke: () => css("--bad"), width: 1.5 }],
    }, [times, all, bad], box);
  } else chart.setData([times, all, bad]);
}

// ── parts ──

function show_head(f) {
  const words = { serving: ["● LIVE", "good"], starting: ["◌ STARTING", "warn"], delaying: ["◐ DRAINING", "warn"], draining: ["◐ DRAINING", "warn"], stopping: ["○ STOPPING", "bad"] };
  let [word, cls] = words[f.life] || [f.life, "warn"];
  if (f.life === "serving" && f.asked_to_drain) [word, cls] = ["◐ DRAINING by request", "warn"];
  else if (f.life === "serving" && !f.ready) [word, cls] = ["◐ NOT READY", "warn"];
  else if (f.life === "serving" && f.pressure.under_pressure) [word, cls] = ["▲ UNDER PRESSURE", "warn"];
  if ($("life").textContent !== word) $("life").textContent = word;
  $("life").className = "state " + cls;
  $("version").textContent = f.version;
  $("facts").textContent = `up ${age(f.uptime_s)} · config ${f.config.sha256.slice(0, 8)} loaded ${age((f.now_ms - f.config.loaded_at_ms) / 1000)} ago · ${f.workers.length} worker${f.workers.length === 1 ? "" : "s"}`;
  const refused = f.config.reload_error || (f.reload && f.reload.error);
  const text = refused ? "The configuration on disk was refused, the one before it is in force: " + refused : f.life !== "serving" ? "outrigger is draining: it accepts nothing new." : f.asked_to_drain ? "Asked to drain: not ready, and clients are asked to leave. Undrain takes it back." : f.pressure.under_pressure ? pressure_words(f.pressure) : "";
  banner(text);
}
function pressure_words(p) {
  const what = { queue_delay: "requests wait in line", loop_lag: "the loop lags", memory: "memory runs out", descriptors: "descriptors run out" }[p.cause];
  const whom = { none: "nobody is turned away yet", sheddable: "sheddable requests are turned away", default: "sheddable requests are turned away, and some default ones", critical: "all but some critical requests are turned away" }[p.shedding];
  return `More than can be carried: ${what} (${p.ratio.toFixed(1)} × the limit). Nothing is retried; ${whom}.`;
}
function banner(text) {
  const b = $("banner");
  if (b.textContent !== text) b.textContent = text;
  b.hidden = !text;
}
function big(id, value, small) {
  replace($(id), [document.createTextNode(value), ...(small ? [document.createTextNode(" "), el("small", small)] : [])]);
}
function show_tiles(f) {
  const n = history_.length, a = history_[Math.max(0, n - 61)], b = history_[n - 1];
  big("rps", rate(per_second(h => h.total)));
  big("success", n > 1 ? share(b.failed - a.failed, b.total - a.total) : "–", "last minute");
  big("latency", f.recent.p50_ms === null ? "–" : ms(f.recent.p50_ms), f.recent.p50_ms === null ? "" : `p50 · ${ms(f.recent.p95_ms)} p95 · ${ms(f.recent.p99_ms)} p99 ms`);
  big("flight", String(f.routes.reduce((s, r) => s + r.in_flight, 0)), `${f.listeners.reduce((s, l) => s + l.connections, 0)} connections · loop lag ${ms(f.pressure.loop_lag_ms)} ms`);
}
const sparks = new Map();
function show_routes(f) {
  const rows = f.routes.filter((r, i) => i < f.routes.length - 1 || r.requests).map((r, i) => {
    const tr = el("tr"), recent = f.recent.routes[f.routes.indexOf(r)] || {}, n = history_.length;
    const a = history_[Math.max(0, n - 61)].routes[r.name] || { requests: 0, failed: 0 }, b = history_[n - 1].routes[r.name];
    const pick = k => h => (h.routes[r.name] || b)[k];
    const name = el("th", r.name); name.scope = "row"; name.title = (r.hosts || []).join(", ") + (r.path || "");
    if (r.split) name.append(el("br"), el("span", r.split.versions.map(v => `${v.upstream} ${+(v.share * 100).toFixed(4)}%${v.taken_back ? " taken back" : ""}`).join(", "), "quiet"));
    let spark = sparks.get(r.name);
    if (!spark) { spark = el("canvas"); spark.setAttribute("aria-hidden", "true"); sparks.set(r.name, spark); }
    const td = cell(""); td.append(spark);
    tr.append(name, cell(rate(per_second(pick("requests"))), "n"), cell(n > 1 ? share(b.failed - a.failed, b.requests - a.requests) : "–", "n"),
      cell(ms(recent.p50_ms), "n"), cell(ms(recent.p95_ms), "n"), cell(ms(recent.p99_ms), "n"),
      cell(rate(per_second(pick("retries"))), "n"), cell(rate(per_second(pick("limited"))), "n"), td);
    sparkline(spark, series(pick("requests")));
    return tr;
  });
  replace($("routes"), rows);
  const names = f.routes.map(r => r.name), select = $("f-route");
  if (select.dataset.names !== names.join("\n")) {
    select.dataset.names = names.join("\n");
    const had = select.value;
    replace(select, [new Option("all", ""), ...names.map(n => new Option(n, n))]);
    select.value = names.includes(had) ? had : "";
  }
}
const shape = { healthy: "●", unhealthy: "○", ejected: "◌", draining: "◐" };
const breaker = { closed: ["● closed", "good"], open: ["○ open", "bad"], half_open: ["◐ half-open", "warn"], forced_open: ["■ forced open", "bad"], disabled: ["– disabled", "warn"] };
const cards = new Map();
function button(text, label, what) {
  const b = el("button", text);
  b.type = "button"; b.setAttribute("aria-label", label);
  b.addEventListener("click", what);
  return b;
}
function card_of(name) {
  let c = cards.get(name);
  if (c) return c;
  c = { box: el("div", null, "upstream"), title: el("span"), state: el("span", null, "state"), list: el("dl"), buttons: el("span") };
  const h = el("h3"); h.append(c.title, c.state, c.buttons);
  c.box.append(h, c.list);
  c.title.textContent = name;
  cards.set(name, c);
  return c;
}
function line(list, term, ...content) { const dd = el("dd"); dd.append(...content); list.push(el("dt", term), dd); }
function bar(part) { const b = el("span", null, "bar"), i = el("i"); i.style.width = Math.round(100 * Math.min(1, part)) + "%"; b.append(i); return b; }
const known = new Set(["name", "required", "tries", "p50_ms", "p95_ms", "p99_ms", "errors", "health_checks", "endpoints"]);
function show_upstreams(f) {
  const boxes = f.upstreams.map(u => {
    const c = card_of(u.name), list = [], cb = u.circuit_breaker;
    const usable = u.endpoints.filter(e => e.state === "healthy").length;
    const [word, cls] = cb ? (breaker[cb.state] || [cb.state, "warn"]) : usable ? ["", ""] : ["○ no healthy endpoint", "bad"];
    c.state.textContent = word; c.state.className = "state " + cls;
    if (cb && !c.buttons.childElementCount) {
      const set = s => () => post(`/upstreams/${encodeURIComponent(u.name)}/circuit_breaker?state=${s}`);
      c.buttons.append(button("force open", `force open the breaker of ${u.name}`, set("forced_open")), " ", button("reset", `reset the breaker of ${u.name}`, set("auto")));
    }
    for (const e of u.endpoints) {
      const d = el("span", shape[e.state] || "?", e.state === "healthy" ? "good" : "bad");
      d.setAttribute("aria-hidden", "true");
      const extra = e.state === "ejected" ? ` for ${age(e.ejected_for_s)}` : "";
      line(list, e.endpoint, d, ` ${e.state}${extra}, ${e.in_flight} in flight, ${e.served.toLocaleString("en")} served${e.last_error ? ": " + e.last_error : ""}`);
    }
    if (cb) {
      c.state.textContent += cb.state === "open" ? `, next try in ${Math.ceil(cb.next_try_s)} s` : "";
      line(list, "last results", `${cb.failures} of ${cb.calls} failed${cb.slow ? `, ${cb.slow} slow` : ""}, ${cb.consecutive_failures} in a row; ${cb.refused.toLocaleString("en")} refused so far`);
    }
    const limit = u.concurrency;
    if (limit && limit.limit) line(list, "permits", bar((limit.in_use || 0) / limit.limit), `${limit.in_use || 0} of ${limit.limit}, queue ${limit.queue_length ?? limit.queue ?? 0}`);
    for (const [key, value] of Object.entries(u)) {
      if (known.has(key) || key === "concurrency" || key === "circuit_breaker" || typeof value !== "object") continue;
      line(list, key.replaceAll("_", " "), Object.entries(value).map(([k, v]) => `${k.replaceAll("_", " ")} ${typeof v === "object" ? JSON.stringify(v) : v}`).join(", "));
    }
    replace(c.list, list);
    return c.box;
  });
  const host = $("upstreams");
  if (boxes.length !== host.childElementCount || boxes.some((b, i) => host.children[i] !== b)) replace(host, boxes.length ? boxes : [el("p", "There are none.", "quiet")]);
}
function show_why() {
  const n = history_.length, a = history_[0].reasons, b = history_[n - 1].reasons;
  const grown = Object.entries(b).map(([w, c]) => [w, n > 1 ? c - (a[w] || 0) : 0]).filter(e => e[1] > 0).sort((x, y) => y[1] - x[1]);
  replace($("why"), grown.length ? grown.map(([w, c]) => {
    const li = el("li"), p = el("p"), facts = reasons[w] || {};
    p.textContent = facts.text || "";
    const b_ = el("b", w + (facts.title ? ": " + facts.title : ""));
    li.append(el("span", c.toLocaleString("en"), "c"), b_, p);
    return li;
  }) : [el("li", "It did not: every answer came from an upstream.", "quiet")]);
}

// ── requests ──

const parts = r => {
  const tries = r.tried.reduce((s, t) => s + t.ms, 0) + r.pause_ms, wait = Math.max(0, r.ttfb_ms - r.queue_ms - tries - r.connect_ms);
  return [["queue", r.queue_ms], ["tries", tries], ["connect", r.connect_ms], ["wait", wait], ["body", r.ttfb_ms ? Math.max(0, r.duration_ms - r.ttfb_ms) : 0]];
};
const part_words = { queue: "in line", tries: "earlier tries", connect: "connecting", wait: "waiting for the answer", body: "body" };
function time_of(t) { return new Date(t).toISOString().slice(11, 23); }
function add_row(r) {
  if (paused) return;
  const tr = el("tr", null, "row"), fall = el("div", null, "fall"), all = parts(r), sum = all.reduce((s, p) => s + p[1], 0) || 1;
  for (const [k, v] of all) { const i = el("i", null, "f-" + k); i.style.width = 100 * v / sum + "%"; fall.append(i); }
  fall.setAttribute("role", "img");
  fall.setAttribute("aria-label", all.filter(p => p[1] > 0).map(([k, v]) => `${part_words[k]} ${ms(v)} ms`).join(", ") || "no time at all");
  const open = button(`${r.method} ${r.host}${r.path}`, `${r.method} ${r.host}${r.path}: details`, () => more(tr, r, all));
  open.className = "link"; open.setAttribute("aria-expanded", "false");
  const path = cell("", "path"), f = cell(""); path.append(open); f.append(fall);
  tr.append(cell(time_of(r.time_ms)), path, cell(r.route), cell(r.status || "–", "n " + (r.status >= 500 || !r.status ? "bad" : r.status >= 400 ? "warn" : "")), cell(ms(r.duration_ms), "n"),
    cell(r.reason || (r.would_refuse ? "would: " + r.would_refuse : r.served_by !== "upstream" ? r.served_by : r.attempts > 1 ? `try ${r.attempts}` : "")), f);
  $("tap").prepend(tr);
  const rows = $("tap").querySelectorAll("tr.row");
  for (let i = 100; i < rows.length; i++) { const next = rows[i].nextElementSibling; if (next && next.classList.contains("more")) next.remove(); rows[i].remove(); }
}
function more(tr, r, all) {
  const b = tr.querySelector("button"), next = tr.nextElementSibling;
  if (next && next.classList.contains("more")) { next.remove(); b.setAttribute("aria-expanded", "false"); return; }
  const out = el("tr", null, "more"), td = cell(""), facts = r.reason && reasons[r.reason];
  td.colSpan = 7;
  if (facts) td.append(el("p", `${r.status} ${r.reason}: ${facts.title}. ${facts.text}`));
  td.append(el("p", all.filter(p => p[1] > 0).map(([k, v]) => `${part_words[k]} ${ms(v)} ms`).join(" · ") || "Answered at once."));
  for (const t of r.tried) td.append(el("p", `tried ${t.endpoint}: ${t.reason || t.status || "cancelled"} after ${ms(t.ms)} ms`));
  td.append(el("p", `request ${r.request_id}, client ${r.client || "local"}, ${r.upstream ? `upstream ${r.upstream}, ` : ""}${r.endpoint ? `endpoint ${r.endpoint}, ` : ""}${r.attempts} attempt${r.attempts === 1 ? "" : "s"}, ${r.bytes_in} bytes in, ${r.bytes_out} out, served by ${r.served_by}`, "quiet"));
  out.append(td);
  tr.after(out);
  b.setAttribute("aria-expanded", "true");
}

// ── talking to it ──

async function post(path) {
  try {
    const answer = await fetch(path, { method: "POST" });
    $("said").textContent = `${path}: ${(await answer.text()).trim()}`;
  } catch (e) { $("said").textContent = `${path}: no answer`; }
}
function listen() {
  if (source) source.close();
  const q = new URLSearchParams({ requests: $("f-what").value });
  for (const k of ["route", "status", "slow"]) if ($("f-" + k).value && $("f-" + k).value !== "0") q.set(k, $("f-" + k).value);
  source = new EventSource("/events?" + q);
  source.addEventListener("frame", e => {
    const f = JSON.parse(e.data);
    note(f);
    last = f;
    show_head(f); show_tiles(f); show_routes(f); show_upstreams(f); show_why(); draw_chart();
  });
  source.addEventListener("request", e => add_row(JSON.parse(e.data)));
  source.addEventListener("missed", e => { $("missed").textContent = `${JSON.parse(e.data).rows.toLocaleString("en")} more not shown`; });
  source.addEventListener("error", () => { $("life").textContent = "○ NO CONNECTION"; $("life").className = "state bad"; });
}
async function past() {
  const q = new URLSearchParams();
  for (const k of ["route", "status", "slow"]) if ($("f-" + k).value && $("f-" + k).value !== "0") q.set(k, $("f-" + k).value);
  const rows = await (await fetch("/requests?" + q)).json();
  replace($("tap"), []);
  for (const r of rows.slice(0, 50).reverse()) add_row(r);
}
async function start() {
  try { reasons = await (await fetch("/reasons")).json(); } catch (e) { reasons = {}; }
  await past().catch(() => {});
  listen();
  for (const id of ["f-what", "f-route", "f-status", "f-slow"]) $(id).addEventListener("change", () => { past().catch(() => {}); listen(); });
  $("filters").addEventListener("submit", e => e.preventDefault());
  $("f-pause").addEventListener("click", e => { paused = !paused; e.target.setAttribute("aria-pressed", String(paused)); e.target.textContent = paused ? "Go on" : "Pause"; });
  for (const b of document.querySelectorAll("[data-post]")) b.addEventListener("click", () => post(b.dataset.post));
  $("loglevel").addEventListener("change", e => { if (e.target.value) post("/log?level=" + e.target.value); });
  $("conf").addEventListener("toggle", async e => { if (e.target.open) e.target.querySelector("pre").textContent = await (await fetch("/config.yaml")).text(); });
  addEventListener("resize", draw_chart);
}
start();
