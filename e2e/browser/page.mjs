// Looks at a live status page in Chromium: 400 and 1280 pixels wide, light and
// dark, with scripts and without. Takes one JSON argument:
//   page   the page's address          shop  the app's own address
//   app    its name on the page        reason  a reason the page must give
//   lines  how the lines of its stores begin, with commas between
//   shots  directory for the pictures
// Writes what it saw, one line each, and ends with 1 if anything was wrong.
import http from 'node:http';
import path from 'node:path';
import { chromium } from 'playwright-core';

const want = JSON.parse(process.argv[2]);
const host = new URL(want.page).host;
const faults = [];
const check = (ok, what) => {
  console.log(`${ok ? 'ok' : 'WRONG'}: ${what}`);
  if (!ok) faults.push(what);
};

// ask sends a request to the shop that nobody waits for.
const ask = (page) => http.get(want.shop + page, { agent: false }, (answer) => answer.resume()).on('error', () => {});

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// open opens the page and records what it must not do.
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const seen = { elsewhere: [], errors: [] };
  page.on('request', (r) => {
    if (!r.url().startsWith('data:') && new URL(r.url()).host !== host) seen.elsewhere.push(r.url());
  });
  page.on('console', (m) => { if (m.type() === 'error') seen.errors.push(m.text()); });
  page.on('pageerror', (e) => seen.errors.push(String(e)));
  page.on('response', (r) => { if (r.status() >= 400) seen.errors.push(`${r.status()} ${r.url()}`); });
  await page.goto(want.page, { waitUntil: 'load' });
  const app = page.locator('article.app').filter({ has: page.getByRole('heading', { name: want.app, exact: true }) });
  return { context, page, app, cells: app.locator('ol > li'), seen };
}

// until polls f until it is true, at most for ms.
async function until(ms, f) {
  for (const end = Date.now() + ms; Date.now() < end; await new Promise((r) => setTimeout(r, 250))) {
    if (await f()) return true;
  }
  return false;
}

// queue is the number that the page gives as the app's queue.
const queue = async (app) => Number((await app.locator('dt', { hasText: 'queue' }).locator('xpath=following-sibling::dd').innerText()).split('/')[0].replace(/\D/g, ''));
const slots = async (cells) => (await cells.locator('.slot').allInnerTexts()).map(Number).sort().join(' ');
// busy counts the workers that are in a request; one that is so for very long is called stuck.
const busy = async (cells) => (await cells.allInnerTexts()).filter((t) => /\b(busy|stuck)\b/.test(t)).length;

// looks checks what holds at every size and colour.
async function looks(name, options) {
  ask('/slow?s=8');
  const { context, page, app, cells, seen } = await open(options);
  check(await until(8000, async () => await busy(cells) >= 1), `${name}: the worker in a slow request is busy`);
  await page.waitForTimeout(500); // the charts are drawn
  check(await app.count() === 1, `${name}: the app ${want.app} has a block`);
  check(await slots(cells) === '0 1 2 3', `${name}: four slots, 0 to 3 (${await slots(cells)})`);
  const text = await page.locator('body').innerText();
  check(text.includes(want.reason), `${name}: what is not seen has the reason "${want.reason}"`);
  const lines = await page.locator('[data-section="stores"] li').allInnerTexts();
  for (const line of want.lines.split(',')) {
    const is = lines.find((l) => l.startsWith(line));
    check(is && /healthy/.test(is), `${name}: a line of ${line} that is well (${is})`);
  }
  const [inner, all] = await page.evaluate(() => [document.documentElement.clientWidth, document.documentElement.scrollWidth]);
  check(all <= inner, `${name}: no sideways scroll (${all} of ${inner})`);
  const cut = await page.evaluate(() => [...document.querySelectorAll('h1, h2, p, dd, li, summary')]
    .filter((e) => e.getBoundingClientRect().width > 0 && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).length);
  check(cut === 0, `${name}: nothing is cut at the right edge (${cut} elements)`);
  if (options.viewport.width >= 1280) {
    const bottom = await cells.last().evaluate((e) => e.getBoundingClientRect().bottom);
    check(bottom <= 800, `${name}: the workers are on the first screen (${Math.round(bottom)})`);
  }
  const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0));
  check(options.colorScheme === 'dark' ? paper < 200 : paper > 560, `${name}: the background is ${options.colorScheme} (${Math.round(paper)} of 765)`);
  check(seen.elsewhere.length === 0, `${name}: no request to another host ${seen.elsewhere}`);
  check(seen.errors.length === 0, `${name}: no error in the console ${seen.errors}`);
  await context.close();
}

