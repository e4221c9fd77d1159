// Makes the JSON Schemas: of types.ts, and of the options and custom fields of
// each type of panel.
import { createGenerator } from 'ts-json-schema-generator';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const kinds = ['bargauge', 'gauge', 'heatmap', 'stat', 'state-timeline', 'table', 'text', 'timeseries'];

const raw = (kind) => join(here, 'node_modules/@grafana/schema/dist/types/raw/composable', kind.replace('-', ''), 'panelcfg/x/types.gen');
const pascal = (kind) => kind.replace(/(^|-)(.)/g, (_, __, c) => c.toUpperCase());

// source names the types of all panels in one file, so that they are read once.
function source() {
  const lines = [readFileSync(join(here, 'types.ts'), 'utf8')];
  for (const kind of kinds) {
    const name = pascal(kind);
    lines.push(`import type * as ${name} from '${raw(kind)}';`, `export type ${name}Options = ${name}.Options;`);
    if (/export interface FieldConfig\b/.test(readFileSync(raw(kind) + '.d.ts', 'utf8'))) {
      lines.push(`export type ${name}Custom = ${name}.FieldConfig;`);
    }
  }
  return lines.join('\n');
}

// partial removes which keys are required: Grafana fills in what a panel
// leaves out.
function partial(value) {
  if (Array.isArray(value)) return value.map(partial);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).filter(([k, v]) => !(k === 'required' && Array.isArray(v))).map(([k, v]) => [k, partial(v)]));
}

function generate() {
  const file = join(mkdtempSync(join(here, 'node_modules', '.schema-')), 'all.ts');
  try {
    writeFileSync(file, source());
    const generator = createGenerator({ path: file, type: '*', skipTypeCheck: true, expose: 'none', additionalProperties: false, jsDoc: 'none', topRef: false });
    const schemas = {};
    for (const name of ['Dashboard', 'Variable', 'Annotation', 'Panel', 'Row', 'Field', 'Target']) {
      schemas[name] = generator.createSchema(name);
    }
    for (const kind of kinds) {
      schemas[`options ${kind}`] = partial(generator.createSchema(`${pascal(kind)}Options`));
      const custom = /export interface FieldConfig\b/.test(readFileSync(raw(kind) + '.d.ts', 'utf8'));
      schemas[`custom ${kind}`] = custom ? partial(generator.createSchema(`${pascal(kind)}Custom`)) : { type: 'object', additionalProperties: false };
    }
    return schemas;
  } finally {
    rmSync(join(file, '..'), { recursive: true });
  }
}

// schemas makes the schemas, or reads them from the file that an earlier run wrote.
export function schemas(cache) {
  if (cache && existsSync(cache)) return JSON.parse(readFileSync(cache, 'utf8'));
  const made = generate();
  if (cache) writeFileSync(cache, JSON.stringify(made));
  return made;
}
