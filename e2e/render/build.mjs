// Bundles the page that draws dashboards. Ends with an error if a package of Grafana is
// not licensed under Apache-2.0, or any package under the GPL.
import { build } from 'esbuild';
import { mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = path.dirname(fileURLToPath(import.meta.url));

// licences checks the lock file, which has the licence of each package.
export async function licences() {
  const lock = JSON.parse(await readFile(path.join(here, 'package-lock.json'), 'utf8'));
  for (const [name, { license = '' }] of Object.entries(lock.packages)) {
    if (/node_modules\/@grafana\//.test(name) && !/^(Apache-2\.0|MIT)$/.test(license)) throw new Error(`${name} has the licence ${license || 'none'}, not Apache-2.0`);
    if (/GPL/.test(license)) throw new Error(`${name} has the licence ${license}`);
  }
}

// bundle writes page.js, page.css and the fonts into a directory.
export async function bundle(into) {
  await licences();
  const script = path.join(into, 'main.js');
  const fresh = await stat(script).catch(() => null);
  if (fresh && fresh.mtimeMs > await newest()) return;
  const beside = await mkdtemp(path.join(into, 'new-')); // another process may read what is there
  await build({
    entryPoints: [path.join(here, 'page/main.jsx')], outdir: beside, bundle: true, minify: false, format: 'iife', jsx: 'automatic', target: 'chrome110', logLevel: 'error',
    mainFields: ['browser', 'module', 'main'], loader: { '.woff': 'file', '.woff2': 'file', '.svg': 'dataurl', '.png': 'dataurl' },
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    plugins: [{ name: 'absent', setup: (b) => b.onResolve({ filter: /^(tty|util|stream|fs|path|os|monaco-editor(\/.*)?)$/ }, () => ({ path: path.join(here, 'page/absent.cjs') })) }],
  });
  const files = (await readdir(beside)).sort((a, b) => (a === 'main.js') - (b === 'main.js')); // the script last
  for (const name of files) await rename(path.join(beside, name), path.join(into, name));
  await rm(beside, { recursive: true });
}

// newest returns when a source of the page was last changed, in ms.
async function newest() {
  const names = ['main.jsx', 'board.jsx', 'contrast.js', 'panels.jsx', 'timeline.jsx', 'heatmap.jsx', 'fields.js', 'look.js', 'model.js', 'prometheus.js'].map((n) => `page/${n}`);
  const times = await Promise.all([...names, 'package-lock.json', 'build.mjs'].map(async (n) => (await stat(path.join(here, n))).mtimeMs));
  return Math.max(...times);
}
