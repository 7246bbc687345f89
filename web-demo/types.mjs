// Makes the client's types of what goes over the wire from docs/openapi.json and docs/protocol.json; with --check, compares.

import { readFile, writeFile } from 'node:fs/promises';
import openapiTypes, { astToString } from 'openapi-typescript';

const SOURCE = new URL('client/src/schema.ts', import.meta.url);
const HEAD = `/** What goes over the wire, made from docs/openapi.json and docs/protocol.json by \`npm run types\`: not to be edited. */\n\n`;

const made = HEAD + tidy(astToString(await openapiTypes(await description(), {
  // A field with a default may be left out by who sends it.
  defaultNonNullable: false,
  rootTypes: true,
  rootTypesNoSchemaPrefix: true,
})));
if (!process.argv.includes('--check')) {
  await writeFile(SOURCE, made);
} else if (await readFile(SOURCE, 'utf8').catch(() => '') !== made) {
  console.error('client/src/schema.ts is not what docs/openapi.json and docs/protocol.json say. To make it anew: npm run types');
  process.exitCode = 1;
}

/** Both descriptions in one, without the routes; a test of the server holds that a name stands for one thing in both. */
async function description() {
  const [rest, socket] = await Promise.all(['openapi.json', 'protocol.json'].map(read));
  const parts = JSON.parse(JSON.stringify(socket.$defs).replaceAll('#/$defs/', '#/components/schemas/'));
  const all = Object.entries({ ...rest.components.schemas, ...parts });
  // Each is a copy of its items; protocol.ts has one type for all of them.
  const schemas = all.filter(([name]) => !name.startsWith('Page_')).sort(([one], [other]) => one < other ? -1 : 1);
  return { openapi: rest.openapi, info: rest.info, paths: {}, components: { schemas: Object.fromEntries(schemas) } };
}

async function read(name) {
  const text = await readFile(new URL(`../docs/${name}`, import.meta.url), 'utf8');
  // `int64` and the like say nothing to a script.
  return JSON.parse(text, (key, value) => key === 'format' && typeof value === 'string' ? undefined : value);
}

/** Keeps the types alone, as the rest of the sources is written. */
function tidy(text) {
  return text
    .replace(/^export type (?:paths|webhooks|\$defs|operations) = .*\n/gm, '')
    .replace(/^    (?:responses|parameters|requestBodies|headers|pathItems): never;\n/gm, '')
    .replace(/^export interface components/m, 'interface components')
    .replace(/@description /g, '')
    .replace(/^ +/gm, ({ length }) => ' '.repeat(Math.floor(length / 2) + length % 2));
}
