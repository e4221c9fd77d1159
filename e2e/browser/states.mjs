// Looks at pages of made-up states in Chromium: 400 and 1280 pixels wide, light and
// dark. Takes one JSON argument:
//   pages  list of {name, url, tall, words}: at 1280 the page is at most tall pixels high
//          and says each of the words
//   now    the time of the states, RFC 3339
//   shots  directory for the pictures; "": none are kept
// Writes what it saw, one line each, and ends with 1 if anything was wrong.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { checks, drawn, frames, shape, start, watched } from './chromium.mjs';

const want = JSON.parse(process.argv[2]);
const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const { check, faults } = checks();
const wide = { width: 1280, height: 800 };
const browser = await start();

// open opens a page whose clock shows the time of the states.
async function open(url, options) {
  const scripts = options?.javaScriptEnabled !== false;
  const opened = await watched(browser, new URL(url).host, { viewport: wide, timezoneId: 'Europe/Berlin', bypassCSP: scripts, ...options }); // for axe
  if (scripts) await opened.page.clock.setFixedTime(want.now);
  await opened.page.goto(url, { waitUntil: 'load' });
  return opened;
}

// look loads a page once and looks at it at each size and in each colour.
async function look(p) {
  const began = Date.now();
  const { context, page, seen } = await open(p.url);
  await drawn(page);
  await page.evaluate(axe);
  for (const width of [1280, 400]) {
    await page.setViewportSize({ width, height: 800 });
    await fits(p, page, width);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await frames(page);
      const name = `${p.name} ${width} ${colorScheme}`;
      if (want.shots) await page.screenshot({ path: path.join(want.shots, `${name.replaceAll(' ', '-')}.png`), fullPage: true });
      // A colour changes contrasts alone: the other rules are run once a size.
      await accessible(name, page, colorScheme === 'light' ? {} : { runOnly: ['color-contrast'] });
    }
  }
  check(seen.length === 0, `${p.name}: no other host, no error ${seen}`);
  await context.close();
  console.log(`${p.name}: ${Date.now() - began} ms`);
}

// alike is what repeats elements before it, and is not looked at for that reason.
const alike = ['.squares > li:nth-child(n+25)', '.lines li:nth-child(n+9)', '.strip a:nth-of-type(n+13)', '.books main > :nth-child(n+81)', '.books nav li:nth-child(n+21)']
  .map((selector) => [selector]);

async function fits(p, page, width) {
  const name = `${p.name} ${width}`;
  await frames(page);
  const text = await page.locator('body').innerText();
  for (const w of p.words) check(text.includes(w), `${name}: says "${w}"`);
  const is = await shape(page);
  check(is.wide <= is.inner, `${name}: no sideways scroll (${is.wide} of ${is.inner})`);
  check(is.cut.length === 0, `${name}: nothing is cut at the right edge ${is.cut}`);
  if (width === 1280 && p.tall) check(is.high <= p.tall, `${name}: at most ${p.tall} pixels high (${is.high})`);
}

async function accessible(name, page, options) {
  const found = await page.evaluate(([exclude, o]) => globalThis.axe.run({ include: document, exclude }, { resultTypes: ['violations'], ...o }), [alike, options]);
  for (const v of found.violations) console.log(v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + (n.failureSummary || '').slice(0, 240)));
  check(found.violations.length === 0, `${name}: axe-core finds nothing (${found.violations.map((v) => `${v.id} ${v.nodes.length}`)})`);
}

// squares have their word and time on focus.
async function squares(p) {
  const { context, page } = await open(p.url);
  const first = page.locator('.squares summary').first();
  let text, box;
  for (let tries = 0; !box && tries < 5; tries++) { // an update may come in between
    await first.focus();
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Tab'); // so that the focus is one of the keyboard
    text = await first.innerText();
    box = await first.locator('.state').boundingBox();
  }
  check(/stuck/.test(text) && /\d+ s/.test(text), `${p.name}: the square says its word and time on focus (${text.replaceAll('\n', ' ')})`);
  check(box && box.x >= 0 && box.x + box.width <= 1280, `${p.name}: they are on the screen`);
  if (want.shots) await page.screenshot({ path: path.join(want.shots, `${p.name}-focus.png`) });
  await context.close();
}

// bare is a moment of the past without scripts: by a link of the strip, then by the form.
async function bare(p) {
  const { context, page } = await open(p.url, { javaScriptEnabled: false });
  const href = await page.locator('.strip svg a').nth(45).getAttribute('href');
  await page.goto(new URL(href, p.url).href);
  check(await page.locator('#moment tbody tr').count() === 3, `${p.name}: a link of the strip opens the history without scripts`);
  await page.locator('.ask input[type=time]').fill('09:15:00');
  await page.locator('.ask button').click();
  await page.waitForLoadState();
  check((await page.locator('#moment h3').innerText()).includes('09:15:00 UTC'), `${p.name}: the form asks for a time in UTC without scripts`);
  await context.close();
}

// asks is the form with scripts: its time is local, and an update leaves it alone.
async function asks(p) {
  const { context, page } = await open(p.url);
  const update = page.waitForResponse((r) => r.url().includes('/api/v1/page') && new URL(r.url()).searchParams.get('since') !== '0');
  await page.locator('.ask input[type=time]').fill('10:15:00');
  await update;
  await frames(page);
  check(await page.locator('.ask input[type=time]').inputValue() === '10:15:00', `${p.name}: an update leaves what is typed`);
  await page.locator('.ask button').click();
  await page.waitForURL(/at=2026-01-02T09:15:00Z/);
  check((await page.locator('#moment h3').innerText()).includes('10:15:00'), `${p.name}: the form takes local time`);
  check(await page.locator('.strip .chosen').count() === 1, `${p.name}: one column is marked`);
  await context.close();
}

// side runs jobs, two at a time.
async function side(jobs) {
  const left = [...jobs];
  const worker = async () => { for (let job; (job = left.shift());) await job().catch((e) => check(false, String(e.stack ?? e))); };
  await Promise.all([worker(), worker()]);
}

const named = (name) => want.pages.find((p) => p.name === name);
try {
  await side([() => asks(named('past')), ...want.pages.map((p) => () => look(p)), () => squares(named('workers')), () => bare(named('past'))]);
} catch (e) {
  check(false, String(e.stack ?? e));
}
await browser.close();
process.exit(faults.length ? 1 : 0);
