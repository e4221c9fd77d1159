// Looks at a live status page in Chromium: 400 and 1280 pixels wide, light and
// dark, with scripts and without. Takes one JSON argument:
//   page   the page's address          shop  the app's own address
//   app    its name on the page        reason  a reason the page must give
//   lines  how the lines of its stores begin, with commas between
//   shots  directory for the pictures
//   slack  how many times longer everything may take than on an idle machine
// Writes what it saw, one line each, and ends with 1 if anything was wrong.
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { checks, drawn, frames, shape, start, watched } from './chromium.mjs';

const want = JSON.parse(process.argv[2]);
const { check, faults } = checks();
const wide = { width: 1280, height: 800 };
const browser = await start();

// ask sends a request to the shop that nobody waits for.
const ask = (page) => http.get(want.shop + page, { agent: false }, (answer) => answer.resume()).on('error', () => {});

// open opens the page and records what it must not do.
async function open(options) {
  const { context, page, seen } = await watched(browser, new URL(want.page).host, options);
  await page.goto(want.page, { waitUntil: 'load' });
  const app = page.locator('article.app').filter({ has: page.getByRole('heading', { name: want.app, exact: true }) });
  return { context, page, app, cells: app.locator('ol > li'), seen };
}

// slow is the address of a page that takes so many seconds, longer on a busy machine.
const slow = (s) => `/slow?s=${Math.round(s * want.slack)}`;

// until polls f until it is true, at most for ms, longer on a busy machine.
async function until(ms, f) {
  for (const end = Date.now() + ms * want.slack; Date.now() < end; await new Promise((r) => setTimeout(r, 250))) {
    if (await f()) return true;
  }
  return false;
}

// queue is the number that the page gives as the app's queue.
const queue = async (app) => Number((await app.locator('dt', { hasText: 'queue' }).locator('xpath=following-sibling::dd').innerText()).split('/')[0].replace(/\D/g, ''));
const slots = async (cells) => (await cells.locator('.slot').allInnerTexts()).map(Number).sort().join(' ');
// busy counts the workers that are in a request; one that is so for very long is called stuck.
const busy = async (cells) => (await cells.allInnerTexts()).filter((t) => /\b(busy|stuck)\b/.test(t)).length;

// looks checks what holds at every size and colour, on one page that is open.
async function looks() {
  const { context, page, app, cells, seen } = await open({ viewport: wide, colorScheme: 'light' });
  ask(slow(12));
  check(await until(12000, async () => await busy(cells) >= 1), 'the worker in a slow request is busy, without a reload');
  await drawn(page);
  for (const width of [1280, 400]) {
    await page.setViewportSize({ width, height: 800 });
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await frames(page);
      await look(`${width} ${colorScheme}`, page, app, cells);
    }
  }
  check(seen.length === 0, `no request to another host, no error in the console ${seen}`);
  await context.close();
}

async function look(name, page, app, cells) {
  check(await app.count() === 1, `${name}: the app ${want.app} has a block`);
  check(await slots(cells) === '0 1 2 3', `${name}: four slots, 0 to 3 (${await slots(cells)})`);
  const text = await page.locator('body').innerText();
  check(text.includes(want.reason), `${name}: what is not seen has the reason "${want.reason}"`);
  const lines = await page.locator('[data-section="stores"] li').allInnerTexts();
  for (const line of want.lines.split(',')) {
    const is = lines.find((l) => l.startsWith(line));
    check(is && /healthy/.test(is), `${name}: a line of ${line} that is well (${is})`);
  }
  const is = await shape(page);
  check(is.wide <= is.inner, `${name}: no sideways scroll (${is.wide} of ${is.inner})`);
  check(is.cut.length === 0, `${name}: nothing is cut at the right edge ${is.cut}`);
  if (is.inner >= 1265) {
    const bottom = await cells.last().evaluate((e) => e.getBoundingClientRect().bottom);
    check(bottom <= 800, `${name}: the workers are on the first screen (${Math.round(bottom)})`);
  }
  const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0));
  check(name.endsWith('dark') ? paper < 200 : paper > 560, `${name}: the background has its colour (${Math.round(paper)} of 765)`);
}

// lives watches one open page follow the app: all workers get busy, then the queue fills.
// What fills it are connections without a request: the app is done with them as soon as
// they are closed.
async function lives() {
  const { context, app, cells, seen } = await open({ viewport: wide });
  check(await until(30000, async () => await queue(app) === 0), 'alive: the queue is empty at first');
  for (let n = 0; n < 4; n++) ask(slow(14));
  check(await until(14000, async () => await busy(cells) === 4), 'alive: all four workers turn busy without a reload');
  for (let n = 0; n < 4; n++) ask(slow(8));
  const { hostname, port } = new URL(want.shop);
  const waiting = Array.from({ length: 6 }, () => net.connect(Number(port), hostname).on('error', () => {}));
  check(await until(20000, async () => await queue(app) >= 3), 'alive: the queue fills');
  for (const c of waiting) c.destroy();
  check(seen.length === 0, `alive: no other host, no error ${seen}`);
  await context.close();
}

// troubled watches four requests for one row: one has it locked and sleeps, three wait.
// The pictures of the documentation show it.
async function troubled() {
  const { context, page, app, cells, seen } = await open({ viewport: wide, colorScheme: 'light' });
  check(await until(60000, async () => await busy(cells) === 0), 'a lock: the workers are free before');
  for (let n = 0; n < 4; n++) ask(`/fault/lock?product=2&s=${Math.round(30 * want.slack)}`);
  const banner = page.locator('.verdict');
  check(await until(25000, async () => /3 of 4 workers .*wait for MySQL main/.test(await banner.innerText())), 'a lock: the banner has the chain');
  const texts = (await cells.allInnerTexts()).map((t) => t.replaceAll('\n', ' '));
  const root = texts.find((t) => /holds up 3 workers/.test(t));
  check(root && root.includes('lock (faults.py:'), `a lock: one cell holds up three, with its line (${root})`);
  check(texts.filter((t) => t.includes(`waits for worker ${root?.match(/\d+/)[0]}`)).length === 3, `a lock: three cells wait for it (${texts})`);
  await drawn(page);
  for (const [shot, width, colorScheme] of [['status-page.png', 1280, 'light'], ['status-page-dark.png', 1280, 'dark'], ['status-page-400.png', 400, 'light']]) {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    await frames(page);
    await page.screenshot({ path: path.join(want.shots, shot), fullPage: true });
  }
  check(seen.length === 0, `a lock: no other host, no error ${seen}`);
  await context.close();
}

// bare is the page without scripts.
async function bare() {
  const { context, app, cells } = await open({ viewport: wide, javaScriptEnabled: false });
  check(await app.count() === 1 && await slots(cells) === '0 1 2 3', 'without scripts: the app and its four slots');
  await context.close();
}

try {
  await looks();
  await bare();
  await lives();
  await troubled();
} catch (e) {
  check(false, String(e.stack ?? e));
}
await browser.close();
process.exit(faults.length ? 1 : 0);
