// What the scripts that look at pages in Chromium have in common.
import { chromium } from 'playwright-core';

// patience is how long a step may take on a busy machine, in ms: the default is 30 s.
const patience = 120_000;

// start starts Chromium. Nothing of it reaches for the internet by itself.
export const start = () => chromium.launch({
  executablePath: '/usr/bin/chromium',
  timeout: patience,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// checks collects what was seen: one line each, and what was wrong.
export function checks() {
  const faults = [];
  const check = (ok, what) => {
    console.log(`${ok ? 'ok' : 'WRONG'}: ${what}`);
    if (!ok) faults.push(what);
  };
  return { check, faults };
}

// watched opens an empty page and records what it must not do: requests to another host,
// errors in the console, answers that are errors.
export async function watched(browser, host, options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const seen = [];
  page.on('request', (r) => { if (!r.url().startsWith('data:') && new URL(r.url()).host !== host) seen.push(r.url()); });
  page.on('console', (m) => { if (m.type() === 'error') seen.push(m.text()); });
  page.on('pageerror', (e) => seen.push(String(e)));
  page.on('response', (r) => { if (r.status() >= 400) seen.push(`${r.status()} ${r.url()}`); });
  return { context, page, seen };
}

// drawn waits until the charts are there and two frames have been painted since.
export async function drawn(page) {
  await page.waitForFunction(() => [...document.querySelectorAll('.charts')].every((c) => c.querySelector('figure canvas')));
  await frames(page);
}

// frames waits for two frames: sizes and colours that were changed before are painted then.
export const frames = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

// shape returns how a page fits its window: the widths of window and content, the height,
// and what goes beyond the right edge or out of its own box.
export const shape = (page) => page.evaluate(() => {
  const { clientWidth, scrollWidth, scrollHeight } = document.documentElement;
  const all = [...document.querySelectorAll('h1, h2, h3, p, dd, li, summary, th, td, svg, form, .badge')].filter((e) => !e.closest('.scroll, pre, .spoken'));
  const cut = all.filter((e) => { const b = e.getBoundingClientRect(); return b.width > 0 && b.right > clientWidth + 1; });
  const names = (list) => list.slice(0, 3).map((e) => e.outerHTML.slice(0, 120));
  return { inner: clientWidth, wide: scrollWidth, high: scrollHeight, cut: names(cut) };
});
