// Draws dashboards in Chromium and saves pictures. Takes one JSON argument:
//   prometheus  its address, which must answer pages of other origins (its default)
//   scrape      the scrape interval of the data source, in seconds
//   until       the end of the time range, in ms since 1970; range, its length in seconds
//   bundle      directory for the page, which is bundled again when its sources changed
//   pictures    list of {dashboard: file, picture: file or none, width, height, theme: dark
//               or light, variables: {name: [value]}, open: all rows, whole: the picture
//               shows all of the page, not one screen, prometheus: another one}
//   limit       how long one picture may take, in ms
// Writes a JSON line for each picture with what is wrong on it: {dashboard, width, theme,
// height, panels, faults}. Ends with 1 if a dashboard could not be drawn.
import { createReadStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { start } from '../browser/chromium.mjs';
import { bundle, here } from './build.mjs';

const want = JSON.parse(process.argv[2]);
const limit = want.limit ?? 60_000;
const tallest = 6000; // tables draw nothing below the window
const page = '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><link rel="stylesheet" href="main.css"><script>window.__grafana_public_path__ = "/public/"</script><body style="margin:0"><div id="root"></div><script src="main.js"></script></body></html>';
const kinds = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.woff': 'font/woff' };

// placed returns the directory and the name of what the page asks for. Fonts are asked for
// where Grafana's own server has them.
function placed(name) {
  const packages = path.join(here, 'node_modules');
  if (name.startsWith('/public/build/')) return [path.join(packages, '@grafana/ui/dist/public'), name.slice('/public/build/'.length)];
  if (name.startsWith('/public/fonts/')) return [path.join(packages, '@fontsource/inter/files'), `inter-latin-${/Medium/.test(name) ? 500 : 400}-normal.woff2`];
  return [want.bundle, name];
}

// serve serves the page, its icons and its fonts on the loopback.
async function serve() {
  const server = http.createServer((request, answer) => {
    const { pathname } = new URL(request.url, 'http://page');
    if (pathname === '/') {
      answer.setHeader('Content-Type', 'text/html').end(page);
      return;
    }
    const [root, name] = placed(pathname);
    const file = path.join(root, path.normalize(`/${name}`));
    answer.setHeader('Content-Type', kinds[path.extname(file)] ?? 'application/octet-stream');
    createReadStream(file).on('error', () => answer.writeHead(404).end()).pipe(answer);
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  return server;
}

// within fails what takes longer than it may.
function within(promise, what) {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`${what}: not within ${limit} ms`)), limit); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// opened returns a tab with the page, at a width: the one of the last picture, if that had
// the same width and theme and no error.
async function opened(browser, origin, width, theme) {
  const key = `${width} ${theme}`;
  if (tab.key !== key) {
    await tab.context?.close();
    const context = await browser.newContext({ viewport: { width, height: tallest }, deviceScaleFactor: 1 });
    context.setDefaultTimeout(limit);
    tab = { key, context, page: await context.newPage(), wrong: [] };
    tab.page.on('pageerror', (e) => tab.wrong.push(String(e.stack ?? e)));
    await tab.page.goto(origin);
  }
  return tab;
}

// picture draws one dashboard and returns what was seen.
async function picture(browser, origin, one) {
  const { width, height = 1080, theme = 'dark' } = one;
  const board = JSON.parse(await readFile(one.dashboard, 'utf8'));
  const { page: sheet, wrong } = await opened(browser, origin, width, theme);
  try {
    const until = one.until ?? want.until;
    const drawn = await sheet.evaluate((o) => window.draw(o).catch((e) => { throw new Error(e.stack ?? String(e)); }), {
      board, width, theme, screen: height, prometheus: one.prometheus ?? want.prometheus, scrape: one.scrape ?? want.scrape, from: until - 1000 * (one.range ?? want.range), to: until, variables: one.variables ?? {}, open: one.open ?? false,
    });
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
    if (one.picture) {
      await mkdir(path.dirname(one.picture), { recursive: true });
      await sheet.screenshot({ path: one.picture, clip: { x: 0, y: 0, width, height: one.whole ? Math.min(drawn.height, tallest) : height } });
    }
    return { dashboard: board.uid, width, theme, picture: one.picture, ...drawn };
  } catch (e) {
    tab.key = ''; // the next one begins anew
    throw wrong.length > 0 ? new Error(wrong.join('\n')) : e;
  }
}

let tab = {};
const browser = await start();
const server = await serve();
let failed = false;
try {
  await mkdir(want.bundle, { recursive: true });
  await bundle(want.bundle);
  for (const one of want.pictures) {
    try {
      console.log(JSON.stringify(await within(picture(browser, `http://127.0.0.1:${server.address().port}/`, one), one.dashboard)));
    } catch (e) {
      failed = true;
      console.log(JSON.stringify({ dashboard: path.basename(one.dashboard, '.json'), width: one.width, error: String(e.message ?? e) }));
    }
  }
} finally {
  await browser.close();
  server.close();
}
process.exit(failed ? 1 : 0);
