// Looks at pages of made-up states in Chromium: 400 and 1280 pixels wide, light and
// dark. Takes one JSON argument:
//   pages  list of {name, url, tall, words}: at 1280 the page is at most tall pixels high
//          and says each of the words
//   load   how long the page of 200 workers may take to load, in ms
//   shots  directory for the pictures; "": none are kept
// Writes what it saw, one line each, and ends with 1 if anything was wrong.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const want = JSON.parse(process.argv[2]);
const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const faults = [];
const check = (ok, what) => {
  console.log(`${ok ? 'ok' : 'WRONG'}: ${what}`);
  if (!ok) faults.push(what);
};

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// open opens a page and records what it must not do.
async function open(url, options) {
  const context = await browser.newContext({ ...options, bypassCSP: options.javaScriptEnabled !== false }); // for axe
  const page = await context.newPage();
  const seen = [];
  const host = new URL(url).host;
  page.on('request', (r) => { if (!r.url().startsWith('data:') && new URL(r.url()).host !== host) seen.push(r.url()); });
  page.on('console', (m) => { if (m.type() === 'error') seen.push(m.text()); });
  page.on('pageerror', (e) => seen.push(String(e)));
  page.on('response', (r) => { if (r.status() >= 400) seen.push(`${r.status()} ${r.url()}`); });
  const began = Date.now();
  await page.goto(url, { waitUntil: 'load' });
  return { context, page, seen, took: Date.now() - began };
}

// look loads a page once and looks at it at each size and in each colour.
async function look(p) {
  const { context, page, seen } = await open(p.url, { viewport: { width: 1280, height: 800 }, timezoneId: 'Europe/Berlin' });
  for (const [width, colorScheme] of [[1280, 'light'], [1280, 'dark'], [400, 'light'], [400, 'dark']]) {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(500); // the charts are drawn
    await looks(p, page, width, colorScheme);
  }
  check(seen.length === 0, `${p.name}: no other host, no error ${seen}`);
  await context.close();
}

async function looks(p, page, width, colorScheme) {
  const name = `${p.name} ${width} ${colorScheme}`;
  const text = await page.locator('body').innerText();
  for (const w of p.words) check(text.includes(w), `${name}: says "${w}"`);
  const [inner, all, high] = await page.evaluate(() => [document.documentElement.clientWidth, document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
  check(all <= inner, `${name}: no sideways scroll (${all} of ${inner})`);
  const cut = await page.evaluate(() => [...document.querySelectorAll('h1, h2, h3, p, dd, li, summary, th, td, svg, form')]
    .filter((e) => !e.closest('.scroll, pre, .spoken') && e.getBoundingClientRect().width > 0 && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((e) => e.outerHTML.slice(0, 80)));
  check(cut.length === 0, `${name}: nothing is cut at the right edge ${cut.slice(0, 3)}`);
  if (width === 1280 && p.tall) check(high <= p.tall, `${name}: at most ${p.tall} pixels high (${high})`);
  if (want.shots) await page.screenshot({ path: path.join(want.shots, `${name.replaceAll(' ', '-')}.png`), fullPage: true });
  if ((width === 1280) !== (colorScheme === 'light')) return; // each size and each colour once
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  for (const v of found.violations) console.log(v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + (n.failureSummary || '').slice(0, 240)));
  check(found.violations.length === 0, `${name}: axe-core finds nothing (${found.violations.map((v) => `${v.id} ${v.nodes.length}`)})`);
}

// squares have their word and time on focus.
async function squares(p) {
  const { context, page, took } = await open(p.url, { viewport: { width: 1280, height: 800 } });
  check(took <= want.load, `${p.name}: loaded in ${took} of ${want.load} ms`);
  const first = page.locator('.squares summary').first();
  await first.focus();
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Tab'); // so that the focus is one of the keyboard
  const text = await first.innerText();
  check(/stuck/.test(text) && /\d+ s/.test(text), `${p.name}: the square says its word and time on focus (${text.replaceAll('\n', ' ')})`);
  const box = await first.locator('.state').boundingBox();
  check(box.x >= 0 && box.x + box.width <= 1280, `${p.name}: they are on the screen`);
  if (want.shots) await page.screenshot({ path: path.join(want.shots, `${p.name}-focus.png`) });
  await context.close();
}

// bare is a moment of the past without scripts: by a link of the strip, then by the form.
async function bare(p) {
  const { context, page } = await open(p.url, { viewport: { width: 1280, height: 800 }, javaScriptEnabled: false });
  const href = await page.locator('.strip svg a').nth(45).getAttribute('href');
  await page.goto(new URL(href, p.url).href);
  check(await page.locator('#moment tbody tr').count() === 3, `${p.name}: a link of the strip opens the history without scripts`);
  await page.locator('.ask input[type=time]').fill('09:15:00');
  await page.locator('.ask button').click();
  await page.waitForLoadState();
  check((await page.locator('#moment h3').innerText()).includes('09:15:00 UTC'), `${p.name}: the form asks for a time in UTC without scripts`);
  await context.close();
}

// asks is the form with scripts: its time is local.
async function asks(p) {
  const { context, page } = await open(p.url, { viewport: { width: 1280, height: 800 }, timezoneId: 'Europe/Berlin' });
  await page.locator('.ask input[type=time]').fill('10:15:00');
  await page.waitForTimeout(6000); // an update comes meanwhile
  check(await page.locator('.ask input[type=time]').inputValue() === '10:15:00', `${p.name}: an update leaves what is typed`);
  await page.locator('.ask button').click();
  await page.waitForURL(/at=.*09%3A15|at=.*T09:15|at=.*T08:15/);
  check((await page.locator('#moment h3').innerText()).includes('10:15:00'), `${p.name}: the form takes local time`);
  check(await page.locator('.strip .chosen').count() <= 1, `${p.name}: one column is marked`);
  await context.close();
}

try {
  for (const p of want.pages) await look(p);
  await squares(want.pages.find((p) => p.name === 'workers'));
  const past = want.pages.find((p) => p.name === 'past');
  await bare(past);
  await asks(past);
} catch (e) {
  check(false, String(e.stack ?? e));
}
await browser.close();
process.exit(faults.length ? 1 : 0);
