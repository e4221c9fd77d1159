// Measures how long pages take to load in Chromium. Takes one JSON argument:
//   pages  list of {name, url}
//   load   how long each may take until it is loaded, in ms
// Writes the middle one of five loads of each page: the times until something is painted,
// until it is loaded and until its charts are drawn, and the CPU time of the thread that
// does it. Ends with 1 if a page took too long, or asked another host.
import { checks, drawn, start, watched } from './chromium.mjs';

const want = JSON.parse(process.argv[2]);
const { check, faults } = checks();
const browser = await start();

async function load(p) {
  const { context, page, seen } = await watched(browser, new URL(p.url).host, { viewport: { width: 1280, height: 800 } });
  const session = await context.newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  await page.goto(p.url, { waitUntil: 'load' });
  await drawn(page);
  const times = await page.evaluate(() => ({
    paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity,
    load: performance.getEntriesByType('navigation')[0].loadEventEnd, drawn: performance.now(),
  }));
  const { metrics } = await session.send('Performance.getMetrics');
  times.cpu = 1000 * metrics.find((m) => m.name === 'TaskDuration').value;
  check(seen.length === 0, `${p.name}: no other host, no error ${seen}`);
  await context.close();
  return times;
}

try {
  for (const p of want.pages) {
    const runs = [];
    for (let i = 0; i < 5; i++) runs.push(await load(p));
    const middle = (of) => Math.round(runs.map((r) => r[of]).sort((a, b) => a - b)[2]);
    check(middle('load') <= want.load, `${p.name}: painted after ${middle('paint')} ms, loaded after ${middle('load')} of ${want.load} ms, charts drawn after ${middle('drawn')} ms; ${middle('cpu')} ms of CPU time`);
  }
} catch (e) {
  check(false, String(e.stack ?? e));
}
await browser.close();
process.exit(faults.length ? 1 : 0);
