// page.mjs - the live page in a real browser. usage: node page.mjs ADMIN PROXY MODULES SHOTS
// Prints one line per check that fails and exits 1; the upstream is driven by the caller through the proxy's own port.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const [admin, proxy, modules, shots] = process.argv.slice(2);
const require = createRequire(modules + "/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const bad = [];
const check = (what, ok) => { if (!ok) bad.push(what); };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
async function open(width, colorScheme) {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  page.on("console", m => check(`console ${m.type()}: ${m.text()}`, m.type() !== "error" && m.type() !== "warning"));
  page.on("pageerror", e => check(`page error: ${e.message}`, false));
  page.on("request", r => check(`it fetched ${r.url()}`, r.url().startsWith(admin) || r.url().startsWith("data:")));
  await page.goto(admin + "/");
  await page.waitForFunction(() => document.getElementById("life").textContent.includes("LIVE"));
  return page;
}
const text = (page, id) => page.locator("#" + id).innerText();

const page = await open(1280, "light");
for (let i = 0; i < 30; i++) await fetch(proxy + "/ok");
await fetch(proxy + "/nowhere");
await fetch(proxy + "/fault");
await page.waitForFunction(() => document.querySelectorAll("#tap tr.row").length >= 2, null, { timeout: 8000 });
await page.waitForFunction(() => /fault_injected/.test(document.getElementById("why").textContent), null, { timeout: 8000 });
check("the routes are listed", (await text(page, "routes")).includes("plain"));
check("the upstream is listed", (await text(page, "upstreams")).includes("healthy"));
check("latency is told", /\d/.test(await text(page, "latency")));
check("something is drawn", await page.locator("#chart canvas").count() > 0);

// why did this request get its 503? one click
await page.locator("#tap tr.row", { hasText: "/fault" }).first().locator("button").click();
check("a row tells why", (await page.locator("tr.more").first().innerText()).includes("made this answer on purpose"));

// all requests, as they come
await page.selectOption("#f-what", "all");
await page.waitForTimeout(600);
await fetch(proxy + "/ok?secret=1");
await page.waitForFunction(() => [...document.querySelectorAll("#tap tr.row")].some(r => r.textContent.includes("/ok")), null, { timeout: 5000 });
check("no query is shown", !(await text(page, "tap")).includes("secret"));

// markup from a stranger stays text
await fetch(proxy + "/<img src=x onerror=alert(1)>").catch(() => {});

// a service that is down: its breaker opens on the screen
const card = page.locator(".upstream", { hasText: "dead" });
for (let i = 0; i < 3; i++) await fetch(proxy + "/dead");
await page.waitForFunction(() => [...document.querySelectorAll(".upstream")].some(u => u.textContent.includes("dead") && u.textContent.includes("○ open")), null, { timeout: 5000 });
check("it tells when the next try is", (await card.innerText()).includes("next try in"));

// and an operator opens another one
await page.getByRole("button", { name: "force open the breaker of app" }).click();
await page.waitForFunction(() => [...document.querySelectorAll(".upstream")].some(u => u.textContent.includes("forced open")), null, { timeout: 5000 });
check("it refuses then", (await fetch(proxy + "/ok")).status === 503);
await page.getByRole("button", { name: "reset the breaker of app" }).click();
await page.waitForFunction(() => ![...document.querySelectorAll(".upstream")].some(u => u.textContent.includes("forced open")), null, { timeout: 5000 });
check("and serves again", (await fetch(proxy + "/ok")).status === 200);

// actions
await page.getByRole("button", { name: "Drain", exact: true }).click();
await page.waitForFunction(() => document.getElementById("life").textContent.includes("DRAINING"), null, { timeout: 5000 });
check("the banner tells of it", (await text(page, "banner")).includes("drain"));
await page.getByRole("button", { name: "Undrain" }).click();
await page.waitForFunction(() => document.getElementById("life").textContent.includes("LIVE"), null, { timeout: 5000 });
await page.locator("#conf summary").click();
await page.waitForFunction(() => document.querySelector("#conf pre").textContent.includes("listen"), null, { timeout: 5000 });

// the keyboard reaches what can be done
await page.keyboard.press("Tab");
check("the focus is somewhere", await page.evaluate(() => document.activeElement !== document.body));

for (const [width, scheme] of [[1280, "light"], [1280, "dark"], [390, "light"], [390, "dark"]]) {
  const p = await open(width, scheme);
  await p.waitForTimeout(2300);
  await p.evaluate(axe);
  const found = await p.evaluate(() => axe.run());
  for (const v of found.violations) check(`axe ${width} ${scheme}: ${v.id} (${v.nodes.map(n => n.html.slice(0, 100)).join(" | ")})`, false);
  check(`${width}: the page is not wider than the window`, await p.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
  if (shots) await p.screenshot({ path: `${shots}/${width}-${scheme}.png`, fullPage: true });
  await p.close();
}
await browser.close();
for (const b of bad) console.log(b);
process.exit(bad.length ? 1 : 0);