// lives watches one open page follow the app: a worker gets busy, then all, then the queue fills.
async function lives() {
  const { context, app, cells, seen } = await open({ viewport: { width: 1280, height: 800 } });
  check(await until(20000, async () => await queue(app) === 0), 'alive: the queue is empty at first');
  ask('/slow?s=14');
  check(await until(14000, async () => await busy(cells) >= 1), 'alive: a worker turns busy without a reload');
  for (let n = 0; n < 10; n++) ask('/slow?s=12');
  check(await until(20000, async () => await queue(app) >= 3), 'alive: the queue fills');
  check(await until(6000, async () => await busy(cells) === 4), 'alive: all four workers are busy then');
  check(seen.elsewhere.length === 0 && seen.errors.length === 0, `alive: no other host, no error ${seen.elsewhere} ${seen.errors}`);
  await context.close();
}

// troubled watches four requests for one row: one has it locked and sleeps, three wait.
// The pictures of the documentation show it.
async function troubled() {
  const { context, page, app, cells, seen } = await open({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  check(await until(30000, async () => await busy(cells) === 0), 'a lock: the workers are free before');
  for (let n = 0; n < 4; n++) ask('/fault/lock?product=2&s=22');
  const banner = page.locator('.verdict');
  check(await until(25000, async () => /3 of 4 workers .*wait for MySQL main/.test(await banner.innerText())), 'a lock: the banner has the chain');
  const texts = (await cells.allInnerTexts()).map((t) => t.replaceAll('\n', ' '));
  const root = texts.find((t) => /holds up 3 workers/.test(t));
  check(root && root.includes('lock (faults.py:'), `a lock: one cell holds up three, with its line (${root})`);
  check(texts.filter((t) => t.includes(`waits for worker ${root?.match(/\d+/)[0]}`)).length === 3, `a lock: three cells wait for it (${texts})`);
  await page.waitForTimeout(5000); // longer waits are better to see
  for (const [shot, width, colorScheme] of [['status-page.png', 1280, 'light'], ['status-page-dark.png', 1280, 'dark'], ['status-page-400.png', 400, 'light']]) {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(600);
    await page.screenshot({ path: path.join(want.shots, shot), fullPage: true });
  }
  check(seen.elsewhere.length === 0 && seen.errors.length === 0, `a lock: no other host, no error ${seen.elsewhere} ${seen.errors}`);
  await context.close();
}

// bare is the page without scripts.
async function bare() {
  const { context, app, cells } = await open({ viewport: { width: 1280, height: 800 }, javaScriptEnabled: false });
  check(await app.count() === 1 && await slots(cells) === '0 1 2 3', 'without scripts: the app and its four slots');
  await context.close();
}

try {
  const wide = { width: 1280, height: 800 }, narrow = { width: 400, height: 800 };
  await looks('1280 light', { viewport: wide, colorScheme: 'light' });
  await looks('1280 dark', { viewport: wide, colorScheme: 'dark' });
  await looks('400 light', { viewport: narrow, colorScheme: 'light' });
  await looks('400 dark', { viewport: narrow, colorScheme: 'dark' });
  await bare();
  await lives();
  await troubled();
} catch (e) {
  check(false, String(e.stack ?? e));
}
await browser.close();
process.exit(faults.length ? 1 : 0);
