// Checks dashboards against Grafana's own types: node check.mjs [--cache FILE] FILES…
// Each fault is a line, FILE PATH: what; then the exit code is 1.
import Ajv from 'ajv';
import { readFileSync } from 'node:fs';
import { schemas } from './schema.mjs';

const args = process.argv.slice(2);
const cache = args[0] === '--cache' ? args.splice(0, 2)[1] : undefined;
if (args.length === 0) {
  console.error('expected: node check.mjs [--cache FILE] FILES…');
  process.exit(2);
}
const all = schemas(cache);
const ajv = new Ajv({ allErrors: true, strict: false, verbose: true });
const compiled = {};
const validator = (name) => (compiled[name] ??= ajv.compile(all[name]));
let faults = 0;

function fault(file, path, what) {
  faults++;
  console.log(`${file} ${path}: ${what}`);
}

function told(error) {
  if (error.keyword === 'additionalProperties') return `unknown key ${error.params.additionalProperty}`;
  if (error.keyword === 'required') return `no ${error.params.missingProperty}`;
  const allowed = error.params.allowedValues ? `, expected ${error.params.allowedValues.join(', ')}` : '';
  return `${error.message}${allowed}, is ${JSON.stringify(error.data)?.slice(0, 60)}`;
}

function hold(file, path, name, value) {
  const check = validator(name);
  if (check(value)) return;
  const seen = new Set(check.errors.map((e) => path + e.instancePath.replaceAll('/', '.') + ': ' + told(e)));
  for (const line of seen) fault(file, line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2));
}

// property returns the schema of one key of an object, for overrides.
function property(name, path) {
  let schema = all[name];
  for (const key of path.split('.')) {
    schema = resolve(schema).find((s) => s.properties?.[key])?.properties[key];
    if (!schema) return undefined;
  }
  const id = `${name} ${path}`;
  all[id] ??= { ...schema, definitions: all[name].definitions };
  return id;
}

// resolve follows one reference and returns the alternatives of a schema.
function resolve(schema) {
  return [schema, ...(schema.anyOf ?? []), ...(schema.allOf ?? [])];
}

function override(file, path, kind, p) {
  const custom = p.id.startsWith('custom.');
  const id = custom ? property(`custom ${kind}`, p.id.slice('custom.'.length)) : property('Field', p.id);
  if (!id) return fault(file, path, `unknown property ${p.id}`);
  hold(file, `${path}.value`, id, p.value);
}

function panel(file, path, p) {
  if (p.type === 'row') {
    hold(file, path, 'Row', p);
    p.panels?.forEach((inner, i) => panel(file, `${path}.panels.${i}`, inner));
    return;
  }
  hold(file, path, 'Panel', p);
  if (!all[`options ${p.type}`]) return fault(file, `${path}.type`, `unknown panel ${p.type}`);
  hold(file, `${path}.options`, `options ${p.type}`, p.options ?? {});
  const defaults = p.fieldConfig?.defaults ?? {};
  hold(file, `${path}.fieldConfig.defaults`, 'Field', defaults);
  hold(file, `${path}.fieldConfig.defaults.custom`, `custom ${p.type}`, defaults.custom ?? {});
  p.fieldConfig?.overrides?.forEach((o, i) => o.properties?.forEach((q, j) => override(file, `${path}.fieldConfig.overrides.${i}.properties.${j}`, p.type, q)));
  p.targets?.forEach((t, i) => hold(file, `${path}.targets.${i}`, 'Target', t));
}

for (const file of args) {
  const d = JSON.parse(readFileSync(file, 'utf8'));
  hold(file, '$', 'Dashboard', d);
  d.panels?.forEach((p, i) => panel(file, `$.panels.${i}`, p));
  d.templating?.list?.forEach((v, i) => hold(file, `$.templating.list.${i}`, 'Variable', v));
  d.annotations?.list?.forEach((a, i) => hold(file, `$.annotations.list.${i}`, 'Annotation', a));
}
process.exit(faults > 0 ? 1 : 0);
